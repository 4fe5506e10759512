// The arithmetic of `lmam_book.forensics` for the page that audits a pasted table; a test holds the two to each other.
// Everything that decides is in whole numbers. Names are those of the Python modules, where the sources are.
window.LmamAudit = (() => {
  const READINGS = ["recall", "precision", "accuracy"], SEARCHED = ["recall", "precision"];
  const AVERAGE = "Average(w)", SIGNIFICANT = 1e-3, DRAWS = 200;
  const METRICS = { acc: "Acc", accuracy: "Acc", recall: "Acc", precision: "Acc", f1: "F1", "f1-score": "F1", f: "F1" };
  const MARKS = /<[^>]*>|[*$%†‡↑↓]|\\[a-z]+|\[\d+\]/g, BOLD = /<[^>]*>|\*\*|\\[a-z]+|\[\d+\]/g;
  const MISSING = ["", "-", "–", "—", "n/a", "nan", "none"];
  const fail = message => { throw new Error(message); };
  const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, k) => from + k);
  const sum = values => values.reduce((a, b) => a + b, 0);
  const floor = (a, b) => Math.floor(a / b), ceil = (a, b) => -Math.floor(-a / b);

  // ---- pasted

  const numbers = cell => {
    const parts = cell.split(/\s+/).filter(Boolean);
    return parts.length && parts.every(p => /^-?\d+(\.\d+)?$/.test(p)) ? parts : [];
  };
  const metrics = cell => {
    const parts = cell.split(/\s+/).filter(Boolean).map(p => METRICS[p.toLowerCase().replace(/\.+$/, "")]);
    return parts.length && parts.every(Boolean) ? parts : [];
  };
  const klass = name => /^(weighted|average|avg|mean|overall|w-)/.test(name.toLowerCase()) ? AVERAGE : name;

  function columns(head, width) {
    const last = head.at(-1).flatMap(c => metrics(c).length ? metrics(c) : [c]);
    if (head.length === 2 && last.every(m => m === "Acc" || m === "F1")) {
      const names = head[0].filter(Boolean);
      if (names.length * 2 === last.length && last.length === width) return last.map((m, k) => [klass(names[k >> 1]), m]);
    }
    if (head.length === 1 && head[0].length * 2 === width) return head[0].flatMap(c => [[klass(c), "Acc"], [klass(c), "F1"]]);
    const words = c => c.split(/\s+/).filter(Boolean);
    if (head.length === 1 && head[0].every(c => metrics(words(c).at(-1) || "").length)) {
      return head[0].map(c => [klass(words(c).slice(0, -1).join(" ")), metrics(words(c).at(-1))[0]]);
    }
    return fail("The head does not say which class and which of Acc and F1 each column holds.");
  }

  function paste(text) {
    const lines = text.trim().split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/).filter(line => line.trim() && !/^[\s|:+-]*$/.test(line));
    const separator = ["\t", "|", ";", ","].find(s => lines.some(line => line.includes(s)));
    if (!separator || lines.length < 2) fail("No table found in the text: paste a head and at least one row, with tabs, | or commas between cells.");
    const inner = line => separator === "|" ? line.trim().replace(/^\|/, "").replace(/\|$/, "") : line;
    const cells = lines.map(line => inner(line).split(separator).map((c, k) => c.replace(k ? MARKS : BOLD, "").trim()));
    const first = cells.findIndex(line => line.slice(1).some(c => numbers(c).length));
    if (first < 1 || first > 2) fail("The table needs a head of one or two lines (classes and metrics) above its first row of numbers.");
    const rows = cells.slice(first), values = rows.map(line => line.slice(1).flatMap(c => numbers(c).length ? numbers(c) : [c]));
    const names = columns(cells.slice(0, first).map(line => line.slice(1)), Math.max(...values.map(v => v.length)));
    rows.forEach((line, k) => {
      if (values[k].length !== names.length) fail(`Row '${line[0]}' has ${values[k].length} numbers where the head names ${names.length} columns.`);
    });
    return { rows: rows.map(line => line[0]), columns: names, values };
  }

  function decimal(value, row, column) {
    const text = value.trim().replace(/%+$/, "");
    if (MISSING.includes(text.toLowerCase())) return null;
    const where = `row '${row}', ${column.join(" ")}`;
    if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) fail(`${where}: '${text}' is no number.`);
    if (+text < 0 || +text > 100) fail(`${where}: ${text} is no percentage; numbers must lie between 0 and 100.`);
    return text;
  }

  function printed(frame) {
    const twice = list => list.find((x, k) => list.indexOf(x) < k), keys = frame.columns.map(c => c.join(" "));
    const again = twice(frame.rows) ?? twice(keys);
    if (again !== undefined) fail(`'${again}' names two rows or columns of the table; give each its own name.`);
    const classes = [...new Set(frame.columns.map(c => c[0]))].filter(c => c !== AVERAGE);
    for (const c of classes) for (const m of ["Acc", "F1"]) {
      if (!keys.includes(`${c} ${m}`)) fail(`Class '${c}' has no column '${m}'; each class needs Acc and F1.`);
    }
    const values = frame.values.map((line, r) => line.map((v, c) => decimal(v, frame.rows[r], frame.columns[c])));
    const places = Math.max(0, ...values.flat().map(v => v === null ? 0 : (v.split(".")[1] || "").length));
    const scale = 10 ** places;
    const at = (r, c, m) => values[r][keys.indexOf(`${c} ${m}`)] ?? null;
    const units = m => frame.rows.map((_, r) => classes.map(c => { const v = at(r, c, m); return v === null ? -1 : Math.round(+v * scale); }));
    const average = frame.rows.map((_, r) => ["Acc", "F1"].map(m => { const v = at(r, AVERAGE, m); return v === null ? NaN : +v; }));
    const acc = units("Acc"), f1 = units("F1");
    const there = acc.map((line, r) => line.map((a, c) => a >= 0 && f1[r][c] >= 0));
    const testable = acc.map((line, r) => line.map((a, c) => there[r][c] && (a > 0 || f1[r][c] > 0)));
    return { rows: frame.rows, classes, acc, f1, average, scale, places, there, testable };
  }

  // ---- counts

  const digits = (scale, rounding = "rounded", width = 1) => {
    const cut = rounding === "truncated" ? 1 : 0;
    return { scale, cut, whole: 200 * scale, between: v => [2 * v - width + cut, 2 * v + width + cut] };
  };
  const clip = (x, low, high) => Math.min(high, Math.max(low, Number.isNaN(x) ? 0 : x));

  function bracket(acc, f1, n, total, reading, d) {
    const [a, a_] = d.between(acc).map(x => clip(x / d.whole, 0, 1)), [f, f_] = d.between(f1).map(x => clip(x / d.whole, 0, 1));
    let low, high;
    if (reading === "recall") [low, high] = [a * n, a_ * n];
    else if (reading === "precision") {
      low = f < 2 * a_ ? n * f / (2 - f / a_) : n + 1;
      high = f_ < 2 * a ? n * f_ / (2 - f_ / a) : n;
    } else {
      low = f < 1 ? total * f * (1 - a_) / (2 * (1 - f)) : 0;
      high = f_ < 1 ? total * f_ * (1 - a) / (2 * (1 - f_)) : n;
    }
    low = Math.trunc(clip(low, 0, n + 1)) - 1;
    return [low, Math.max(low, Math.trunc(clip(high, 0, n)) + 1)];
  }

  // The predictions p_low..p_high that go with t hits, none if p_low > p_high.
  function predictions(t, acc, f1, n, total, reading, d) {
    let [low, high] = d.between(f1);
    let least = Math.max(ceil(2 * d.whole * t + d.cut, high) - n, t);
    let most = low > 0 ? floor(2 * d.whole * t, low) - n : 1e12;
    if (total !== null) most = Math.min(most, total - n + t);
    [low, high] = d.between(acc);
    if (reading === "recall") {
      if (!(low * n <= d.whole * t && d.whole * t <= high * n - d.cut)) most = least - 1;
    } else if (reading === "precision") {
      least = Math.max(least, t > 0 ? ceil(d.whole * t + d.cut, high) : low > 0 ? 1 : 0);
      most = Math.min(most, low > 0 ? floor(d.whole * t, low) : 1e12);
    } else {
      const right = total - n + 2 * t;
      least = Math.max(least, right - floor(high * total - d.cut, d.whole));
      most = Math.min(most, right - ceil(low * total, d.whole));
    }
    return t < 0 || t > n ? [least, least - 1] : [least, most];
  }

  function solutions(acc, f1, n, total, reading, d) {
    const [low, high] = bracket(acc, f1, n, total, reading, d), found = [];
    for (let t = low; t <= high; t++) {
      const [least, most] = predictions(t, acc, f1, n, total, reading, d);
      if (least <= most) found.push([t, least, most]);
    }
    return found;
  }

  function possible(acc, f1, n, total, reading, d) {
    const [low, high] = bracket(acc, f1, n, total, reading, d);
    for (let t = low; t <= high; t++) {
      const [least, most] = predictions(t, acc, f1, n, total, reading, d);
      if (least <= most) return true;
    }
    return false;
  }

  // How far a pair lies from the nearest possible one: the least odd number of half units, NaN beyond `furthest`.
  function distance(acc, f1, n, total, reading, scale, furthest = 41) {
    for (let width = 1; width <= furthest; width += 2) {
      if (possible(acc, f1, n, total, reading, digits(scale, "rounded", width))) return width;
    }
    return NaN;
  }

  // ---- bounds

  function highestF1(share, n, total, reading) {
    const ofShare = 2 * share / (1 + share);
    return reading === "accuracy" && share * total >= n ? 1 - (1 - share) * total / (total + n) : ofShare;
  }
  const beyondMeans = (acc, f1, n, total, reading, scale) =>
    (f1 - 1) / (100 * scale) > highestF1(Math.min((acc + 1) / (100 * scale), 1), n, total, reading);

  // ---- supports

  // The share of arbitrary pairs within a point of a printed one that exist. Python draws 200 of them; here all are counted.
  function share(acc, f1, n, total, reading, d) {
    const reach = d.scale, most = 100 * d.scale, ends = [];
    for (const x of [acc, f1]) {
      const times = new Map();
      for (let k = -reach; k <= reach; k++) {
        const y = Math.min(Math.abs(x + k), most);
        times.set(y, (times.get(y) || 0) + 1);
      }
      ends.push(times);
    }
    const [ofAcc, ofF1] = ends, low = Math.min(...ofF1.keys()), high = Math.max(...ofF1.keys());
    const lowA = Math.min(...ofAcc.keys()), highA = Math.max(...ofAcc.keys());
    // A share x / y prints as one number, or as two where it is a tie.
    const prints = (x, y) => {
      const exact = 2 * most * x / y, down = d.cut ? floor(exact, 2) : floor(exact + 1, 2);
      return !d.cut && (2 * most * x) % (2 * y) === y ? [down - 1, down] : [down];
    };
    const marked = new Set();
    for (let t = 0; t <= n; t++) {
      let least = Math.max(t, Math.floor(2 * t * most / (high + 1)) - n - 1);
      let last = low > 1 ? Math.ceil(2 * t * most / (low - 1)) - n + 1 : 20000;
      if (total !== null) last = Math.min(last, total - n + t);
      if (reading === "recall") {
        if (most * t < (lowA - 1) * n || most * t > (highA + 1) * n) continue;
      } else if (reading === "precision") {
        least = Math.max(least, Math.floor(t * most / (highA + 1)) - 1);
        if (lowA > 1) last = Math.min(last, Math.ceil(t * most / (lowA - 1)) + 1);
      } else {
        least = Math.max(least, total - n + 2 * t - Math.ceil((highA + 1) * total / most));
        last = Math.min(last, total - n + 2 * t - Math.floor((lowA - 1) * total / most));
      }
      for (let p = least; p <= Math.min(last, 20000); p++) {
        const A = reading === "recall" ? prints(t, n) : reading === "accuracy" ? prints(total - n - p + 2 * t, total) : p > 0 ? prints(t, p) : [0];
        for (const a of A) if (ofAcc.has(a)) for (const f of prints(2 * t, n + p)) if (ofF1.has(f)) marked.add(a * (most + 1) + f);
      }
    }
    let count = 0;
    for (const key of marked) {
      const a = Math.floor(key / (most + 1)), f = key % (most + 1);
      if (a || f) count += ofAcc.get(a) * ofF1.get(f);
      if (a === 1 && f === 0) count += (ofAcc.get(0) || 0) * (ofF1.get(0) || 0); // two zeros are never drawn
    }
    return count / (2 * reach + 1) ** 2;
  }
  const coincidence = (...cell) => (DRAWS * share(...cell) + 0.5) / (DRAWS + 1);

  function tail(rates, count) {
    let reached = [1];
    for (const rate of rates) {
      const next = new Array(reached.length + 1).fill(0);
      reached.forEach((p, k) => { next[k] += p * (1 - rate); next[k + 1] += p * rate; });
      reached = next;
    }
    return Math.min(1, sum(reached.slice(count)));
  }

  // The chance of at least k of n, each with the same rate: scipy's binom.sf(k - 1, n, rate).
  function atLeast(k, n, rate) {
    if (k <= 0) return 1;
    if (rate >= 1) return 1;
    let p = 0, choose = 1;
    for (let i = 0; i <= n; i++) {
      if (i >= k) p += choose * rate ** i * (1 - rate) ** (n - i);
      choose *= (n - i) / (i + 1);
    }
    return Math.min(1, p);
  }

  const fits = (table, c, reading, n, d) =>
    sum(table.rows.map((_, r) => table.testable[r][c] && possible(table.acc[r][c], table.f1[r][c], n, null, reading, d) ? 1 : 0));

  function searchClass(table, c, reading, d, most) {
    const rows = table.rows.map((_, r) => r).filter(r => table.testable[r][c]), name = table.classes[c];
    if (!rows.length) return { class: name, reading, n: 0, rows: 0, of: 0, byChance: NaN, p: 1, named: false };
    const found = range(1, most + 1).map(n => fits(table, c, reading, n, d));
    const some = [...new Set(range(0, 40).map(k => Math.floor(most ** (k / 39) + 1e-9)))];
    const few = range(0, Math.min(6, rows.length)).map(k => rows[Math.floor(k * rows.length / Math.min(6, rows.length))]);
    const raw = some.map(n => sum(few.map(r => share(table.acc[r][c], table.f1[r][c], n, null, reading, d))) / few.length);
    const smooth = raw.map((_, k) => sum(range(k - 2, k + 3).map(i => raw[clip(i, 0, raw.length - 1)])) / 5 + 1 / (140 * rows.length));
    let left = 0;
    const rate = range(1, most + 1).map(n => {
      while (left < some.length - 2 && some[left + 1] < n) left++;
      const [x, y] = [some[left], some[left + 1] ?? some[left]];
      return Math.min(1, x === y ? smooth[left] : smooth[left] + (smooth[left + 1] - smooth[left]) * (n - x) / (y - x));
    });
    const p = found.map((k, i) => atLeast(k, rows.length, rate[i]));
    let best = p.indexOf(Math.min(...p)) + 1;
    for (let divisor = 1; divisor < best; divisor++) {
      if (best % divisor) continue;
      const fit = found[divisor - 1], more = found[best - 1] - fit;
      if (more <= 0) { best = divisor; break; }
      if (p[divisor - 1] * most < SIGNIFICANT) {
        const ofN = atLeast(more, rows.length - fit, rate[best - 1]), ofD = atLeast(fit, found[best - 1], shared(best, divisor, reading, d));
        if (ofN >= ofD) { best = divisor; break; }
      }
    }
    const all = Math.min(1, p[best - 1] * most);
    return { class: name, reading, n: best, rows: found[best - 1], of: rows.length, byChance: rows.length * rate[best - 1], p: all, named: all < SIGNIFICANT };
  }

  // The share of pairs on n utterances that exist on d as well, from 2,000 hits and predictions.
  function shared(n, divisor, reading, d) {
    let state = 1, count = 0;
    const random = () => (state = state * 48271 % 2147483647) / 2147483647;
    const print = (x, y) => d.cut ? floor(100 * d.scale * x, y) : Math.round(100 * d.scale * x / y);
    for (let k = 0; k < 2000; k++) {
      const p = 1 + Math.floor(random() * 2 * n), t = Math.floor(random() * (Math.min(n, p) + 1));
      const acc = print(t, reading === "recall" ? n : p), f1 = print(2 * t, n + p);
      count += possible(acc, f1, divisor, null, reading, d);
    }
    return count / 2000;
  }

  function candidates(table, stated, searched, most) {
    const sets = stated ? [{ name: "given", n: stated, total: sum(stated) }] : [];
    for (const [reading, found] of Object.entries(searched)) {
      const n = found.map((f, c) => f.named ? f.n : stated ? stated[c] : 0), total = sum(n);
      if (n.every(Boolean) && !sets.some(s => s.n.join() === n.join()) && total <= most) sets.push({ name: `searched (${reading})`, n, total });
    }
    return sets;
  }

  // ---- audit

  // Which pairs exist under each set of supports and reading, and the reading under which a row's pairs exist least by chance.
  function judge(table, sets, d) {
    const keys = sets.flatMap(s => READINGS.map(reading => ({ supports: s, reading })));
    const rows = table.rows.map((_, r) => {
      const there = table.classes.map((_, c) => c).filter(c => table.testable[r][c]);
      const tried = keys.map(({ supports: s, reading }) => {
        const exist = table.classes.map((_, c) => table.testable[r][c] && possible(table.acc[r][c], table.f1[r][c], s.n[c], s.total, reading, d));
        const rates = there.map(c => coincidence(table.acc[r][c], table.f1[r][c], s.n[c], s.total, reading, d));
        const count = exist.filter(Boolean).length;
        return { supports: s, reading, exist, count, of: there.length, p: Math.min(1, tail(rates, count) * keys.length) };
      });
      const best = tried.reduce((a, b) => a === null || b.p < a.p || (b.p === a.p && b.count > a.count) ? b : a, null);
      return { tried, best: there.length ? best : null, named: Boolean(there.length && best && best.p < SIGNIFICANT) };
    });
    const verdicts = table.rows.map((_, r) => table.classes.map((_, c) => {
      if (!table.testable[r][c] || !sets.length) return "not checkable";
      if (rows[r].named && rows[r].best.exist[c]) return "possible";
      if (rows[r].tried.some(t => t.exist[c])) return "possible alone";
      return keys.every(({ supports: s, reading }) => beyondMeans(table.acc[r][c], table.f1[r][c], s.n[c], s.total, reading, table.scale)) ? "impossible for means" : "impossible";
    }));
    const averages = [];
    for (const [m, values] of [table.acc, table.f1].entries()) for (const s of sets) table.rows.forEach((row, r) => {
      if (Number.isNaN(table.average[r][m]) || !table.there[r].every(Boolean)) return;
      const mean = sum(values[r].map((v, c) => v * s.n[c])) / s.total / table.scale, off = table.average[r][m] - mean;
      averages.push({ row, metric: ["Acc", "F1"][m], supports: s.name, printed: table.average[r][m], recomputed: mean, agrees: Math.abs(off) <= 1 / table.scale + 1e-9 });
    });
    return { rows, verdicts, averages };
  }

  function supports(text, classes) {
    if (!text.trim()) return null;
    const parts = text.split(/[,;\n]+/).map(p => p.trim()).filter(Boolean);
    const named = parts.map(p => /^(.*?)[\s:=]*(\d+)$/.exec(p));
    if (named.some(m => !m || +m[2] < 1)) fail("Supports are whole numbers of at least 1, one per class: 144, 245, ... or Happy 144, Sad 245, ...");
    if (named.every(m => !m[1])) {
      if (named.length !== classes.length) fail(`There are ${named.length} supports and ${classes.length} classes; give one for each.`);
      return named.map(m => +m[2]);
    }
    const found = new Map(named.map(m => [m[1].toLowerCase(), +m[2]]));
    return classes.map(c => found.get(c.toLowerCase()) ?? fail(`support has no number for class '${c}'; it needs one for each class.`));
  }

  // Everything; `progress(share)` is awaited between classes, so that a page can draw.
  async function audit(text, supportText = "", rounding = "rounded", largest = 2000, progress = async () => {}) {
    const table = printed(paste(text));
    if (!table.testable.flat().some(Boolean)) fail("The table has no pair of Acc and F1 to test; it needs one that is not 0 and 0.");
    const stated = supports(supportText, table.classes), d = digits(table.scale, rounding), searched = {};
    const most = stated ? sum(stated) : largest, steps = SEARCHED.length * table.classes.length;
    let done = 0;
    for (const reading of SEARCHED) {
      searched[reading] = [];
      for (const c of table.classes.keys()) {
        searched[reading].push(searchClass(table, c, reading, d, most));
        await progress(++done / (steps + 1));
      }
    }
    const sets = candidates(table, stated, searched, stated ? most : largest * table.classes.length);
    return { table, digits: d, stated, searched, sets, ...judge(table, sets, d) };
  }

  return { READINGS, paste, printed, digits, solutions, possible, predictions, bracket, distance, share, coincidence, fits, searchClass, candidates, judge, supports, audit, beyondMeans };
})();

// The page that audits a pasted table: form, verdict per cell, arithmetic on tap, permalink. Needs audit-arithmetic.js.
(() => {
  const A = window.LmamAudit, box = document.getElementById("lmam-audit"), SIGNS = JSON.parse(box.dataset.signs);
  const EXAMPLES = JSON.parse(document.getElementById("audit-examples").textContent);
  const MEANING = {
    "possible": "counts exist in the reading that serves its row",
    "possible alone": "counts exist, but in another reading or with other supports than those of its row",
    "impossible": "no counts exist: no single classifier gives these two numbers",
    "impossible for means": "nor does a mean over several classifiers",
    "not checkable": "a missing cell or a pair of zeros",
  };
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const percent = (x, y, places) => y ? (100 * x / y).toFixed(places + 1) : "0";
  const count = (k, one, many) => `${k.toLocaleString("en")} ${k === 1 ? one : many}`;

  const text = make("textarea", { name: "text", rows: 9, spellcheck: false, placeholder: "method\tHappy Acc\tHappy F1\t…" });
  const supports = make("input", { name: "supports", type: "text", placeholder: "unknown: they are searched. Known: Happy 144, Sad 245, …" });
  const rounding = make("select", { name: "rounding" }, new Option("rounded", "rounded"), new Option("cut off", "truncated"));
  const largest = make("input", { name: "largest", type: "number", min: 10, max: 5000, value: 2000 });
  const go = make("button", { type: "submit", textContent: "Audit the table" });
  const link = make("button", { type: "button", textContent: "Copy a link to this table", disabled: true });
  const form = make("form", { className: "lmam-audit-form" },
    make("p", { className: "lmam-form" }, ...EXAMPLES.map(example => {
      const button = make("button", { type: "button", textContent: example.title });
      button.onclick = () => { fill(example); run(); };
      return button;
    })),
    make("label", {}, "Table, as copied: tabs, | or commas; one method per line", text),
    make("label", {}, "Utterances of each class in the test set", supports),
    make("p", { className: "lmam-form" }, make("label", {}, "Digits are ", rounding), make("label", {}, "Search class sizes up to ", largest), go, link),
  );
  const say = make("p", { className: "lmam-say" });
  say.setAttribute("role", "status");
  const result = make("div", { className: "lmam-result" });
  const fallback = box.querySelector(".lmam-table-box");
  fallback.replaceWith(form, say, result);

  function fill({ text: t, supports: s = "", rounding: r = "rounded", largest: l = 2000 }) {
    [text.value, supports.value, rounding.value, largest.value] = [t, s, r, l];
  }

  // The state in the address: deflated JSON in base64url.
  const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
  async function pack() {
    const state = { text: text.value, supports: supports.value, rounding: rounding.value, largest: largest.value };
    const bytes = await through(new TextEncoder().encode(JSON.stringify(state)), new CompressionStream("deflate-raw"));
    return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }
  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(await through(bytes, new DecompressionStream("deflate-raw"))));
  }

  function headline({ table, rows, verdicts, sets }) {
    const all = verdicts.flat(), bad = all.filter(v => v.startsWith("impossible")).length, tested = all.filter(v => v !== "not checkable").length;
    if (!sets.length) return `${count(tested, "pair", "pairs")} to test, but no supports were given and the rows name none; give the sizes of the classes.`;
    const readings = new Map();
    rows.forEach(row => { if (row.named) readings.set(row.best.reading, (readings.get(row.best.reading) || 0) + 1); });
    const read = [...readings].map(([reading, k]) => `${reading} in ${count(k, "row", "rows")}`).join(", ");
    return `${bad} of ${tested} pairs of numbers are not the counts of any one classifier. "Acc." is ${read || "not to be told in any row"}` +
      (read && rows.some(row => !row.named) ? `; ${rows.filter(row => !row.named).length} of ${table.rows.length} rows fit no reading better than chance.` : ".");
  }

  function grid(found) {
    const { table, rows, verdicts } = found;
    const head = ["method", ...table.classes, "Acc. is", "pairs that exist", "by chance"];
    const body = table.rows.map((name, r) => {
      const cells = table.classes.map((klass, c) => {
        const shown = v => v < 0 ? "–" : (v / table.scale).toFixed(table.places), word = verdicts[r][c];
        const button = make("button", { type: "button", textContent: `${shown(table.acc[r][c])} ${shown(table.f1[r][c])} ${SIGNS[word]}` });
        button.setAttribute("aria-label", `${name}, ${klass}: Acc. ${shown(table.acc[r][c])}, F1 ${shown(table.f1[r][c])}: ${word}`);
        button.setAttribute("aria-pressed", "false");
        button.onclick = () => explain(found, r, c, button);
        return make("td", { className: `lmam-${word.replaceAll(" ", "-")}` }, button);
      });
      const { best, named } = rows[r];
      const tail = [named ? best.reading : "none", best ? `${best.count} of ${best.of}` : "–", best ? best.p < 1e-4 ? best.p.toExponential(0) : best.p.toFixed(3) : "–"];
      return make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells, ...tail.map(t => make("td", { textContent: t })));
    });
    const caption = make("caption", {}, make("span", { textContent: "Acc. and F1 of each class; press a pair for its arithmetic" }));
    const legend = make("p", { className: "lmam-say", textContent: Object.entries(SIGNS).map(([word, sign]) => `${sign} ${word}: ${MEANING[word]}`).join("; ") + "." });
    const top = make("tr", {}, ...head.map(h => make("th", { scope: "col", textContent: h })));
    const table_ = make("table", { className: "lmam-audit" }, caption, make("thead", {}, top), make("tbody", {}, ...body));
    return [scroller("The audited table", table_), legend];
  }

  function scroller(label, table) {
    const around = make("div", { className: "lmam-table-box", tabIndex: 0 }, table);
    around.setAttribute("role", "region");
    around.setAttribute("aria-label", label);
    return around;
  }

  function simple(caption, head, rows) {
    const line = row => make("tr", {}, ...row.map((v, k) => make(k ? "td" : "th", k ? { textContent: v } : { scope: "row", textContent: v })));
    const top = make("tr", {}, ...head.map(h => make("th", { scope: "col", textContent: h })));
    return scroller(caption, make("table", { className: "table" }, make("caption", {}, make("span", { textContent: caption })), make("thead", {}, top), make("tbody", {}, ...rows.map(line))));
  }

  // The counts behind a pair in one reading: those that print as it, else the nearest.
  function reading(found, acc, f1, n, total, kind) {
    const { table, digits } = found, places = table.places, exact = A.solutions(acc, f1, n, total, kind, digits);
    const numbers = (t, p) => {
      const share = kind === "recall" ? [t, n] : kind === "precision" ? [t, p] : [total - n - p + 2 * t, total];
      const name = kind === "accuracy" ? "(N − n − p + 2t) / N" : kind === "recall" ? "t / n" : "t / p";
      return `t = ${t}, p = ${p}: ${name} = ${share[0]} / ${share[1]} = ${percent(...share, places)} %, F1 = 2·${t} / (${n} + ${p}) = ${percent(2 * t, n + p, places)} %`;
    };
    if (exact.length) {
      const [t, low, high] = exact[0], more = exact.length - 1 + (high > low ? 1 : 0);
      return [true, numbers(t, low) + (more ? ` (and more: ${exact.slice(0, 4).map(([x, a, b]) => `t = ${x}, p = ${a === b ? a : `${a} to ${b}`}`).join("; ")})` : "")];
    }
    let best = null;
    const [low, high] = A.bracket(acc, f1, n, total, kind, digits), unit = 100 * table.scale;
    for (let t = Math.max(0, low - 3); t <= Math.min(n, high + 3); t++) {
      const middle = f1 ? Math.round(2 * t * unit / f1) - n : t, second = kind === "precision" && acc ? Math.round(t * unit / acc) : middle;
      for (let p = Math.min(middle, second) - 2; p <= Math.max(middle, second) + 2 && p < Math.min(middle, second) + 400; p++) {
        if (p < t || p > total - n + t) continue;
        const share = kind === "recall" ? t / n : kind === "precision" ? (p ? t / p : 0) : (total - n - p + 2 * t) / total;
        const off = Math.max(Math.abs(share * unit - acc), Math.abs(2 * t / (n + p) * unit - f1));
        if (best === null || off < best[0]) best = [off, t, p];
      }
    }
    return [false, best ? `nearest: ${numbers(best[1], best[2])}` : "no counts come near"];
  }

  function explain(found, r, c, button) {
    const { table, sets, verdicts } = found, acc = table.acc[r][c], f1 = table.f1[r][c];
    result.querySelectorAll("[aria-pressed=true]").forEach(b => b.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", "true");
    const items = !table.testable[r][c] ? [] : sets.flatMap(s => A.READINGS.map(kind => {
      const [exists, told] = reading(found, acc, f1, s.n[c], s.total, kind);
      return make("li", {}, make("b", { textContent: `${exists ? "✓" : "✗"} Acc. as ${kind}, n = ${s.n[c]} (${called(s)}): ` }), told);
    }));
    const title = `${table.rows[r]}, ${table.classes[c]}: ${verdicts[r][c]}, ${MEANING[verdicts[r][c]]}.`;
    const note = "n: utterances of the class, N: of all classes, t: hits, p: predictions of the class.";
    panel.replaceChildren(make("p", {}, make("b", { textContent: title })), make("ul", {}, ...items), make("p", { className: "lmam-say", textContent: note }));
  }

  const called = s => s.name.replace(/searched \((.*)\)/, "searched, Acc. as $1");
  const panel = make("div", { className: "lmam-panel" });
  panel.setAttribute("aria-live", "polite");

  function show(found) {
    const { table, searched, averages } = found;
    const sizes = table.classes.map((name, c) => [name, found.stated ? found.stated[c] : "–", ...["recall", "precision"].flatMap(kind => {
      const s = searched[kind][c];
      return [s.named ? s.n : "none", `${s.rows} of ${s.of}, ${s.byChance.toFixed(1)} by chance`];
    })]);
    const means = averages.map(a => [a.row, a.metric, called({ name: a.supports }), a.printed.toFixed(table.places), a.recomputed.toFixed(table.places + 1), a.agrees ? "follows" : "does not follow"]);
    panel.replaceChildren(make("p", { className: "lmam-say", textContent: "Press a pair of numbers: its arithmetic stands here." }));
    result.replaceChildren(...grid(found), panel,
      simple("Class sizes that serve the rows", ["class", "given", "if Acc. is recall", "rows that fit", "if Acc. is precision", "rows that fit"], sizes),
      ...(means.length ? [make("details", {}, make("summary", { textContent: "Printed averages beside those of the cells" }),
        simple("Averages recomputed from the cells", ["method", "number", "class sizes", "printed", "recomputed", "to rounding"], means))] : []));
  }

  let turn = 0;
  async function run() {
    const mine = ++turn;
    link.disabled = true;
    result.replaceChildren();
    delete box.dataset.done;
    try {
      const found = await A.audit(text.value, supports.value, rounding.value, +largest.value || 2000, async share => {
        say.textContent = `Computing: ${Math.round(100 * share)} %`;
        await new Promise(done => setTimeout(done));
        if (mine !== turn) throw new Error("superseded");
      });
      show(found);
      say.textContent = headline(found);
      link.disabled = false;
      history.replaceState(null, "", "#t=" + await pack());
    } catch (error) {
      if (mine !== turn) return;
      say.textContent = error.message;
    }
    box.dataset.done = "";
  }
  form.addEventListener("submit", event => { event.preventDefault(); run(); });
  link.onclick = async () => {
    await navigator.clipboard.writeText(location.href).catch(() => {});
    link.textContent = "Link copied; it is in the address line as well";
  };
  async function read() {
    const packed = new URLSearchParams(location.hash.slice(1)).get("t");
    if (!packed) return fill(EXAMPLES[0]);
    try {
      fill(await unpack(packed));
      await run();
    } catch {
      say.textContent = "The link holds no table that can be read.";
    }
  }
  addEventListener("hashchange", read);
  read().then(() => { box.dataset.ready = ""; });
})();

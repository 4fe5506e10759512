// Every measured run: one view of the store, chosen in the form, kept in the address. Needs d3, Plot and runs.js.
(async () => {
  const box = document.getElementById("lmam-explorer");
  const bytes = Uint8Array.from(atob(window.LMAM_RUNS), c => c.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(unpacked).json();
  const FIELDS = { data: "Data", backbone: "Backbone", inputs: "Inputs", protocol: "Protocol", metric: "Metric", fusion: "Fusion" };
  const fallback = box.querySelector(".lmam-table-box");

  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const form = make("form", { className: "lmam-form" });
  const select = {};
  for (const [name, title] of Object.entries(FIELDS)) {
    select[name] = make("select", { name });
    form.append(make("label", {}, title + " ", select[name]));
  }
  const summary = make("p", { className: "lmam-say" });
  summary.setAttribute("aria-live", "polite");
  const figure = make("figure", { tabIndex: 0 });
  figure.setAttribute("role", "group");
  const card = make("p", { className: "lmam-card" });
  card.setAttribute("aria-live", "polite");
  const list = make("details", {}, make("summary", { textContent: "The runs of this view as a table" }));
  const body = make("div", { className: "lmam-table-box", tabIndex: 0 });
  body.setAttribute("role", "region");
  body.setAttribute("aria-label", "The runs of this view");
  list.append(body);
  fallback.replaceWith(form, summary, figure, card, list);

  const title = (kind, key) => (data.titles[kind] || {})[key] || key;
  const chosen = () => Object.fromEntries(Object.keys(FIELDS).map(name => [name, select[name].value]));

  function options(name, kind, keys, wanted) {
    select[name].replaceChildren(...keys.map(key => new Option(title(kind, key), key)));
    select[name].value = keys.includes(wanted) ? wanted : keys[0];
    return select[name].value;
  }

  const unique = values => [...new Set(values)];

  function choose(wanted) {
    const where = (k, ...fixed) => unique(data.places.filter(p => fixed.every((f, i) => p[i] === f)).map(p => p[k]));
    const dataset = options("data", "dataset", where(0), wanted.data);
    const backbone = options("backbone", "backbone", where(1, dataset), wanted.backbone);
    const size = inputs => inputs.split("+").length;
    const inputs = where(2, dataset, backbone).sort((a, b) => size(b) - size(a));
    const input = options("inputs", "inputs", inputs, wanted.inputs);
    const protocols = where(3, dataset, backbone, input);
    const protocol = options("protocol", "protocol", Object.keys(data.titles.protocol).filter(p => protocols.includes(p)), wanted.protocol);
    const metrics = data.metrics[dataset];
    options("metric", "metric", metrics, metrics.includes(wanted.metric) ? wanted.metric : data.headline[dataset]);
    const place = data.places.findIndex(p => p.join() === [dataset, backbone, input, protocol].join());
    const fusions = unique(data.arms.filter(arm => arm[0] === place).map(arm => arm[2]));
    options("fusion", "fusion", ["all", ...fusions], wanted.fusion);
    return place;
  }

  function view(place, { metric, fusion, data: dataset, backbone }) {
    const wanted = data.arms.map(arm => arm[0] === place && (fusion === "all" || arm[2] === fusion));
    const runs = [];
    data.arm.forEach((arm, k) => {
      const value = data.scores[metric][k];
      if (!wanted[arm] || value === null) return;
      const [, label, method, stem] = data.arms[arm];
      const file = `${dataset}/${backbone}/${stem}.s${data.seed[k]}.${data.key[k]}.json`;
      runs.push({ arm, label, lmam: method.startsWith("lmam"), value, seed: data.seed[k], size: data.parameters[k], rate: data.rate[k], ended: data.ended[k], file });
    });
    const arms = d3.rollups(runs, rows => {
      const mean = d3.mean(rows, r => r.value);
      const half = rows.length > 1 ? data.t[rows.length - 2] * d3.deviation(rows, r => r.value) / Math.sqrt(rows.length) : NaN;
      return { label: rows[0].label, lmam: rows[0].lmam, mean, half, n: rows.length, paper: data.arms[rows[0].arm][4][metric] };
    }, r => r.arm).map(([, arm]) => arm);
    arms.sort((a, b) => metric === "mae" ? a.mean - b.mean : b.mean - a.mean);
    return { runs, arms };
  }

  const ENDED = ["", "ended at its limit, might have gone on", "gives every utterance one class", "gives every utterance one class, at its limit"];
  const places = metric => (metric === "mae" || metric === "corr" ? 3 : 1);
  const told = (run, metric) => [
    `${run.label}, seed ${run.seed}`,
    `${title("metric", metric)}: ${run.value.toFixed(places(metric) + 1)}`,
    `${run.size.toLocaleString("en")} parameters, learning rate ${run.rate}`,
    ...(run.ended ? [ENDED[run.ended]] : []),
  ];

  let now, marked = -1;

  function show(k) {
    figure.querySelectorAll(".runs circle").forEach((dot, i) => dot.classList.toggle("marked", i === k));
    marked = k;
    const run = now.runs[k];
    const link = make("a", { href: box.dataset.files + run.file, textContent: run.file });
    card.replaceChildren(told(run, select.metric.value).join(" · ") + " · ", link);
  }

  function draw() {
    const { metric } = chosen();
    const width = Math.max(280, Math.min(900, box.clientWidth)), narrow = width < 600;
    const colour = d => d.lmam ? "var(--lmam-colour)" : "var(--base-colour)";
    const { runs, arms } = now;
    const papers = arms.filter(a => a.paper !== undefined);
    const left = narrow ? 8 : 12 + 6.6 * d3.max(arms, a => Math.min(42, a.label.length));
    const most = narrow ? Math.floor(width / 7) : 42;
    const short = label => label.length > most ? label.slice(0, most - 1) + "…" : label;
    const shown = [...runs.map(r => r.value), ...papers.map(a => a.paper)], edge = 0.04 * (d3.max(shown) - d3.min(shown)) || 1;
    const [low, high] = [d3.min(shown) - edge, d3.max(shown) + edge];
    const plot = Plot.plot({
      width, marginLeft: left, marginRight: 16, marginTop: narrow ? 30 : 20, marginBottom: 42, inset: 6,
      height: 90 + arms.length * (narrow ? 48 : 24),
      y: { domain: arms.map(a => a.label), label: null, tickSize: 0, axis: narrow ? null : "left", tickFormat: short },
      x: { label: title("metric", metric) + (metric === "mae" ? "" : " →"), grid: true, domain: [low, high] },
      style: { fontSize: "13px", background: "transparent", overflow: "visible" },
      marks: [
        narrow ? Plot.text(arms, { y: "label", text: a => short(a.label), frameAnchor: "left", dy: -20, textAnchor: "start" }) : null,
        Plot.ruleY(arms.filter(a => a.n > 1), { y: "label", x1: a => Math.max(low, a.mean - a.half), x2: a => Math.min(high, a.mean + a.half), stroke: colour, strokeWidth: 3, strokeOpacity: 0.45 }),
        Plot.tickX(arms, { y: "label", x: "mean", stroke: colour, strokeWidth: 3, inset: narrow ? 11 : 4 }),
        Plot.dot(runs, { x: "value", y: "label", r: 4, className: "runs", fill: r => r.ended ? "none" : colour(r), fillOpacity: 0.65, stroke: colour }),
        Plot.dot(papers, { x: "paper", y: "label", symbol: "diamond", r: 6, className: "paper", stroke: "var(--paper-colour)", strokeWidth: 2.2, title: a => `The paper reports ${a.paper}` }),
        Plot.tip(runs, Plot.pointer({ x: "value", y: "label", fill: "var(--pst-color-surface)", title: r => told(r, metric).join("\n") })),
      ],
    });
    plot.addEventListener("input", () => { if (plot.value) show(runs.indexOf(plot.value)); });
    plot.setAttribute("aria-hidden", "true");
    const key = make("figcaption", { textContent: "Dot: one seed (hollow: it might have gone on, or gives one class). Bar: mean with 95 % interval over seeds. Diamond: the paper." });
    figure.replaceChildren(plot, key);
    card.replaceChildren("Point at a dot, tap it, or focus the figure and use the arrow keys: seed, size, learning rate and file stand here.");
    marked = -1;
  }

  function table() {
    const { metric } = chosen();
    const head = ["model", "seed", title("metric", metric), "parameters", "learning rate", "run file"];
    const rows = now.runs.map(r => [r.label, r.seed, r.value, r.size.toLocaleString("en"), r.rate]);
    const cells = (tag, values, scope) => values.map(v => make(tag, scope ? { scope, textContent: v } : { textContent: v }));
    const lines = rows.map((row, k) => make("tr", {}, ...cells("td", row), make("td", {}, make("a", { href: box.dataset.files + now.runs[k].file, textContent: now.runs[k].file.split("/").pop() }))));
    const caption = make("caption", {}, make("span", { textContent: summary.textContent }));
    body.replaceChildren(make("table", { className: "table" }, caption, make("thead", {}, make("tr", {}, ...cells("th", head, "col"))), make("tbody", {}, ...lines)));
  }

  function update(wanted) {
    const place = choose(wanted), asked = chosen();
    now = view(place, asked);
    const { runs, arms } = now, digits = places(asked.metric);
    const one = arm => `${arm.label} ${arm.mean.toFixed(digits)}` + (arm.n > 1 ? ` ± ${arm.half.toFixed(digits)}` : "");
    figure.setAttribute("aria-label", `${runs.length} runs of ${title("backbone", asked.backbone)} on ${title("dataset", asked.data)}; arrow keys go through them`);
    summary.textContent = `${runs.length} runs, ${arms.length} models. Best mean: ${one(arms[0])}` + (arms.length > 1 ? `; last: ${one(arms.at(-1))}.` : ".");
    if (asked.data === "mosi" && asked.inputs.includes("video")) summary.textContent += " The public video features of CMU-MOSI were trained on its training labels.";
    draw();
    if (list.open) table();
  }

  const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  form.addEventListener("change", () => {
    const asked = chosen();
    update(asked);
    history.replaceState(null, "", "#" + new URLSearchParams(chosen()));
  });
  list.addEventListener("toggle", () => { if (list.open) table(); });
  figure.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show((marked + step + now.runs.length) % now.runs.length);
  });
  addEventListener("hashchange", () => update(read()));
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) > 8) { width = entry.contentRect.width; if (now) draw(); }
  }).observe(box);
  update({ data: "iemocap", ...read() });
  box.dataset.ready = "";
})();

// What tanh does to attention, and LMAM's parameters beside self-attention's. Takes the place of two tables.
(() => {
  const E2 = Math.exp(2), MOST = 110;
  const random = (state => () => { // a multiplicative congruential generator: the same scores for every reader
    state = state * 48271 % 2147483647;
    return state / 2147483647;
  })(20260601);
  const SCORES = Array.from({ length: MOST * MOST }, () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random()));
  const percent = share => (100 * share).toFixed(1) + " %";
  let parts = 0;

  function slider(title, name, low, high, step, value) {
    const id = `lmam-${name}-${++parts}`;
    return `<label for="${id}">${title}</label><input id="${id}" name="${name}" type="range" min="${low}" max="${high}" step="${step}" value="${value}"><output for="${id}"></output>`;
  }

  function weights(f, n, scale) {
    const found = [];
    let largest = 0, used = Infinity;
    for (let i = 0; i < n; i++) {
      const scores = Array.from({ length: n }, (_, j) => f(scale * SCORES[i * MOST + j]));
      const top = Math.max(...scores), raw = scores.map(s => Math.exp(s - top)), sum = raw.reduce((a, b) => a + b);
      let entropy = 0;
      for (const x of raw) {
        const w = x / sum;
        found.push(w);
        largest = Math.max(largest, w);
        if (w > 0) entropy -= w * Math.log(w);
      }
      used = Math.min(used, Math.exp(entropy));
    }
    return { found, largest, used };
  }

  function paint(canvas, found, n) {
    const context = canvas.getContext("2d");
    canvas.width = canvas.height = n;
    const image = context.createImageData(n, n);
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    probe.fillStyle = getComputedStyle(canvas).color;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    found.forEach((w, k) => image.data.set([r, g, b, 255 * Math.min(1, Math.sqrt(w * n / E2))], 4 * k));
    context.putImageData(image, 0, 0);
  }

  function attention(box) {
    box.innerHTML = `<form class="lmam-sliders">${slider("score scale", "scale", -2, 4, 0.1, 2)}${slider("utterances", "n", 2, MOST, 1, 30)}</form>
      <div class="lmam-two">
        <div><h3>softmax(s)</h3><canvas class="base" role="img"></canvas><p aria-live="polite"></p></div>
        <div><h3>LMAM: softmax(tanh s)</h3><canvas class="ours" role="img"></canvas><p aria-live="polite"></p></div>
      </div><p class="lmam-say">Row i has the weights that utterance i gives to every other; darker is more. Scores are random and the same on both sides.</p>`;
    const form = box.querySelector("form"), [scaleSlider, nSlider] = form.querySelectorAll("input");
    const [scaleOut, nOut] = form.querySelectorAll("output");
    function draw() {
      const scale = 10 ** (+scaleSlider.value / 2), n = +nSlider.value;
      scaleOut.value = "× " + (scale < 10 ? scale.toPrecision(2) : Math.round(scale));
      nOut.value = n;
      scaleSlider.setAttribute("aria-valuetext", scaleOut.value);
      box.querySelectorAll(".lmam-two > div").forEach((side, k) => {
        const { found, largest, used } = weights(k ? Math.tanh : s => s, n, scale), canvas = side.querySelector("canvas");
        paint(canvas, found, n);
        canvas.setAttribute("aria-label", `${n} by ${n} attention weights, the largest ${percent(largest)}`);
        side.querySelector("p").innerHTML = `largest weight <b data-largest>${percent(largest)}</b><br>attention is spread over at least <b>${used.toFixed(1)}</b> of ${n}` +
          (k ? `<br>proven: no weight above e² / (e² + n − 1) = <b data-bound>${percent(E2 / (E2 + n - 1))}</b>, spread over at least n / √e = ${(n / Math.sqrt(Math.E)).toFixed(1)}` : "<br>no bound: at a large scale one utterance takes all");
      });
    }
    form.oninput = draw;
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  function parameters(box) {
    box.innerHTML = `<form class="lmam-sliders">${slider("width d", "width", 16, 1024, 4, 512)}${slider("rank r", "rank", 1, 512, 1, 45)}
      <label for="lmam-output">output layer (Eq. 7)</label><input id="lmam-output" type="checkbox" checked><span></span></form>
      <div class="lmam-share" role="img"><span></span><i></i></div><p aria-live="polite"></p>`;
    const form = box.querySelector("form"), [width, rank, output] = form.querySelectorAll("input");
    const [widthOut, rankOut] = form.querySelectorAll("output"), bar = box.querySelector(".lmam-share");
    function draw() {
      const d = +width.value, whole = d * d + d;
      rank.max = d;
      const r = Math.min(d, +rank.value);
      widthOut.value = d;
      rankOut.value = r;
      const ours = (2 * r + 1) * (1 + d) + 2 * d + (output.checked ? whole : 0);
      const theirs = (output.checked ? 4 : 3) * whole, share = ours / theirs;
      const holds = share < 1 / 3 ? "The claimed third holds here." : "The claimed third does not hold here.";
      const count = k => k.toLocaleString("en");
      box.querySelector("p").innerHTML = `One modality: LMAM <b data-ours>${count(ours)}</b> parameters, self-attention <b data-theirs>${count(theirs)}</b>` +
        `, ${output.checked ? "both with" : "neither with"} an output layer. Share <b data-share>${share.toFixed(3)}</b>; claimed: below 0.333. ${holds}`;
      bar.firstElementChild.style.width = `${Math.min(100, 100 * share)}%`;
      bar.setAttribute("aria-label", `LMAM has ${percent(share)} of self-attention's parameters; a third is marked`);
    }
    form.oninput = draw;
    draw();
  }

  document.querySelectorAll(".lmam-playground").forEach(box => {
    ({ attention, parameters })[box.dataset.part](box);
    box.querySelectorAll("form").forEach(form => form.addEventListener("submit", event => event.preventDefault()));
    box.dataset.ready = "";
  });
})();

// Sorting and filtering of the scoreboard; words, datasets and families are read from the rows. State in the address.
(() => {
  const box = document.getElementById("lmam-scoreboard"), table = box.querySelector("table"), body = table.tBodies[0];
  const rows = [...body.rows], FIELDS = { word: "Verdict", dataset: "Data", family: "Family" };
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const form = make("form", { className: "lmam-form" }), select = {};
  for (const [name, title] of Object.entries(FIELDS)) {
    const counts = new Map();
    rows.forEach(row => counts.set(row.dataset[name], (counts.get(row.dataset[name]) || 0) + 1));
    select[name] = make("select", { name }, new Option("all", ""));
    counts.forEach((count, word) => select[name].append(new Option(`${word} (${count})`, word)));
    form.append(make("label", {}, title + " ", select[name]));
  }
  const search = make("input", { type: "search", name: "text", placeholder: "any words" });
  form.append(make("label", {}, "Text ", search));
  const say = make("p", { className: "lmam-say" });
  say.setAttribute("aria-live", "polite");
  box.prepend(form, say);

  // What a column is sorted by: the first number of a cell, else its text; cells without either stay last.
  const key = (row, k) => {
    const text = row.cells[k].textContent.trim(), number = /[-+−]?\d[\d,]*\.?\d*/.exec(text);
    return k && number ? +number[0].replace("−", "-").replaceAll(",", "") : k ? (text === "–" ? null : text) : row.dataset.word + text;
  };
  [...table.tHead.rows[0].cells].slice(0, 4).forEach((cell, k) => {
    const button = make("button", { type: "button", textContent: cell.textContent });
    cell.replaceChildren(button);
    button.onclick = () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      [...cell.parentNode.cells].forEach(other => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = rows.map(row => [key(row, k), row]).sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : typeof a === typeof b ? String(a).localeCompare(b) : typeof a === "number" ? -1 : 1;
        return down ? -order : order;
      });
      body.append(...sorted.map(([, row]) => row));
    };
  });

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = Object.keys(FIELDS).some(name => select[name].value && row.dataset[name] !== select[name].value) || !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    say.textContent = `${shown} of ${rows.length} claims`;
  }
  function store() {
    filter();
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", `${location.pathname}${asked.size ? "?" + asked : ""}${asked.size ? "" : location.hash}`);
  }
  form.addEventListener("input", store);
  form.addEventListener("submit", event => event.preventDefault());
  for (const [name, value] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = value;
  filter();
  box.dataset.ready = "";
})();

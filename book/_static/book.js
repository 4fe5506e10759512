// Boxes that scroll sideways take focus, so that the arrow keys scroll them, and say that they scroll.
(() => {
  const BOXES = ".pst-scrollable-table-container, .lmam-table-box, .bd-content div.cell_output, .bd-content .cell_output .text_html, mjx-container[display=true], div.math, div.highlight pre";
  const more = box => box.classList.toggle("lmam-more", box.matches(".lmam-scrolls") && box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  const look = box => {
    const scrolls = box.scrollWidth > box.clientWidth + 2 && getComputedStyle(box).overflowX !== "visible";
    box.classList.toggle("lmam-scrolls", scrolls);
    more(box);
    if (scrolls && box.getAttribute("tabindex") !== "0") {  // the theme gives -1 to code that it sees folded
      box.tabIndex = 0;
      if (!box.hasAttribute("role")) box.setAttribute("role", "region");
      const name = box.querySelector("caption, .lmam-caption, img[alt]");
      if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", (name && (name.alt || name.textContent.trim())) || "Wide content, scrolls sideways");
    }
  };
  const all = () => document.querySelectorAll(BOXES).forEach(look);
  addEventListener("load", all);
  addEventListener("resize", all);
  document.addEventListener("toggle", all, true);
  document.addEventListener("scroll", event => event.target.matches?.(".lmam-scrolls") && more(event.target), true);
  document.addEventListener("change", event => event.target.matches(".sd-tab-set > input") && requestAnimationFrame(all));
  const later = new MutationObserver(() => requestAnimationFrame(all));
  addEventListener("load", () => document.querySelectorAll(".lmam-touch").forEach(box => later.observe(box, { childList: true, subtree: true })));
})();

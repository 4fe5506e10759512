"""What chapters show: figures' style, package code, tables of the paper beside ours, provenance."""

from __future__ import annotations

import inspect
import itertools
import platform
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from IPython.display import HTML, Markdown
from markupsafe import Markup, escape

from lmam_book.verdicts.rule import slug
from lmam_core import paths

if TYPE_CHECKING:
    from lmam_core.data.dataset import Dataset
    from lmam_core.runs.store import Store

INK = "#7a828c"
"""Text and axes: a mid-tone that reads on white and on near-black."""
COLOURS = {
    "text": "#4c86c6",
    "audio": "#d9822b",
    "video": "#57a773",
    "nonverbal": "#b07aa1",
    "lmam": "#c9504a",
    "baseline": "#8a93a0",
    "paper": "#9467bd",
}
"""One colour for one thing in every figure."""
TONES = {
    scheme: dict(zip((INK, *COLOURS.values()), tones, strict=True))
    for scheme, tones in {
        "light": ("48566b", "376fad", "9e5d1c", "3f7853", "955884", "c04039", "636d7a", "8755b5"),
        "dark": ("9ca4af", "6396cd", "d9822b", "57a773", "b582a7", "d57873", "8a93a0", "a782c9"),
    }.items()
}
"""What takes a colour's place in a published figure, by scheme; one tone for both would have less than 4.5 : 1."""
NAMED = 3
"""Versions of the code that a footer names; of more it gives the number."""
SENTENCE = 40
"""Cells of more characters are sentences, which wrap at a width that reads well."""


def style() -> None:
    """Set matplotlib up for the book, and have every figure give its narrow form, for a phone, beside itself."""
    import matplotlib.style as of_figures
    from IPython.core.getipython import get_ipython
    from matplotlib.figure import Figure
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    from lmam_book.pages.narrow import narrow_metadata

    set_matplotlib_formats("svg", metadata={"Date": None})
    of_figures.use(look())
    if (shell := get_ipython()) and (formatter := shell.display_formatter):
        formatter.mimebundle_formatter.for_type(Figure, narrow_metadata)


def look() -> dict[str, Any]:
    """Matplotlib's settings: transparent SVG in mid-tones that read in the light and the dark scheme."""
    from cycler import cycler

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
    return {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "savefig.transparent": True,
        "figure.figsize": (7.0, 3.2),
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "hatch.linewidth": 0.6,
        "axes.prop_cycle": cycler(color=[COLOURS[k] for k in ("text", "audio", "video", "lmam", "nonverbal")]),
        "svg.hashsalt": "lmam",  # the same figure gives the same bytes
        **dict.fromkeys(inked, INK),
    }


def source(thing: Callable[..., Any] | type) -> Markdown:
    """The package's own code of a function, class or method, with a link to its file and line: what runs is shown."""
    lines, first = inspect.getsourcelines(thing)
    code = f"```python\n{textwrap.dedent(''.join(lines)).rstrip()}\n```"
    path, root = Path(inspect.getsourcefile(thing) or ""), paths.CHECKOUT
    if root is None or not path.is_relative_to(root):
        return Markdown(code)
    name = path.relative_to(root).as_posix()
    repository = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    address = f"{repository['url']}/blob/{repository['branch']}/{name}#L{first}"
    return Markdown(f"{code}\n\n[`{name}`, line {first}]({address})")


def table(frame: pd.DataFrame, caption: str = "", digits: int = 2) -> HTML:
    """A frame as an HTML table without its index; floats with `digits` decimals, NaN as a dash.

    Sentences and words wrap, so that wide tables fit; what holds a digit, as numbers and intervals do, stays on a line.
    Text is escaped, for names come from files that others wrote; HTML of our own is `Markup`, as `badge` gives it.
    """

    def cell(v: Any) -> Any:
        if isinstance(v, float):
            return f"{v:.{digits}f}" if pd.notna(v) else "–"
        if not isinstance(v, str):
            return v if pd.api.types.is_scalar(v) else escape(v)
        plain = v.striptags() if isinstance(v, Markup) else v
        if len(plain) > SENTENCE:
            return Markup("<span class='lmam-sentence'>{}</span>").format(v)
        words = v == plain and " " in plain and not re.search(r"\d", plain)
        return Markup("<span class='lmam-words'>{}</span>").format(v) if words else escape(v)

    shown = frame.map(cell).rename(columns=lambda name: escape(str(name).replace("_f1", " F1")))
    body = shown.to_html(index=False, border=0, na_rep="–", escape=False, classes="lmam-table")
    title = Markup("<p class='lmam-caption'>{}</p>").format(caption) if caption else ""
    return HTML(f"<div class='lmam-table-box'>{title}{body}</div>")


def fold(summary: str, *parts: HTML) -> HTML:
    """Outputs under a line that opens them."""
    return HTML(f"<details><summary>{summary}</summary>{''.join(part.data for part in parts)}</details>")


def tabs(group: str, panels: Mapping[str, tuple[str, HTML]]) -> HTML:
    """Panels of which one shows, by a tab: `panels` maps a key to title and content. All sets of a `group` go together.

    The markup is sphinx-design's, whose script keeps sets in step, on other pages too. The choice itself needs none:
    each tab is a radio button, so that arrow keys work. In print all panels show.
    """
    name, parts = f"{group}-{next(_SETS)}", []
    for k, (key, (title, content)) in enumerate(panels.items()):
        checked = " checked" if k == 0 else ""
        parts.append(
            f"<input type='radio' id='{name}-{k}' name='{name}'{checked}><label class='sd-tab-label' for='{name}-{k}' "
            f"data-sync-group='{group}' data-sync-id='{key}'>{escape(title)}</label>"
            f"<div class='sd-tab-content'>{content.data}</div>"
        )
    # JupyterLab does not have sphinx-design's style.
    style = "<style>.sd-tab-set > input:not(:checked) + label + .sd-tab-content { display: none; }</style>"
    return HTML(f"{style}<div class='sd-tab-set' role='radiogroup' aria-label='{group}'>{''.join(parts)}</div>")


_SETS = itertools.count(1)


def prose(text: str) -> Markdown | HTML:
    """Markdown, or nothing for an empty text: of an empty Markdown object a page shows the name of its class."""
    return Markdown(text) if text else HTML("")


def badge(verdict: str) -> Markup:
    """A verdict as a coloured word."""
    return Markup("<span class='verdict verdict-{}'>{}</span>").format(slug(verdict), verdict)


def untex(text: str) -> str:
    """A text as a figure shows it letter by letter: what stands between two dollars matplotlib reads as TeX."""
    return text.replace("$", r"\$")


def note(data: Dataset) -> HTML:
    """The sentence on where a page's numbers come from; a banner where the data is generated."""
    kind = "synthetic-note" if data.synthetic else "data-note"
    sets = ", ".join(f"{m} {name} ({data.widths[m]})" for m, name in data.feature_sets.items())
    label = "Synthetic data. " if data.synthetic else ""
    text = Markup("<div class='{}'><strong>{}</strong>{} Features here: {}.</div>")
    return HTML(str(text.format(kind, label, data.about, sets)))  # a plain string, to which others may be added


def footer(store: Store | None = None, parameters: dict[str, Any] | None = None) -> HTML:
    """Where a page's numbers came from: package version, code, libraries, machine and the notebook's parameters.

    Of a `store` the runs that this process has read, at its end those that the page used.
    The code is the one that ran the page, which is not run again as long as what it imported and read stays as it is.
    """
    import torch

    from lmam_core import __version__
    from lmam_core.runs.provenance import code_version
    from lmam_core.runs.store import READ

    rows: dict[str, Any] = {
        "lmam_core": f"{__version__}, run with code {code_version()}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
    }
    if parameters:
        rows["parameters"] = ", ".join(f"{k}={v}" for k, v in parameters.items())
    if store is not None:
        codes = [code for path, code in READ.items() if path.is_relative_to(store.root)]
        versions = sorted({*codes} - {""})
        named = ", ".join(versions) if len(versions) <= NAMED else f"{len(versions)} versions (data/code_versions.csv)"
        rows["stored runs"] = f"{len(codes)} read" + (f", made by code {named}" if versions else "")
    cells = "".join(Markup("<tr><th>{}</th><td>{}</td></tr>").format(k, v) for k, v in rows.items())
    return HTML(f"<table class='provenance'>{cells}</table>")

"""A Sphinx extension: what a page's head says, what its search index knows, and what it need not load.

The theme loads a script of 1.5 MB for a dozen icons, whose fonts its style sheet knows as well, and the search index on
every page. Fonts are cut down to the icons that are used, and the index is left to the page that searches.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

ICONS, UNUSED = (
    re.compile(rf'\s*<script[^>]*src="[^"]*({names})\.js[^"]*"[^>]*></script>')
    for names in ("scripts/fontawesome", "scripts/fontawesome|searchtools|language_data|searchindex")
)
"""The icons' script, and what only the page that searches needs beside it."""
NUMBERS = " ||\n        queryTerm.match(/^\\d+$/)"
"""Where Sphinx's search leaves numbers out of a query."""
MISNAMED = re.compile(
    r'(?<=<summary) aria-label="[^"]*"'
    r'|(?<=search-button-field search-button__button pst-js-only" title="Search") aria-label="Search"'
)
"""Names for screen readers that are others than the words one sees."""
ICON = re.compile(r'<i class="[^"]*\bfa-(?!solid|brands|regular|lg)([a-z-]+)')
RULE = re.compile(r'[^{}]*\.fa-[^{}]*:before\{content:"[^"]*"\}')
"""A rule of the style sheet that gives icons their glyph."""
FONTS = {"solid": ("Free", 900), "brands": ("Brands", 400)}
"""The theme's icon fonts, by file: the end of the family's name and the weight."""
LENGTH = 200
"""Characters of a description."""
WRAPPED = re.compile(r"(</(?:t[dhr]|p|li|div|text|caption)>|<br/?>)(?=\S)")
NUMBER = re.compile(r"\b\d{1,3}(?:,\d{3})+\b")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect everything below to the build."""
    app.connect("doctree-resolved", searchable)
    app.connect("html-page-context", described, priority=900)
    app.connect("build-finished", lightened)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def searchable(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Let search find what outputs say: words of neighbouring cells stay apart, and 1,564 is found as 1564 as well."""
    for node in doctree.findall(nodes.raw):
        if "html" in node.get("format", ""):
            node.children = [nodes.Text(WRAPPED.sub(r"\1\n", node.astext()))]
            node.rawsource = node.astext()
    numbers = dict.fromkeys(number.replace(",", "") for number in NUMBER.findall(doctree.astext()))
    if numbers:
        doctree.append(nodes.comment())  # keeps the last section whole for what looks at the end of a page
        doctree.append(nodes.meta(name="keywords", content=",".join(numbers)))


def described(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page its description and what a link to it shows elsewhere."""
    if doctree is None:
        return
    title = app.config.html_title if name == app.config.root_doc else f"{context['title']} · {app.config.html_title}"
    about = _about(doctree)
    address = app.config.html_baseurl
    tags = {"og:type": "article", "og:site_name": app.config.html_title, "og:title": html.unescape(_plain(title))}
    tags |= {"og:description": about, "og:url": f"{address}{name}.html", "og:image": f"{address}_static/card.png"}
    lines = "".join(f'<meta property="{k}" content="{html.escape(v)}" />\n' for k, v in tags.items())
    lines += f'<meta name="description" content="{html.escape(about)}" />\n'
    lines += '<meta name="twitter:card" content="summary_large_image" />\n'
    context["metatags"] = context.get("metatags", "") + lines


def _about(doctree: nodes.document) -> str:
    """The first paragraphs of a page, up to `LENGTH` characters, whole words."""
    text = " ".join(p.astext() for p in doctree.findall(nodes.paragraph) if not isinstance(p.parent, nodes.Admonition))
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LENGTH else text[:LENGTH].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def _plain(text: str) -> str:
    return re.sub(r"<[^>]*>", "", text)


def lightened(app: Sphinx, error: Exception | None) -> None:
    """Take from every page what it need not load and say its name once; let search look for numbers."""
    if error is not None or app.builder.format != "html":
        return
    out, icons = Path(app.outdir), set[str]()
    for path in out.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        icons |= set(ICON.findall(text))
        lean = (ICONS if path.name == "search.html" else UNUSED).sub("", text)
        lean = re.sub(r"<title>(.+?) &#8212; \1</title>", r"<title>\1</title>", lean)
        lean = MISNAMED.sub("", lean)
        path.write_text(lean, encoding="utf-8")
    tools = out / "_static" / "searchtools.js"
    tools.write_text(tools.read_text(encoding="utf-8").replace(NUMBERS, ""), encoding="utf-8")
    _icons(out, icons)


def _icons(out: Path, names: set[str]) -> None:
    """Leave the icons that are used in the theme's style sheet and fonts."""
    theme, folder = out / "_static" / "styles", out / "_static" / "vendor" / "fontawesome" / "webfonts"
    for script in (out / "_static" / "scripts").glob("*-theme.js"):
        names |= set(re.findall(r"\bfa-([a-z-]+)", script.read_text(encoding="utf-8")))
    style = (theme / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    style = RULE.sub(lambda rule: rule[0] if names & set(re.findall(r"\.fa-([a-z0-9-]+):", rule[0])) else "", style)
    used = style + (theme / "sphinx-book-theme.css").read_text(encoding="utf-8")
    faces = ""
    for file, (family, weight) in FONTS.items():
        with TTFont(folder / f"fa-{file}-{weight}.ttf") as font:
            cut = subset.Subsetter()
            cut.populate(unicodes={int(code, 16) for code in re.findall(r'"\\([0-9a-f]{4})"', used)})
            cut.subset(font)
            font.flavor = "woff"
            font.save(folder / f"{file}.woff")
        faces += f'@font-face{{font-family:"Font Awesome 6 {family}";font-weight:{weight};'
        faces += f'src:url(../vendor/fontawesome/webfonts/{file}.woff) format("woff")}}\n'
    style = re.sub(r"@font-face\s*\{[^}]*fontawesome[^}]*\}", "", style)
    (theme / "pydata-sphinx-theme.css").write_text(faces + style, encoding="utf-8")

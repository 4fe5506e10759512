"""What the README and the prose pages say can be done: commands parse, code runs, links and paths lead somewhere."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import torch
import yaml

from lmam_book.build.generated import BLOCK
from lmam_book.build.pages import with_register_names
from lmam_book.cli import lmam
from lmam_book.paper.printed import table
from lmam_book.plans import tasks
from lmam_book.plans.plans import PLANS
from lmam_book.plans.studies import STUDIES
from lmam_book.verdicts import rule
from lmam_core import LMAM, limits
from lmam_core.data import catalogue
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS
from lmam_core.models.fusion import FUSIONS
from lmam_core.models.lmam import READINGS, VARIANTS
from lmam_core.runs.training import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "book").glob("*.md"))
PROSE = [README, *PAGES]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]


def commands(path: Path) -> list[list[str]]:
    """The command lines of a page's bash blocks, without comments and what follows a redirection."""
    lines = [line for body in blocks(path, "bash") for line in body.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[: words.index(">")] if ">" in words else words for words in found if words]


def test_commands_are_found():
    assert len([c for path in PROSE for c in commands(path)]) > 20
    assert {"make", "papermill", "lmam"} <= {c[0] for c in commands(README)}


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_make_commands_are_targets(path):
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    assert {"book", "test"} <= targets
    named = {c[1] for c in commands(path) if c[0] == "make"}
    named |= set(re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")))
    assert named <= targets


def lmam_commands() -> list[str]:
    """Every `lmam ...` of a bash block or of the running text, where NAME stands for a name."""
    shown = {shlex.join(c[1:]) for path in PROSE for c in commands(path) if c[0] == "lmam"}
    for path in PROSE:
        shown |= set(re.findall(r"`lmam ([a-z][^`|]*)`", path.read_text(encoding="utf-8")))
    return sorted(shown)


@pytest.mark.parametrize("line", lmam_commands())
def test_lmam_commands_parse(line):
    command, words = lmam, shlex.split(line.replace("NAME", "bc_lstm"))
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    try:
        given = command.make_context(command.name, words).params
    except (click.MissingParameter, click.BadOptionUsage):  # prose names a command or an option without its argument
        return
    plans = [*PLANS, *STUDIES, *tasks.PLANS, "traits", "all"]
    for name, known in {"backbone": BACKBONES, "dataset": catalogue.names(None), "plan": plans}.items():
        own = name == "dataset" and given.get(name) and catalogue.is_path(given[name])
        assert own or {*(given.get(name) or next(iter(known))).split(",")} <= {*known}


def test_every_lmam_command_has_an_example():
    assert {line.split()[0] for line in lmam_commands()} >= set(lmam.commands)


def test_options_in_the_text_exist():
    commands = [lmam, *lmam.commands.values(), *lmam.commands["data"].commands.values()]
    known = {name for command in commands for p in command.params for name in p.opts} | {"--help"}
    outside = {"--keep-id"}  # of nbstripout
    for path in PROSE:
        named = set(re.findall(r"`(--[a-z-]+)", path.read_text(encoding="utf-8")))
        assert named - outside <= known, path.name


def test_notebooks_of_papermill_commands_exist():
    for path in PROSE:
        for command in commands(path):
            if command[0] == "papermill":
                assert (ROOT / command[1]).is_file()
                assert command[2].endswith(".ipynb")
                assert command[3::3] == ["-p"] * len(command[3::3])


@pytest.mark.parametrize("path", [p for p in PROSE if blocks(p, "python")], ids=lambda path: path.name)
def test_python_blocks_run(path):
    batch = {m: torch.randn(2, 9, d) for m, d in {"text": 100, "audio": 100, "video": 512}.items()}
    namespace = {**batch, "mask": torch.ones(2, 9, dtype=torch.bool)} if path.name == "index.md" else {}
    for body in blocks(path, "python"):
        exec(compile(body, path.name, "exec"), namespace)
    if "fused" in namespace:
        assert namespace["fused"].shape == (2, 9, 712)


def test_the_readme_plugs_lmam_in():
    (body,) = blocks(README, "python")
    assert "from lmam_core import LMAM" in body
    assert "assert fused.shape == (2, 9, 712)" in body


def links(source: str) -> list[str]:
    """Where a page's links and pictures lead, without those to other sites."""
    prose = re.sub(r"(?<!})`[^`\n]*`", "", FENCE.sub("", source))  # code is not a link, a role such as {doc}`...` is
    found = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    return [link for link in found if not re.match(r"https?://", link)]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_relative_links_resolve(path):
    source = path.read_text(encoding="utf-8")
    labels = {label for page in PAGES for label in re.findall(r"^\(([\w-]+)\)=$", page.read_text("utf-8"), re.M)}
    targets = [link.split("#")[0] for link in links(source) if link not in labels]
    targets += re.findall(r"^```{figure} (\S+)", source, re.M)
    assert [target for target in targets if not (path.parent / unquote(target)).exists()] == []
    pages = re.findall(r"{doc}`(?:[^`<]*<)?([^`>]+)>?`", source)
    pages += re.findall(r"^:link: (\S+)\n:link-type: doc$", source, re.M)
    missing = [p for p in pages if not any((path.parent / f"{p}{end}").is_file() for end in (".md", ".ipynb"))]
    assert missing == []


def test_every_page_of_prose_is_in_the_table_of_contents():
    toc = yaml.safe_load(text("_toc.yml"))
    listed = {toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])}
    assert {f"book/{page.stem}" for page in PAGES} <= listed


def test_layout_names_what_exists():
    (tree,) = blocks(README, "text")
    assert tree.count("\n") <= 15
    parents: list[str] = []
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        parents = [*parents[:depth], name]
        assert (ROOT / "".join(parents)).exists(), "".join(parents)
        assert (ROOT / "".join(parents)).is_dir() == name.endswith("/")


def test_paths_in_the_text_exist():
    for path in PROSE:
        named = re.findall(r"`((?:book|data|lmam_core|notebooks|tests)/[\w./-]*)`", path.read_text(encoding="utf-8"))
        for name in named:
            if not re.search("NAME|NN-|data/cache", name):
                assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_messages_of_the_table_of_troubles_are_in_the_code():
    code = "".join(
        p.read_text(encoding="utf-8")
        for p in [ROOT / "Makefile", *(ROOT / "lmam_core").rglob("*.py"), *(ROOT / "book" / "lmam_book").rglob("*.py")]
    )
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a sentence that goes on in the next line of code
    table = text("book/how-to-run.md").split("| message | what to do |")[1].split("\n\n")[0]
    told = [cell for line in table.splitlines()[2:] for cell in re.findall("`([^`]+)`", line.split("|")[1])]
    assert len(told) > 10
    for message in told:
        if "torchvision" not in message:
            longest = max(message.split("…"), key=len).strip(" '()?")
            assert longest in code, message


def test_names_are_in_the_files_that_the_text_says():
    named = [
        (path, *found)
        for path in PROSE
        for found in re.findall(r"`(\w+)` in\s+`((?:lmam_core|book/lmam_book)/[\w/]+\.py)`", text(path))
    ]
    assert len(named) > 5
    for path, name, file in named:
        assert re.search(rf"^(?:class |def )?{name}\b", text(file), re.M), f"{path.name}: {name} is not in {file}"


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_no_path_of_one_machine(path):
    source = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.~])/(?:home|Users|root|mnt|opt)/\S*|\b[A-Z]:\\\S*", source) == []


def test_readme_is_short_and_has_room_for_verdicts():
    source = text("README.md")
    assert BLOCK.sub("", source).count("\n") < 120, "the table of verdicts aside"
    assert source.count("<!-- verdicts:begin -->") == source.count("<!-- verdicts:end -->") == 1
    assert source.index("<!-- verdicts:begin -->") < source.index("<!-- verdicts:end -->")


def test_pages_name_every_choice():
    records = [catalogue.entry(name) for name in catalogue.names()]
    pages = {
        "how-to-run": [*catalogue.names(), *BACKBONES, *FUSIONS, *EMBEDDINGS, *VARIANTS, *PROTOCOLS],
        "paper-vs-code": [*READINGS, *EMBEDDINGS, *(value for values in READINGS.values() for value in values)],
        "data-statement": [name for record in records for sets in record.feature_sets.values() for name in sets],
    }
    for page, names in pages.items():
        source = with_register_names(text(f"book/{page}.md"))
        assert [name for name in names if not re.search(rf'[`"]{name}[`",=]', source)] == [], page
    assert [word for word in rule.WORDS if word not in text("book/headline.md").lower()] == []


def test_variants_of_the_readme_exist():
    named = re.findall(r'`variant="(\w+)"`', text("README.md"))
    assert named
    for variant in named:
        assert LMAM({"text": 4}, rank=2, variant=variant).variant == variant


def test_sizes_are_those_of_the_catalogue_and_of_table_i():
    source = text("book/data-statement.md")
    frame, name, seen = table(1), "", 0
    for line in source.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or cells[1] not in ("train + val", "test"):
            continue
        name, seen = cells[0] or name, seen + 1
        printed = frame[(frame.dataset == name) & (frame.row == cells[1].replace(" ", ""))].set_index("column").value
        theirs = cells[3].replace(",", "").split(" / ")
        assert theirs == [str(printed["dialogues"]), str(printed["utterances"])]
        about = catalogue.entry({"CMU-MOSI": "mosi"}.get(name, name.lower())).about
        if (name, cells[1]) != ("MELD", "train + val"):
            assert [count for count in cells[2].split(" / ") if count not in re.findall(r"[\d,]*\d", about)] == []
    assert seen == 6


def test_meld_adds_up():
    counts = re.findall(r"[\d,]*\d", catalogue.entry("meld").about)
    _, train, validation, _, train_utterances, validation_utterances, _ = (int(n.replace(",", "")) for n in counts)
    said = f"{train + validation:,} / {train_utterances + validation_utterances:,}"
    assert f"| MELD | train + val | {said} |" in text("book/data-statement.md")


def test_the_page_on_limits_says_what_the_code_holds_to():
    page = text("book/how-to-run.md").split("## Limits")[1]
    low, high = limits.SOUND_RATES
    side = round(limits.PICTURE_PIXELS**0.5)
    for said in (
        f"{limits.SOUND_SECONDS / 3600:.0f} hours, {low:,} to {high:,} Hz, {limits.SOUND_CHANNELS} channels",
        f"{side:,} by {side:,}",
        f"{limits.DECODE_SECONDS:.0f} s, in a process",
        f"{limits.ANSWER_SECONDS:.0f} s; {limits.SILENT_SECONDS:.0f} s without a byte",
        f"at least {limits.BYTES_PER_SECOND:,} bytes per second",
        f"{limits.PICKLE_DEPTH} containers deep, {limits.PICKLE_KEYS:,} values in keys",
        f"{limits.RUN_BYTES >> 20} MB |",
        f"{limits.CHAPTER_MINUTES} minutes (`lmam book --minutes`), {limits.CELL_BYTES >> 20} MB per cell",
    ):
        assert said in page

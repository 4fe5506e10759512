"""`python -m tests.typed`: mypy, and a list of untyped modules that can only get shorter.

The list in pyproject.toml names the modules whose errors mypy passes over. One that has none any more must leave it,
and none may come: so whoever types a module cannot lose what is gained.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

from mypy import api

ROOT = Path(__file__).resolve().parents[1]


def listed(root: Path = ROOT) -> list[str]:
    """The modules whose errors are passed over."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (modules,) = (part["module"] for part in project["tool"]["mypy"]["overrides"] if part.get("ignore_errors"))
    return modules


def strict(root: Path = ROOT) -> str:
    """The settings of mypy without the list, as a pyproject.toml of their own."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    tables = re.findall(r"^\[+tool\.mypy.*?(?=^\[|\Z)", text, re.M | re.S)
    return "".join(table for table in tables if "ignore_errors" not in table)


def module(path: str) -> str:
    """`book/lmam_book/bench/cost.py` as `lmam_book.bench.cost`."""
    return path.removeprefix("book/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def judge(lines: list[str], exempt: list[str]) -> list[str]:
    """What is wrong, in sentences: errors of modules that are not listed, and listed modules without an error."""
    errors = defaultdict(list)
    for line in lines:
        if found := re.match(r"([\w/]+\.py):\d+: (?:error|note): ", line):
            errors[module(found[1])].append(line)
    wrong = [line for name, said in errors.items() if name not in exempt for line in said]
    for name in exempt:
        if name not in errors:
            wrong.append(
                f"pyproject.toml: mypy finds nothing wrong with {name}: take it from the list of untyped modules."
            )
    return wrong


def main() -> int:
    cache = ROOT / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    config = cache / "strict.toml"
    config.write_text(strict(), encoding="utf-8")
    said, trouble, status = api.run(["--config-file", str(config), "--cache-dir", str(cache), "--no-error-summary"])
    if trouble or status > 1:
        print(said + trouble, file=sys.stderr)
        return 2
    wrong = judge(said.splitlines(), listed())
    print("\n".join(wrong) if wrong else f"Types agree; {len(listed())} modules are not typed yet.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

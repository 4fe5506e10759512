"""The environment of the processes that a build starts."""

import json
import os
import sys
from pathlib import Path

from lmam_core.paths import SOURCE

TRACING = Path(__file__).with_name("tracing")
"""The folder whose `sitecustomize` notes what a process reads."""
TOLD = "gave up: "
"""What opens the line of a chapter's log that says in one sentence why its process gave up."""


def environment(root: Path) -> dict[str, str]:
    """Return the environment of a run: this interpreter as kernel `python3`, no user settings, one thread.

    One thread whatever the number of runs: a chapter's numbers must not depend on how many others are stale.
    """
    kernels = root / "_build" / "jupyter"
    (kernels / "kernels" / "python3").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernels / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    settings = {"JUPYTER_PATH": kernels, "IPYTHONDIR": root / "_build" / "ipython", "OMP_NUM_THREADS": 1}
    # A package that is not installed but lies beside this file (a plain checkout) is found by the runs as well.
    settings["PYTHONPATH"] = search_path(SOURCE, SOURCE / "book")
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


def search_path(*first: Path) -> str:
    """PYTHONPATH as it is, behind some other folders."""
    return os.pathsep.join(filter(None, [*map(str, first), os.environ.get("PYTHONPATH")]))


END_WITH_BUILD = """import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
"""
"""What a process of a build runs first: it ends when its standard input closes, so that it outlives its build in no
case, not even SIGKILL."""
LIGHT = 'sys.modules["rfc3987_syntax"] = None\n'
"""And second: jsonschema, which checks notebooks, goes without its optional check of addresses, whose parser takes it
more than a second to build."""

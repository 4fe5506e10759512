"""The command line: `lmam run | sweep | predict | results | data | bench | verify | book`, one file per command.

Each file imports click alone; torch, pandas and the rest come when a command runs, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher

import click
from click.shell_completion import shell_complete

from lmam_book.cli.bench import bench
from lmam_book.cli.book import book
from lmam_book.cli.data import data
from lmam_book.cli.predict import predict
from lmam_book.cli.results import results
from lmam_book.cli.run import run
from lmam_book.cli.sweep import sweep
from lmam_book.cli.verify import verify
from lmam_core import __version__
from lmam_core.errors import LmamError
from lmam_core.signals import ended_like_ctrl_c

INTERRUPTED = dict.fromkeys(("sweep", "data", "book"), "the same command goes on where it stopped") | {
    "bench": "what is not shown above was not measured",
    "run": "no run was kept; the same command begins anew, a recommendation after its last whole epoch",
}
"""What an interruption leaves, by command; the others keep nothing."""
ALIKE = 0.7
"""Of two options' names, from which on one may be meant by the other."""
COMPLETION = "_LMAM_COMPLETE"
"""The variable by which a shell asks for completions, or for the script that makes it ask."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="lmam %(version)s")
@click.pass_context
def lmam(context: click.Context) -> None:
    """Experiments, predictions, results and pages of the LMAM Book."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (run, sweep, predict, results, data, bench, verify, book):
    lmam.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a mistake in what was asked is one sentence on the error stream and exit code 2."""
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(lmam, {}, "lmam", COMPLETION, instruction)
    given = list(sys.argv[1:] if arguments is None else arguments)
    context = None
    try:
        with ended_like_ctrl_c(), lmam.make_context("lmam", given) as context:
            code = lmam.invoke(context) or 0
        sys.stdout.flush()
        return int(code)
    except click.exceptions.Exit as done:  # after --help and --version
        return done.exit_code
    except click.NoSuchOption as error:
        name = error.option_name.lstrip("-")
        near = [p for p in error.possibilities or () if SequenceMatcher(None, name, p.lstrip("-")).ratio() >= ALIKE]
        print(f"lmam: {click.NoSuchOption(error.option_name, possibilities=near).format_message()}", file=sys.stderr)
        return 2
    except (LmamError, click.ClickException) as error:
        sentence = error.format_message() if isinstance(error, click.ClickException) else error
        print(f"lmam: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        named = context.invoked_subcommand if context else None
        left = INTERRUPTED.get(named or "", "nothing was kept; the same command begins anew")
        print(f"lmam: interrupted; {left}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `lmam results --csv | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

"""The command ``steelyard``: its verbs by name, and what becomes of an error.

A verb's module is imported when the verb is called, so that it may import what it needs at its top
and ``steelyard --help`` still loads nothing heavy.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from steelyard.harness import __version__
from steelyard.harness.cli.endings import (
    INTERRUPTED,
    STOPPED,
    ending_on_sigterm,
    natives_kept,
    say,
    told,
)
from steelyard.harness.errors import EXIT_USAGE, STOPPING
from steelyard.harness.files import screened
from steelyard.harness.interpreters import leave_out_working_folder

# Scoring and training never need a hub that the user did not name; libraries stay quiet.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Threads that spin while they wait make two busy processes many times slower than one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# One bar at a time, and it is ours.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DATASETS_VERBOSITY", "error")


class Application(typer.Typer):
    """The command, whose errors reach :func:`main`: Typer itself exits with 1 on some of them."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See :meth:`typer.Typer.__call__`; returns the exit code."""
        return super().__call__(*arguments, **{"standalone_mode": False, **options})


app = Application(
    name="steelyard",
    help="Decides whether a fine-tuned language model ships: train, score, compare, gate, report.",
    epilog="Start with: steelyard demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: Verb -> its module in ``verbs`` and its line of the help page: what the verb's own page begins
#: with, written here too because the page imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "demo": (
        "demo",
        "Tune the embedded microworld seven ways, score, compare, gate, report. No network, no "
        "GPU.",
    ),
    "run": (
        "run",
        "Train, score, compare, gate and report an experiment; run it again to resume.",
    ),
    "train": (
        "train",
        "Train the candidates of an experiment and keep their checkpoints; nothing is scored.",
    ),
    "eval": ("evaluate", "Score one checkpoint on a suite and keep the run."),
    "compare": (
        "compare",
        "Compare runs with a baseline, sample by sample; exit 3 where they cannot be compared.",
    ),
    "gate": ("gate", "Hold the rules of a policy against runs; the exit code is the verdict."),
    "plan": (
        "plan",
        "Say beforehand what training takes, and how many samples each rule needs.",
    ),
    "report": ("report", "Render the comparison report of an experiment's current runs."),
    "leaderboard": (
        "leaderboard",
        "Build a leaderboard site; runs whose intervals overlap share a rank.",
    ),
    "watch": (
        "watch",
        "Hold every release of a recipe against the first; exit 1 where the newest fell.",
    ),
    "export": ("exporting", "Write runs in the formats of other tools."),
    "list": (
        "listing",
        "List trainers, tasks, suites, metrics, renderers, executors, meters or runs.",
    ),
    "show": (
        "show",
        "Show one thing in full: a trainer's options, a task's prompt and metrics, a run's scores.",
    ),
    "doctor": (
        "doctor",
        "Say what this machine can do, how its energy would be known, and what is missing.",
    ),
    "baseline": ("baseline", "A baseline as a file."),
    "import": ("importing", "Other tools' results as runs."),
    "store": ("store", "Look after a workspace: check, rebuild, gc, copy."),
    "tasks": ("tasks", "Check a task of your own."),
}


class LazyVerb(TyperCommand):
    """A verb known by its name and its line of the help page; imported when it is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """The context of the verb itself, whose command is then the one that runs."""
        return verb_command(str(self.name)).make_context(info_name, args, parent, **extra)


def verb_command(name: str) -> Any:
    """The verb's own command, or group of commands, from its module."""
    module, _ = VERBS[name]
    return typer.main.get_command(import_module(f"steelyard.harness.cli.verbs.{module}").app)


def _placeholder() -> None:
    """Never called: the verb's own function is."""


for _name, (_, _summary) in VERBS.items():
    app.command(_name, cls=LazyVerb, help=_summary)(_placeholder)


@app.callback(invoke_without_command=True)
def version_option(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Decides whether a fine-tuned language model ships."""
    if version:
        typer.echo(f"steelyard {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; a mistake of the user's is one line on stderr, never a traceback.

    What nobody foresaw is one line too, with the path of a log that holds the traceback, and exit
    70.
    """
    # It asks for a package that fetches code from a hub; the slower kernel is exact.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    leave_out_working_folder()
    with screened(), ending_on_sigterm():
        code = _carried_out()
    sys.exit(code)


def _carried_out() -> int:
    """The exit code, once what is to be said of an error has been said."""
    with natives_kept() as natives:
        try:
            code = app()
            sys.stdout.flush()
        except STOPPING as stop:
            # Typer turns Ctrl-C into its code, without a word.
            code = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else _code_of(stop)
        except BaseException as error:
            return told(error, natives)
        code = code if isinstance(code, int) else 0
        if code in STOPPED:
            say("stopped; the same command goes on from here", "yellow")
        return STOPPED.get(code, code)


def _code_of(stop: BaseException) -> int:
    code = stop.code if isinstance(stop, SystemExit) else None
    return code if isinstance(code, int) else EXIT_USAGE if code else 0


if __name__ == "__main__":
    main()

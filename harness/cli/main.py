"""The command ``steelyard``: its verbs by name, and what becomes of an error.

A verb's module is imported when the verb is called, so that it may import what it needs at its top
and ``steelyard --help`` still loads nothing heavy.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from steelyard.harness import __version__
from steelyard.harness.errors import EXIT_USAGE, SteelyardError

#: What a shell sees of Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130

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

app = typer.Typer(
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
    "report": ("report", "Render the comparison report of an experiment's newest runs."),
    "leaderboard": (
        "leaderboard",
        "Build a leaderboard site; runs whose intervals overlap share a rank.",
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
    """Run the command; a mistake of the user's is one line on stderr, never a traceback."""
    # It asks for a package that fetches code from a hub; the slower kernel is exact.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    try:
        app()
    except SteelyardError as error:
        for line in str(error).splitlines():  # one; of a file with several mistakes one each
            typer.secho(f"error: {line}", fg="red", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as leaving:
        # Typer turns Ctrl-C into this code, without a word.
        if leaving.code == INTERRUPTED:
            _stopped()
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        typer.secho(f"error: {error.filename or ''}: {error.strerror or error}", fg="red", err=True)
        sys.exit(EXIT_USAGE)


def _stopped() -> NoReturn:
    typer.secho("stopped; the same command goes on from here", fg="yellow", err=True)
    sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

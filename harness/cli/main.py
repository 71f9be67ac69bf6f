"""The command ``steelyard``: the composition root. Verbs import what they need when they run."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.cli.verbs import (
    baseline,
    compare,
    demo,
    doctor,
    evaluate,
    exporting,
    gate,
    importing,
    leaderboard,
    listing,
    plan,
    report,
    run,
    show,
    store,
    tasks,
    train,
)

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
app.command("demo")(demo.demo)
app.command("run", cls=StoreCommand)(run.run)
app.command("train", cls=StoreCommand)(train.train)
app.command("eval", cls=StoreCommand)(evaluate.evaluate)
app.command("compare", cls=StoreCommand)(compare.compare)
app.command("gate", cls=StoreCommand)(gate.gate)
app.command("plan", cls=StoreCommand)(plan.plan)
app.command("report", cls=StoreCommand)(report.report)
app.command("leaderboard", cls=StoreCommand)(leaderboard.leaderboard)
app.add_typer(baseline.app, name="baseline")
app.add_typer(importing.app, name="import")
app.command("export", cls=StoreCommand)(exporting.export)
app.add_typer(store.app, name="store")
app.add_typer(tasks.app, name="tasks")
app.command("list", cls=StoreCommand)(listing.list_things)
app.command("show", cls=StoreCommand)(show.show)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def version_option(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Decides whether a fine-tuned language model ships."""
    if version:
        from steelyard.harness import __version__

        typer.echo(f"steelyard {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; a mistake of the user's is one line on stderr, never a traceback."""
    import logging

    from steelyard.harness.errors import EXIT_USAGE, SteelyardError

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

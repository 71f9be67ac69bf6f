"""`--store`, for every verb that reads or writes runs: spelt once, and passed on by environment.

A verb's worker processes must find the same store, and an address may hold a password, which has no
place in a command line that everybody on the machine can read. So the option is the environment's
``STEELYARD_STORE`` for the time of the command.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from steelyard.harness.store import STORE_VARIABLE

_HELP = (
    "A store that machines share: postgresql://user@host/name?artifacts=s3://bucket/folder. "
    "`--workspace` then holds its cache. Passwords: ~/.pgpass, PGPASSWORD or STEELYARD_STORE."
)


class StoreCommand(TyperCommand):
    """A verb with `--store`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.append(_option())


@cache
def _option() -> Any:
    """The option as Typer makes it of a verb that has no other."""
    app = typer.Typer(add_completion=False)
    app.command()(_verb)
    return typer.main.get_command(app).params[0]


def _use_store(context: typer.Context, value: str | None) -> None:
    if value is None:
        return

    before = os.environ.get(STORE_VARIABLE)

    def restore() -> None:
        if before is None:
            os.environ.pop(STORE_VARIABLE, None)
        else:
            os.environ[STORE_VARIABLE] = before

    context.call_on_close(restore)
    os.environ[STORE_VARIABLE] = value


def _verb(
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help=_HELP, callback=_use_store, expose_value=False),
    ] = None,
) -> None:
    """Never called: it lends its option."""

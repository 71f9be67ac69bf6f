"""A PostgreSQL server of one's own: on loopback, in a private folder, under an unprivileged user.

Debian's ``postgresql`` is all it needs: ``initdb`` and ``pg_ctl`` are run from its folder, as the
user ``postgres`` where this process is root (PostgreSQL refuses root).
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER = "steelyard"


def programs() -> Path | None:
    """The folder of the newest server's programs; None where there is no server."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if folders:
        return folders[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@dataclass(frozen=True)
class Server:
    """A running server; ``stop`` and ``start`` take it down and up again."""

    folder: Path
    port: int
    password: str
    options: str

    def url(self, database: str, password: str | None = None) -> str:
        """``postgresql://steelyard:PASSWORD@127.0.0.1:PORT/DATABASE``."""
        return f"postgresql://{USER}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database; its address."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')  # type: ignore[arg-type]
        return self.url(database)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self.folder} {self.options}"
        )
        log = self.folder / "log"
        _run("pg_ctl", "-D", self.folder / "data", "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is a crash."""
        _run("pg_ctl", "-D", self.folder / "data", "-w", "-m", mode, "stop")


@contextmanager
def serving(options: str = "") -> Iterator[Server]:
    """A server for the length of the block; ``options`` are settings such as ``-c fsync=off``."""
    with tempfile.TemporaryDirectory(prefix="steelyard-pg-") as name:
        folder = Path(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        server = Server(folder, port, secrets.token_urlsafe(16), options)
        secret = folder / "password"
        secret.write_text(server.password)
        if os.geteuid() == 0:
            shutil.chown(folder, _user())
            shutil.chown(secret, _user())
        arguments = ("-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8")
        _run("initdb", "-D", folder / "data", "--no-sync", "--locale=C.UTF-8", *arguments)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(program: str, *arguments: object) -> None:
    folder = programs()
    assert folder is not None, "no PostgreSQL"
    command = [str(folder / program), *map(str, arguments)]
    as_user = {"user": _user(), "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if program != "pg_ctl" else subprocess.DEVNULL,
        text=True,
        cwd="/",
        **as_user,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{program}: {done.stdout}"

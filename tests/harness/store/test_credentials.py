"""A password of a shared store is in no file, on no screen and in no error, whatever goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.postgresql import Server

ITEMS = "id,acc\n" + "".join(f"q{i},{i % 2}\n" for i in range(40))


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> list[str]:
    """Everything that commands print, once ``steelyard`` has been called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return []


def _steelyard(
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *arguments: str,
) -> int:
    from steelyard.harness.cli.main import main

    monkeypatch.setattr(sys, "argv", ["steelyard", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capfd.readouterr()
    said += [out, err]
    return code


def _written(folder: Path, secret: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_a_password_is_written_nowhere_and_shown_nowhere(
    database: str,
    postgresql: Server,
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from steelyard.harness.store import open_store

    def steelyard(*arguments: str) -> int:
        return _steelyard(said, monkeypatch, capfd, *arguments)

    url = f"{database}?artifacts=file://{tmp_path}/files"
    for name, text in (("old", ITEMS), ("new", ITEMS.replace(",1", ",0", 3))):
        Path(f"{name}.csv").write_text(text)
        assert steelyard("import", "items", f"{name}.csv", "--store", url) == 0
    monkeypatch.setenv("STEELYARD_STORE", url)
    for command in (
        ["list", "runs"],
        ["show", "imported/new"],
        ["compare", "imported/old", "imported/new"],
        ["report", "imported", "--baseline", "old", "--format", "html", "-o", "page"],
        ["leaderboard", "-o", "site"],
        ["export", "imported/new", "--to", "csv", "-o", "exported"],
        ["baseline", "save", "imported/old", "-o", "old.steelyard.json.gz"],
        ["store", "check"],
        ["store", "rebuild"],
        ["store", "gc", "--delete"],
        ["store", "copy", "folder"],
    ):
        code = steelyard(*command)
        assert code in (0, 1, 3, 4), (command, said[-2:])
    assert len(open_store(tmp_path / "folder", "").runs.summaries()) == 2
    # What a killed command leaves behind: its lock names the command line that held it.
    monkeypatch.setattr(sys, "argv", ["steelyard", "run", "--store", url])
    with (
        open_store(Path(".steelyard")).leases.writing(shared=True),
        open_store(Path(".steelyard")).leases.held("k"),
    ):
        assert _written(tmp_path, postgresql.password) == []
    wrong = postgresql.url("postgres", "hunter2hunter2")
    assert steelyard("list", "runs", "--store", wrong) == 2
    assert "password authentication failed" in said[-1]
    assert steelyard("list", "runs", "--store", f"{database}?artifacts=/elsewhere") == 2
    assert steelyard("list", "runs", "--store", database.replace("postgresql", "mysql")) == 2
    assert steelyard("store", "copy", url.replace("file:", "nonsense:")) == 2
    assert steelyard("list", "runs", "--store", f"{database}x") == 2
    assert not [text for text in said if postgresql.password in text or "hunter2" in text]
    assert _written(tmp_path, postgresql.password) == []


def test_the_password_file_of_libpq_is_enough(
    database: str, postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.store.shared import open_shared

    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{postgresql.port}:*:*:{postgresql.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    bare = database.replace(f":{postgresql.password}@", "@")
    assert open_shared(tmp_path / "a", f"{bare}?artifacts={tmp_path}/files").runs.summaries() == []

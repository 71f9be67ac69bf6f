"""What a person at a terminal sees: its own width, and a word after Ctrl-C."""

from __future__ import annotations

import pytest

from steelyard.harness.cli import main
from steelyard.harness.cli.documents import for_screen
from steelyard.reports.document import Document, Notice, Section


def document() -> Document:
    notice = Notice(level="note", text="word " * 100)
    section = Section(id="verdicts", title="Verdicts", short="Verdicts", blocks=(notice,))
    return Document(
        kind="report", title="gate", subtitle="s", headline="h", sense="good", sections=(section,)
    )


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("100", 100), ("40", 80), ("900", 160)])
def test_a_document_is_as_wide_as_the_screen_within_reason(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = for_screen(document(), "terminal").splitlines()
    assert max(map(len, lines)) == width


def test_ctrl_c_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise SystemExit(130)

    monkeypatch.setattr(main, "app", interrupted)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 130
    assert "the same command goes on from here" in capsys.readouterr().err

"""What each renderer makes of one report and of one leaderboard, whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from steelyard.reports.document import Document
from steelyard.reports.renderers.github import Github
from steelyard.reports.renderers.junit import Junit
from steelyard.reports.renderers.markdown import Markdown
from steelyard.reports.renderers.terminal import Terminal
from steelyard.reports.site.leaderboard import build_leaderboard
from tests.golden.test_commands import COMMANDS
from tests.golden_text import FOLDER, Golden
from tests.reports.fake_runs import NAMES, fake_document, fake_run

RENDERERS: dict[str, Callable[[Document], str]] = {
    "terminal.txt": Terminal(width=80).render,
    "terminal_full.txt": Terminal(width=80, full=True).render,
    "markdown.md": Markdown().render,
    "comment.md": Markdown(comment=True).render,
    "github.txt": Github().render,
    "junit.txt": Junit().render,
}


def leaderboard() -> Document:
    return build_leaderboard([fake_run(name) for name in NAMES])


DOCUMENTS = {"report_document": fake_document, "leaderboard_document": leaderboard}
RENDERINGS = {
    f"{document}_{renderer}": partial(lambda make, render: render(make()), make, render)
    for document, make in DOCUMENTS.items()
    for renderer, render in RENDERERS.items()
    if document == "report_document" or renderer in ("terminal.txt", "markdown.md")
}


@pytest.mark.parametrize("file", RENDERINGS)
def test_a_renderer_writes_what_it_wrote(file: str, golden: Golden) -> None:
    golden(file, RENDERINGS[file]())


def test_every_golden_file_belongs_to_a_test() -> None:
    texts = {path.name for path in FOLDER.iterdir() if path.suffix in (".txt", ".md")}
    assert texts - {"README.md"} == {*COMMANDS, *RENDERINGS}

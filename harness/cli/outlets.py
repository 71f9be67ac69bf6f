"""What a CI job sees of `steelyard gate`: files, annotations, step summary and outputs."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from steelyard.harness.cli.documents import for_screen, render
from steelyard.harness.cli.options import Format
from steelyard.harness.errors import EXIT_UNEXPECTED, EXIT_USAGE, STOPPING, is_foreseen
from steelyard.harness.files import Screen, redacted, write_atomic
from steelyard.reports.document import ANSWERS, Document
from steelyard.reports.renderers.github import annotation, shielded_json, shields
from steelyard.reports.renderers.markdown import Markdown

#: GitHub refuses a step's summary that is larger (1 MiB).
SUMMARY_BYTES = 1_048_576


@dataclass(frozen=True)
class Outlets:
    """Where the gate's answer goes, besides its exit code."""

    policy: Path
    format: Format = Format.terminal
    junit: Path | None = None
    markdown: Path | None = None
    comment: Path | None = None
    github: bool = False

    @contextmanager
    def telling_errors(self) -> Iterator[None]:
        """A mistake that leaves no verdict replaces the comment of an earlier, green one."""
        try:
            yield
        except STOPPING:
            raise
        except BaseException as error:
            self._tell(error)
            raise

    def publish(self, document: Document, code: int) -> int:
        """Write the files, print the answer and tell GitHub; gives back ``code``."""
        if self.junit is not None:
            write_atomic(self.junit, render(document, "junit"))
        if self.markdown is not None:
            write_atomic(self.markdown, render(document, "markdown"))
        self._write_comment(document)
        self._print(for_screen(document, self.format.value))
        if self.github:
            self._annotate(document, code)
            self._tell_step(document, code)
        return code

    def _tell(self, error: BaseException) -> None:
        code = getattr(error, "exit_code", EXIT_USAGE if is_foreseen(error) else EXIT_UNEXPECTED)
        document = Document(
            kind="report",
            title=f"gate {self.policy.name}",
            subtitle="The gate could not be held",
            headline=f"No verdict: {redacted('; '.join(str(error).splitlines()))}",
            sense="bad",
            verdict=ANSWERS.get(code, "error"),
            exit_code=code,
            sections=(),
        )
        if self.format is Format.json:  # a program that reads it finds one document, always
            self._print(for_screen(document, self.format.value))
        self._write_comment(document)
        if self.github:
            self._annotate(document, code)
            self._tell_step(document, code)

    def _write_comment(self, document: Document) -> None:
        if self.comment is not None:
            write_atomic(self.comment, self._comment(document))

    def _comment(self, document: Document) -> str:

        # Two policies of one name in two folders keep two comments.
        marked = document.model_copy(update={"marker": f"steelyard gate {_relative(self.policy)}"})
        return Markdown(comment=True).render(marked)

    def _print(self, text: str) -> None:
        text = text if text.endswith("\n") else text + "\n"
        if self.github and self.format is Format.json:
            sys.stdout.write(shielded_json(text))
        elif self.github:
            begin, end = shields(text)
            _obeyed(sys.stdout, begin)
            sys.stdout.write(text)
            _obeyed(sys.stdout, end)
        else:
            sys.stdout.write(text)
        sys.stdout.flush()

    def _annotate(self, document: Document, code: int) -> None:
        """On standard error where standard output is one JSON document; the runner reads both."""
        lines = render(document, "github")
        if code != 0 and not lines.startswith("::error "):
            # An incomplete run, or no verdict at all: no rule can say it.
            lines = annotation("error", document.title, document.headline) + lines
        stream = sys.stderr if self.format is Format.json else sys.stdout
        _obeyed(stream, lines)
        stream.flush()

    def _tell_step(self, document: Document, code: int) -> None:
        summary, output = (os.environ.get(n) for n in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"))
        if summary:
            _append(Path(summary), self._summary(document, Path(summary)))
        if output:
            values = {
                "verdict": ANSWERS.get(code, "error"),
                "exit-code": str(code),
                "comment-file": str(self.comment or ""),
            }
            _append(Path(output), "".join(_output(n, value) for n, value in values.items()))

    def _summary(self, document: Document, file: Path) -> str:
        """As much as earlier parts of the step left room for."""
        room = SUMMARY_BYTES - (file.stat().st_size if file.exists() else 0)
        for text in (render(document, "markdown"), self._comment(document)):
            if len(text.encode()) <= room:
                return text
        return "\n"


def _obeyed(stream: TextIO, commands: str) -> None:
    """Write what GitHub's runner is to obey, past the filter that hides commands from it."""
    (stream.obeyed if isinstance(stream, Screen) else stream.write)(commands)


def _relative(path: Path) -> str:
    here = Path.cwd().resolve()
    full = path.resolve()
    return full.relative_to(here).as_posix() if full.is_relative_to(here) else path.name


def _output(name: str, value: str) -> str:
    if "\n" not in value and "\r" not in value:
        return f"{name}={value}\n"
    # GitHub's form for several lines, with an end that the value cannot hold.
    end = f"steelyard-{hashlib.sha256(value.encode()).hexdigest()}"
    return f"{name}<<{end}\n{value}\n{end}\n"


def _append(path: Path, text: str) -> None:
    """The verdict stands whatever becomes of the file that shows it."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        sys.stderr.write(f"warning: {path}: {error.strerror or error}; the exit code stands\n")

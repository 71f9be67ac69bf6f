"""The way out to a terminal, a job's log or a stage's log: every text passes one filter.

Names, templates and errors come from strangers' files, and libraries print them too. What passes
:class:`Screen` drives no terminal, gives a CI runner no command and shows no password.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from steelyard.harness.errors import StoreError
from steelyard.harness.files.hostile import terminal_safe
from steelyard.harness.files.secrets import redacted, without_known_secrets

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult

#: What rich writes to a terminal besides text: colours and weights (none hides: SGR 8), a line
#: erased, the cursor shown, hidden, at the line's begin and some lines up.
_OF_RICH = re.compile(
    r"\x1b\[(?:0|1|2|3|4|7|9|2[1-7]|29|3[0-7]|39|4[0-7]|49|9[0-7]|10[0-7]|[34]8;5;\d{1,3}"
    r"|[34]8;2;\d{1,3};\d{1,3};\d{1,3}|;)*m"
    r"|\x1b\[(?:2K|\d{1,3}A|\?25[lh])|\r"
)
#: What a shell sees of a command that writes to a pipe without a reader: 128 + SIGPIPE.
BROKEN_PIPE = 141
#: A line that begins so is a command to GitHub's runner; the older form counts anywhere.
_COMMAND = re.compile(r"^([ \t]*):(?=:)", re.MULTILINE)
_OLD_COMMAND = re.compile(r"##(?=\w*\[)")


class Screen(io.TextIOBase):
    """A text stream whose every text is made harmless on its way to ``stream``.

    Args:
        stream: where it goes.
        hide: takes passwords out of a text.
        styled: whether rich's own colours and movements pass.
    """

    def __init__(
        self, stream: TextIO, *, hide: Callable[[str], str] = redacted, styled: bool = False
    ) -> None:
        super().__init__()
        self._stream = stream
        self._hide = hide
        self._styled = styled
        self._at_start = True
        self._github = os.environ.get("GITHUB_ACTIONS") == "true"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The stream's."""
        return getattr(self._stream, "errors", None)

    @property
    def rich_proxied_file(self) -> TextIO:
        """Where rich writes instead: libraries' consoles too, Typer's help among them."""
        own = self._stream.isatty()
        own_screen = Screen(self._stream, hide=self._hide, styled=True) if own else self
        return cast("TextIO", own_screen)

    @property
    def buffer(self) -> BinaryIO:
        """For who writes bytes: they are text, and pass the same filter."""
        return cast("BinaryIO", _Bytes(self))

    def write(self, text: str) -> int:
        """Write ``text``, made harmless.

        Raises ``StoreError`` where the stream takes no more (a full disk), and ``SystemExit`` with
        141 where nobody reads it any more.
        """
        shown = self._hide(text)
        shown = self._with_styles(shown) if self._styled else terminal_safe(shown)
        if self._github:
            shown = self._without_commands(shown)
        if self.encoding.lower() not in ("utf-8", "utf8"):
            shown = shown.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._reach(lambda: self._stream.write(shown))
        return len(text)

    def obeyed(self, text: str) -> None:
        """Write commands of ours to a CI runner, whose parts are escaped already."""
        self._reach(lambda: self._stream.write(text))
        self._at_start = text.endswith("\n")

    def flush(self) -> None:
        """Flush the stream."""
        self._reach(self._stream.flush)

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's descriptor, which the filter does not guard."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    def _reach(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BrokenPipeError:
            # Rich and Typer make 1 of it, which says a regression: whoever hears no verdict must
            # not be told one. What is still in the stream's buffer has no reader either.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise SystemExit(BROKEN_PIPE) from None
        except OSError as error:
            names = {"<stdout>": "standard output", "<stderr>": "standard error"}
            name = str(getattr(self._stream, "name", "<stdout>"))
            raise StoreError(
                f"cannot be written: {error.strerror or error}",
                file=names.get(name, name),
                fix="free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None,
            ) from error

    def _with_styles(self, text: str) -> str:
        parts, end = [], 0
        for match in _OF_RICH.finditer(text):
            parts += [terminal_safe(text[end : match.start()]), match[0]]
            end = match.end()
        return "".join([*parts, terminal_safe(text[end:])])

    def _without_commands(self, text: str) -> str:
        if not text:
            return text
        begun = "" if self._at_start else "."  # within a line nothing is a command
        text = _COMMAND.sub(r"\1: ", begun + text)[len(begun) :]
        self._at_start = text.endswith("\n")
        return _OLD_COMMAND.sub("# #", text)


class _Bytes(io.RawIOBase):
    """The bytes of a :class:`Screen`."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write UTF-8 text; what is none is shown as such."""
        self._screen.write(bytes(data).decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self) -> None:
        """Flush the stream."""
        self._screen.flush()


class _Harmless:
    """A renderable whose texts drive no terminal, whatever they hold."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for segment in console.render(self._renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(terminal_safe(segment.text), segment.style)


class _HarmlessHook:
    """Puts :class:`_Harmless` around all that a console of rich's prints."""

    def process_renderables(
        self, renderables: Iterable[ConsoleRenderable]
    ) -> list[ConsoleRenderable]:
        """See :class:`rich.console.RenderHook`."""
        return [_Harmless(renderable) for renderable in renderables]


def console(*, error: bool = False) -> Console:
    """A console of rich's on standard output or standard error: no markup, and nothing foreign."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    own = Console(file=getattr(stream, "rich_proxied_file", stream), markup=False, highlight=False)
    own.push_render_hook(_HarmlessHook())  # type: ignore[arg-type]
    return own


@contextmanager
def screened() -> Iterator[None]:
    """Within the block all that Python prints in this process passes the filter.

    On standard output stand documents, whose texts are data: there the very secrets that this
    process was given are hidden, and nothing that only looks like one.
    """
    before = sys.stdout, sys.stderr
    if sys.stdout is not None:
        sys.stdout = Screen(sys.stdout, hide=without_known_secrets)
    if sys.stderr is not None:
        sys.stderr = Screen(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before

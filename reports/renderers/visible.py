"""Foreign text made harmless to look at: what hides, reorders or rings becomes a visible sign."""

from __future__ import annotations

import re

#: C0 and C1 controls but tab and newline, bidirectional marks and overrides, zero-width signs,
#: line and paragraph separators, the byte-order mark, tag characters and lone surrogates.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""The text with each hidden sign written out, e.g. ``\x1b`` as ``␛`` and U+202E as ``⟨202E⟩``.

    Newlines and tabs stay; a carriage return before a newline goes.
    """
    return _HIDDEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨{code:04X}⟩"

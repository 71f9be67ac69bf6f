"""Texts that a model, a file or a task name may hold, and that must do nothing on any page."""

from __future__ import annotations

PWNED = "window.pwned=(window.pwned||0)+1"

CORPUS = (
    f"<script>{PWNED}</script>",
    f"</script><script>{PWNED}</script>",
    f"</style><script>{PWNED}</script><style>",
    f"<img src=x onerror='{PWNED}'>",
    f'" onmouseover="{PWNED}" autofocus onfocus="{PWNED}',
    f"<svg/onload={PWNED}>",
    f"<a href='javascript:{PWNED}'>click</a>",
    f"[click](javascript:{PWNED}) ![x](https://example.com/x.png) https://example.com",
    "<!-- <script> ]]> -->",
    "{{ 7 * 7 }} {% raw %} ${7*7} %{x}",
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b5A\x08\x08",
    "abc\u202edcba\u202c \u2066x\u2069 \u200fy",
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "line one\rline two\r\nline three\u2028four\x00five",
    "```\n# heading\n```\n| a | b |\n|---|---|\n@someone closes #1",
    "lone \ud800 surrogate",
    "x" * 1_000_000,
)

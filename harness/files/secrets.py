"""Passwords and keys in addresses and messages: how they are seen, refused and hidden.

One door for all that is printed, logged or stored: :func:`redacted`. An address that holds a secret
where it would be kept is refused by :func:`require_no_secret`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from steelyard.harness.errors import ConfigError

HIDDEN = "***"

#: ``scheme://user:password@``. A password that was not percent-encoded may hold a slash, a space
#: and even an ``@``, so all up to the line's last ``@`` before a host's name is taken for it.
_PASSWORDS = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/\s:@?#]*):(?P<password>(?:(?!://)[^\n])*)@"
    r"(?=[\w.\[/:-]|$)"
)
#: ``scheme://user@``: of most kinds of address the one word is a token.
_USERS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<user>[^/\s:@?#]+)@")
#: Kinds of address in which a word before the ``@`` is a name: a user, or a container of Azure's.
_NAMED_USERS = frozenset(
    {"postgres", "postgresql", "postgresql+psycopg", "sftp", "ssh", "scp", "ftp", "ftps", "smb"}
    | {"hdfs", "webhdfs", "abfs", "abfss", "wasb", "wasbs", "az", "adl"}
)
#: Names that say that their value is secret, wherever they stand.
_UNMISTAKABLE = (
    r"(?:[\w.-]*(?:password|passwd|passphrase|secret)|(?:[\w.-]*[_.-])?(?:"
    r"secret_?(?:access_?)?key|account_?key|access_?key|storage_?key|shared_?key|api_?key|"
    r"private_?key|connection_?string|sas_?token|(?:access|auth|session|security|refresh|bearer|id|"
    r"api|hf|hub|github|user)_?token|credentials?))"
)
#: Names that do so in an address and before an equals sign; a tokenizer's ``pad_token`` is none.
_PLAIN = rf"(?:{_UNMISTAKABLE}|token|sig|signature|x-amz-[\w-]+|x-goog-[\w-]+|pwd)"
_VALUE = r"""(?:'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?|(?:\\.|[^&\s'",;)\]}])+)"""
_ASSIGNED = re.compile(
    rf"(?P<name>(?<![\w.-]){_PLAIN})(?P<sign>\s*=\s*)(?P<value>{_VALUE})", re.IGNORECASE
)
#: As a mapping is printed: ``{'account_key': 'x'}``, ``password: x``.
_MAPPED = re.compile(
    rf"(?P<name>(?<![\w.-]){_UNMISTAKABLE})(?P<sign>['\"]?\s*:\s+)(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(?P<name>\bauthorization)(?P<sign>['\"]?\s*[:=]\s*['\"]?)(?P<value>(?:\w+ )?[^\s'\",]+)",
    re.IGNORECASE,
)
#: Any parameter of an address whose name has such a word in it.
_PARAMETERS = re.compile(
    r"(?P<name>[?&#;][^=&#;\s]*(?:pass|pwd|secret|token|key|sig|credential|auth)[^=&#;\s]*)(?P<sign>=)"
    r"(?P<value>[^&#\s'\"]+)",
    re.IGNORECASE,
)
_SECRET_VARIABLES = re.compile(rf"(?:{_PLAIN})\Z", re.IGNORECASE)
#: A shorter value stands in too many words to be looked for.
_SHORTEST = 6

_remembered: set[str] = set()


def remember_secret(value: str | None) -> None:
    """Hide ``value``, as it is and percent-encoded, from all that this process shows from now."""
    for text in {value or "", unquote(value or "")}:
        if len(text) >= _SHORTEST:
            _remembered.add(text)


def redacted(text: str) -> str:
    """``text`` with every password and key in it hidden.

    ``postgresql://ann:pw@db/steelyard?sslpassword=x`` becomes
    ``postgresql://ann:***@db/steelyard?sslpassword=***``. Hidden are what an address holds, what
    follows a name of a secret (``account_key=``, ``AWS_SECRET_ACCESS_KEY=``), and the values of
    secrets that this process's environment holds (``PGPASSWORD``).
    """
    text = without_known_secrets(text)
    if "://" in text:
        text = _PASSWORDS.sub(lambda m: f"{m['scheme']}{m['user']}:{HIDDEN}@", text)
        text = _USERS.sub(_user, text)
    if "=" in text:
        text = _PARAMETERS.sub(_hidden_value, text)
        text = _ASSIGNED.sub(_hidden_value, text)
    if ":" in text:
        text = _MAPPED.sub(_hidden_value, text)
    return _AUTHORIZATION.sub(_hidden_value, text)


def without_known_secrets(text: str) -> str:
    """``text`` without the very secrets that this process has been given; the rest is data."""
    for value in sorted({*_remembered, *_of_environment()}, key=len, reverse=True):
        if value in text:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    return text


def require_no_secret(address: str, key: str) -> None:
    """Refuse an address that would be kept, or that all may read, with a secret in it.

    Raises ``ConfigError`` at ``key``, which shows the address without it.
    """
    shown = redacted(address)
    if shown != address or redacted(unquote(address)) != unquote(address):
        raise ConfigError(
            "holds a password or a key, which would be kept in the store",
            key=key,
            value=shown,
            fix="give it to fsspec by its environment variables or configuration files",
        )


#: What an address takes for the end of the password, or for the end of itself.
_ENDS = re.compile(r"[\s/?#@\\]")


def require_plain_password(address: str, key: str) -> None:
    """Refuse an address whose password is not percent-encoded: others would read parts of it.

    A library that takes ``p/w`` for a host's name puts it into an error message. Raises
    ``ConfigError`` at ``key``.
    """
    match = _PASSWORDS.search(address)
    if match is not None and _ENDS.search(match["password"]):
        raise ConfigError(
            "holds a password with a character that no address can hold",
            key=key,
            value=redacted(address),
            fix="leave it out and give it in PGPASSWORD or ~/.pgpass",
        )


def first_secret(content: object, key: str = "") -> str | None:
    """The dotted key of the first secret in a JSON value: by its own name, or in a text of it."""
    parts: list[tuple[str, object]] = []
    if isinstance(content, str):
        return key if redacted(content) != content else None
    if isinstance(content, Mapping):
        parts = [(str(name), value) for name, value in content.items()]
    elif isinstance(content, list | tuple):
        parts = [(str(index), value) for index, value in enumerate(content)]
    for name, value in parts:
        place = f"{key}.{name}" if key else name
        if isinstance(value, str) and value and _SECRET_VARIABLES.fullmatch(name):
            return place
        inner = first_secret(value, place)
        if inner is not None:
            return inner
    return None


def _user(match: re.Match[str]) -> str:
    if match["scheme"].lower() in _NAMED_USERS:
        return match[0]
    return f"{match['scheme']}://{HIDDEN}@"


def _hidden_value(match: re.Match[str]) -> str:
    return f"{match['name']}{match['sign']}{HIDDEN}"


def _of_environment() -> set[str]:
    """Values of this process's secrets; a file's path is none."""
    return {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST
        and _SECRET_VARIABLES.fullmatch(name)
        and not value.startswith(("/", "~"))
    }

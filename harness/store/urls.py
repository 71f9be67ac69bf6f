"""Addresses of stores: which kind they are, and how they are shown without what is secret."""

from __future__ import annotations

import re

#: ``scheme://user:password@`` and ``scheme://user@``; the password may hold anything but a space.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/\s:@]*)(?::[^\s/]*)?@")
#: Secrets that some addresses carry behind a question mark, or a DSN as ``password=...``.
_SECRETS = re.compile(
    r"(?P<name>\b\w*(?:password|passwd|secret|token|credential|signature|access_key|sig)\w*)"
    r"=(?:'[^']*'|[^&\s'\"]*)",
    re.IGNORECASE,
)
HIDDEN = "***"


def redacted(text: str) -> str:
    """``text`` with the passwords of every address in it hidden.

    ``postgresql://ann:pw@db/steelyard?sslpassword=x`` becomes
    ``postgresql://ann:***@db/steelyard?sslpassword=***``.
    """
    hidden = _CREDENTIALS.sub(lambda m: f"{m['scheme']}{m['user']}:{HIDDEN}@", text)
    return _SECRETS.sub(lambda m: f"{m['name']}={HIDDEN}", hidden)


def is_url(text: str) -> bool:
    """Whether ``text`` is an address and not a folder."""
    return "://" in text


def is_postgresql(url: str) -> bool:
    """Whether a store's address names a PostgreSQL database."""
    return url.partition("://")[0].partition("+")[0] in ("postgresql", "postgres")

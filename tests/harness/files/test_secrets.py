"""No password or key is shown, wherever it stands; an address that holds one is refused."""

from __future__ import annotations

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.files.secrets import (
    first_secret,
    redacted,
    remember_secret,
    require_no_secret,
    require_plain_password,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:p/w d@db/x: away", "postgresql://ann:***@db/x: away"),
        ("postgresql://ann:p@ss:w@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann:pa?ss#w@db/x", "postgresql://ann:***@db/x"),
        ("s3://AKIA:se/cr+et@bucket/x", "s3://AKIA:***@bucket/x"),
        ("https://ghp_abcdef@github.com/x", "https://***@github.com/x"),
        ("az://c/p?account_key=Ab/c==&x=1", "az://c/p?account_key=***&x=1"),
        ("https://a.blob/x?sv=1&sig=ab%3D&se=2", "https://a.blob/x?sv=1&sig=***&se=2"),
        ("https://x/y?X-Amz-Signature=ab12", "https://x/y?X-Amz-Signature=***"),
        ("AWS_SECRET_ACCESS_KEY=ab/c+d go", "AWS_SECRET_ACCESS_KEY=*** go"),
        ("{'account_key': 'abc', 'n': 3}", "{'account_key': ***, 'n': 3}"),
        (r"host=db password = 'it\'s' dbname=a", "host=db password = *** dbname=a"),
        (r"host=db password=p\ w dbname=a", "host=db password=*** dbname=a"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
    ],
)
def test_secrets_of_every_shape_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "max_new_tokens=64 pad_token='<pad>' eos_token=2",
        "signature: nrefs:1|case:mixed",
        "abfs://container@acc.dfs.core.windows.net/p",
        "sftp://ann@host/folder",
        "gate.rules.2: key 'tokens' is unknown",
        "at http://localhost:8000/v1 and then",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_secrets_of_this_process_are_hidden_in_any_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2!x")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json")
    remember_secret("per%2Fcent")
    assert redacted('no role "hunter2!x" per/cent per%2Fcent') == 'no role "***" *** ***'
    assert redacted("hunter2!xy") == "hunter2!xy"  # another word
    assert redacted("see /etc/google.json") == "see /etc/google.json"


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:secret@bucket/x",
        "az://c/p?account_key=abc",
        "az://c/p?account%5Fkey=abc",
        "https://x/y?my_token=abc",
        "simplecache::ftp://ann:p w@host/x",
        "https://ghp_abcdef@github.com/x",
    ],
)
def test_an_address_with_a_secret_is_refused_with_advice(address: str) -> None:
    with pytest.raises(ConfigError, match="environment variables or configuration") as caught:
        require_no_secret(address, "artifacts")
    assert not any(word in str(caught.value) for word in ("secret@", "abc", "p w"))


def test_addresses_without_a_secret_are_taken() -> None:
    for address in ("s3://bucket/x", "file:///a b/c", "abfs://c@a.dfs.core.windows.net/x"):
        require_no_secret(address, "artifacts")


def test_a_password_that_an_address_cannot_hold_is_refused() -> None:
    for password in ("p/w", "p w", "p@w", "p?w", "p#w"):
        with pytest.raises(ConfigError, match="PGPASSWORD") as caught:
            require_plain_password(f"postgresql://ann:{password}@db/x", "--store")
        assert password not in str(caught.value)
    require_plain_password("postgresql://ann:p%2Fw@db/x?artifacts=file:///y", "--store")


def test_the_first_secret_of_a_mapping_is_named() -> None:
    assert first_secret({"a": [{"api_key": "x"}]}) == "a.0.api_key"
    assert first_secret({"pad_token": "x", "password": "", "n": 3}) is None

"""No address is shown with its password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.store.urls import is_postgresql, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:pw@db:5432/steelyard", "postgresql://ann:***@db:5432/steelyard"),
        ("postgresql://ann:p@ss:w@db/steelyard", "postgresql://ann:***@db/steelyard"),
        ("postgresql://db/a?password=pw&sslmode=require", "postgresql://db/a?password=***&sslmode=require"),
        ("host=db password='p w' dbname=a", "host=db password=*** dbname=a"),
        ("run --store postgresql://a:b@c/d x.yaml", "run --store postgresql://a:***@c/d x.yaml"),
        ("s3://bucket/steelyard", "s3://bucket/steelyard"),
        ("at https://x.org/y?token=abc", "at https://x.org/y?token=***"),
        ("mail ann@db", "mail ann@db"),
    ],
)  # fmt: skip
def test_what_is_secret_is_hidden_and_the_rest_is_not(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


@given(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/"), min_size=5))
def test_no_password_comes_through(password: str) -> None:
    shown = redacted(f"connecting to postgresql://ann:{password}@db/steelyard failed")
    assert shown == "connecting to postgresql://ann:***@db/steelyard failed"


def test_kinds_of_stores_are_told_by_their_scheme() -> None:
    assert is_postgresql("postgresql+psycopg://x/y")
    assert is_postgresql("postgres://x/y")
    assert not is_postgresql("s3://postgresql/y")

"""What every renderer promises, built in or from another package."""

from __future__ import annotations

import pytest

from steelyard.harness.cli.documents import load_renderer
from steelyard.harness.errors import ConfigError
from steelyard.harness.plugins import names as plugin_table
from steelyard.harness.plugins.names import plugin_names
from steelyard.reports.document import Renderer
from tests.guide_package import PLUGINS
from tests.reports.fake_runs import fake_document
from tests.reports.hostile_experiment import hostile_document


@pytest.fixture(params=[*plugin_names("renderers"), PLUGINS["renderers"]])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return load_renderer(request.param)


def test_a_renderer_says_what_its_files_end_with(renderer: Renderer) -> None:
    assert isinstance(renderer, Renderer)
    assert renderer.suffix.startswith(".")
    assert renderer.__doc__


def test_one_document_is_one_text(renderer: Renderer) -> None:
    document = fake_document()
    text = renderer.render(document)
    assert text == renderer.render(document)
    assert text.encode("utf-8")


def test_what_a_model_wrote_sends_no_terminal_an_escape(renderer: Renderer) -> None:
    text = renderer.render(hostile_document())
    assert not {"\x1b", "\x00", "\x07", "\u202e"} & set(text)


def test_what_is_no_renderer_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_table, "BUILT_IN", {"renderers": {"number": "builtins:int"}})
    with pytest.raises(ConfigError, match="'number' is no renderer: it has no suffix, render"):
        load_renderer("number")

"""Runs as MLflow runs: metrics, parameters and the record itself. One way, nothing is read back.

MLflow is an extra: ``pip install 'steelyard[mlflow]'``.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError, MissingExtraError
from steelyard.harness.files.old_names import OLD_RUN_TAG, RUN_TAG
from steelyard.harness.records import Run
from steelyard.reports.exports.model_card import model_card

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What MLflow allows in the name of a metric or a parameter.
_UNSAFE = re.compile(r"[^\w\-. /]+", re.ASCII)
_LONGEST_PARAMETER = 500
_LONGEST_NAME = 250


def log_run(run: Run, tracking_uri: str) -> str | None:
    """Write ``run`` to MLflow; its MLflow id, or None where it is there already.

    Raises ``MissingExtraError`` without MLflow, ``ConfigError`` where the store cannot be used.
    """
    client, error_type = _client(tracking_uri)
    try:
        return _logged(client, run)
    except error_type as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"MLflow: {first}", key="--tracking-uri", value=tracking_uri) from error


def _client(tracking_uri: str) -> tuple[Any, type[Exception]]:
    # It calls home unless told not to, and asks to be told that plain files are meant.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if tracking_uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "exporting to MLflow needs the package mlflow", fix="pip install 'steelyard[mlflow]'"
        ) from error
    try:
        return MlflowClient(tracking_uri=tracking_uri), MlflowException
    except MlflowException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"MLflow: {first}", key="--tracking-uri", value=tracking_uri) from error


def _logged(client: Any, run: Run) -> str | None:
    logged_before = client.get_experiment_by_name(run.experiment)
    experiment = (
        logged_before.experiment_id if logged_before else client.create_experiment(run.experiment)
    )
    tags = (f"tags.`{tag}` = '{run.id}'" for tag in (RUN_TAG, OLD_RUN_TAG))
    if any(client.search_runs([experiment], filter_string=tag) for tag in tags):
        return None
    started = int(run.made * 1000)
    made = client.create_run(
        experiment, start_time=started, run_name=run.candidate, tags=dict(_tags(run))
    )
    id: str = made.info.run_id
    try:
        for name, text in _parameters(run):
            client.log_param(id, name, text)
        for name, value in _metrics(run):
            client.log_metric(id, name, value, timestamp=started)
        client.log_text(id, run.model_dump_json(indent=1), "run.json")
        client.log_text(id, model_card(run), "README.md")
    except BaseException:
        client.delete_run(id)
        raise
    client.set_terminated(id, "FINISHED" if run.complete else "FAILED", end_time=started)
    return id


def _tags(run: Run) -> Iterator[tuple[str, str]]:
    yield RUN_TAG, run.id
    yield "steelyard.checkpoint", run.checkpoint.digest
    yield "steelyard.suite", run.suite
    if run.imported_from:
        yield "steelyard.imported_from", run.imported_from


def _parameters(run: Run) -> Iterator[tuple[str, str]]:
    manifest = run.checkpoint
    parameters = {"base": manifest.base, "trainer": manifest.trainer, "seed": manifest.seed}
    recipe = {f"recipe/{key}": value for key, value in manifest.recipe.items()}
    for name, value in {**parameters, **recipe}.items():
        if value is not None:
            yield _name(name), str(value)[:_LONGEST_PARAMETER]


def _metrics(run: Run) -> Iterator[tuple[str, float]]:
    """Scores with their intervals, energy by phase, size; what is missing is left out."""
    for score in run.scores:
        name = f"{score.task}/{score.metric}"
        for suffix, value in (("", score.value), (".low", score.low), (".high", score.high)):
            if value is not None:
                yield _name(name + suffix), value
    for energy in run.energy:
        if energy.energy_kwh is not None:
            yield _name(f"energy_kwh/{energy.phase}"), energy.energy_kwh
        if energy.co2e_g is not None:
            yield _name(f"co2e_g/{energy.phase}"), energy.co2e_g
    if run.checkpoint.size_bytes is not None:
        yield "size_bytes", float(run.checkpoint.size_bytes)


def _name(text: str) -> str:
    """``text`` as MLflow allows it: no step out of its folder, no character that it refuses."""
    parts = [part for part in _UNSAFE.sub("_", text).split("/") if part.strip(". ")]
    return "/".join(part.strip() for part in parts)[:_LONGEST_NAME] or "unnamed"

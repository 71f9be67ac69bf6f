"""Reads runs and manifests of any version: the first is brought up to date, a newer one is refused.

What version 2 says in a field, version 1 said in words: in the beginning of a note, the end of a
name, or a metric's own name. Those rules stand here, and nowhere else. Where they find nothing, the
field stays empty, and a comparison names it as a difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from steelyard.harness.errors import NewerVersionError
from steelyard.harness.files import old_names
from steelyard.harness.records import SCHEMA_VERSION, CheckpointManifest, Flag, Run, metric_name

_REFERENCE = "divergence from "
_FLAGS = frozenset(Flag)
_CALIBRATION_METHODS = ("ece", "aurc", "brier")
_TOKEN_WORDS = frozenset({"token", "tokens", "kl"})
_PER_TOKEN = ("top1_agreement", "delta_log_likelihood")


def run_of(content: Any) -> Run:
    """The run in a JSON value. Raises ``ValidationError``, ``NewerVersionError``."""
    require_known_version(content)
    return Run.model_validate(_run(content) if _is_version_1(content) else content)


def run_in(text: str | bytes) -> Run:
    """The run in a JSON text. Raises ``ValidationError``, ``NewerVersionError``."""
    try:
        return Run.model_validate_json(text)
    except ValidationError as error:
        content = _version_1_in(text, error)
    return Run.model_validate_json(json.dumps(_run(content)))


def manifest_of(content: Any) -> CheckpointManifest:
    """The manifest in a JSON value. Raises ``ValidationError``, ``NewerVersionError``."""
    require_known_version(content)
    return CheckpointManifest.model_validate(
        _manifest(content) if _is_version_1(content) else content
    )


def manifest_in(text: str | bytes) -> CheckpointManifest:
    """The manifest in a JSON text. Raises ``ValidationError``, ``NewerVersionError``."""
    try:
        return CheckpointManifest.model_validate_json(text)
    except ValidationError as error:
        content = _version_1_in(text, error)
    return CheckpointManifest.model_validate_json(json.dumps(_manifest(content)))


def reference_and_decoding(decoding: str) -> tuple[str | None, str | None]:
    """The model that a divergence was measured from, which stood among the decoding settings."""
    if decoding.startswith(_REFERENCE):
        return decoding.removeprefix(_REFERENCE), None
    return None, decoding


def _is_version_1(content: Any) -> bool:
    return isinstance(content, Mapping) and content.get("schema_version") == 1


def require_known_version(content: Any) -> None:
    """Raise ``NewerVersionError`` where a record, or one inside it, is of a newer version.

    Before anything else is made of it: what a newer version means is not known here.
    """
    if not isinstance(content, Mapping):
        return
    for record in (content, content.get("checkpoint"), content.get("manifest")):
        version = record.get("schema_version") if isinstance(record, Mapping) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise NewerVersionError(
                f"written by a newer Steelyard (record version {version})", fix="upgrade"
            )


def _version_1_in(text: str | bytes, error: ValidationError) -> dict[str, Any]:
    """The first version's content in ``text``; raises what is wrong with any other."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise error from None
    require_known_version(content)
    if not _is_version_1(content):
        raise error
    return dict(content)


# --- version 1 -> 2 -------------------------------------------------------------------------
# The content is what a stranger's file says: what has another shape than version 1's is left as it
# is, for the record to refuse it by name.


def _run(content: Mapping[str, Any]) -> dict[str, Any]:
    run = dict(content) | {"schema_version": SCHEMA_VERSION}
    if _is_version_1(run.get("checkpoint")):
        run["checkpoint"] = _manifest(run["checkpoint"])
    for name, upgraded in (("scores", _score), ("signatures", _signature), ("energy", _energy)):
        if name in run:
            run[name] = _each(run[name], upgraded)
    if isinstance(run.get("scoring"), Mapping) and isinstance(run["scoring"].get("backend"), str):
        backend = old_names.backend(run["scoring"]["backend"])
        run["scoring"] = {**run["scoring"], "backend": backend}
    return run


def _each(values: Any, upgraded: Any) -> Any:
    if not isinstance(values, list | tuple):
        return values
    return [upgraded(value) if isinstance(value, Mapping) else value for value in values]


def _manifest(content: Mapping[str, Any]) -> dict[str, Any]:
    manifest = dict(content) | {"schema_version": SCHEMA_VERSION}
    seed, candidate = manifest.get("seed"), manifest.get("candidate")
    if seed is not None and isinstance(candidate, str):
        # A copy was known by the end of its name alone.
        ending = f"-seed{seed}"
        if candidate.endswith(ending):
            manifest["copy_of"] = candidate.removesuffix(ending)
        names = {text for text in _texts(manifest.get("recipe")) if text.endswith(ending)}
        manifest["copies"] = {name: name.removesuffix(ending) for name in sorted(names)}
    if isinstance(manifest.get("energy"), Mapping):
        manifest["energy"] = _energy(manifest["energy"])
    return manifest


def _texts(value: Any) -> list[str]:
    """Every text in a JSON value, however deep: a stranger's file may be nested without end."""
    texts, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return texts


def _energy(content: Mapping[str, Any]) -> dict[str, Any]:
    note = content.get("note")
    return dict(content) | {"too_short": isinstance(note, str) and "too short" in note}


def _score(content: Mapping[str, Any]) -> dict[str, Any]:
    score = dict(content)
    metric, kind, note = score.get("metric"), score.get("kind"), score.get("note")
    if not isinstance(metric, str):
        return score
    name = metric_name(metric)
    if kind == "perplexity":
        score["scale"] = "bits" if name.startswith("bits_per_") else "nats"
    if kind == "calibration":
        methods = (method for method in _CALIBRATION_METHODS if method in metric.lower())
        score["method"] = next(methods, None)
    words = set(name.replace("-", "_").split("_"))
    score["per_token"] = name in _PER_TOKEN or not _TOKEN_WORDS.isdisjoint(words)
    score["advisory"] = isinstance(note, str) and note.startswith("advisory")
    flags = score.get("flags")
    if isinstance(flags, Mapping):
        score["flags"] = {flag: count for flag, count in flags.items() if flag in _FLAGS}
    return score


def _signature(content: Mapping[str, Any]) -> dict[str, Any]:
    signature = dict(content)
    decoding, backend = signature.get("decoding"), signature.get("backend", old_names.OLD_NAME)
    if isinstance(decoding, str):
        signature["reference"], signature["decoding"] = reference_and_decoding(decoding)
    if isinstance(backend, str):
        signature["backend"] = old_names.backend(backend)
    return signature

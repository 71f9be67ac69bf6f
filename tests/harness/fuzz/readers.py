"""Every reader of a file that Steelyard did not just write itself, with a valid file of its kind.

``READERS[name]`` says how hostile files of that kind are made, and what reads them. A reader may
return or raise a ``SteelyardError`` of one line for each mistake; anything else is a fault.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import runpy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from steelyard.harness.errors import SeveralError, SteelyardError
from steelyard.harness.files import old_names
from tests.harness.fuzz import mutations as m
from tests.harness.fuzz.later_readers import INDEX, LATER, MODEL_FILES

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "store" / "writer.py"))
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """One kind of file: its name on disk, how hostile ones are drawn, what reads it."""

    file: str
    content: Callable[[], st.SearchStrategy[bytes]]
    read: Read
    prepare: Callable[[Path], None] = lambda folder: None
    """Puts what belongs beside the file into its folder, once."""


def attempt(reader: Reader, folder: Path, content: bytes) -> str:
    """Read ``content``: ``read`` or ``refused``. Raises what the reader should not have raised."""
    path = folder / reader.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    try:
        reader.read(path)
    except SteelyardError as error:
        mistakes = error.errors if isinstance(error, SeveralError) else (error,)
        if any("\n" in str(each) or not str(each).strip() for each in mistakes):
            raise AssertionError(f"not one line each: {error}") from error
        return "refused"
    return "read"


# --- YAML -----------------------------------------------------------------------------------

EXPERIMENT: dict[str, Any] = {
    "name": "fuzz",
    "base": "microworld",
    "seed": 1,
    "data": {"d": {"path": "d.jsonl", "prompt": "prompt", "completion": "completion", "weight": 2}},
    "candidates": {
        "a": {"trainer": "full", "data": "d", "learning_rate": 1e-4, "epochs": 1, "seed": 3},
        "b": {"trainer": "lora", "data": ["d"], "rank": 4, "parent": "a",
        "target_modules": "all-linear"},
        "c": {"trainer": "quantize", "parent": "b", "scheme": "int8"},
        "m": {"trainer": "merge", "sources": ["a", "b"], "parent": "base"},
    },
    "suite": {"tasks": ["microworld_known", {"task": "microworld_choice", "limit": 5}]},
    "limit": 3,
    "energy": {"country": "FRA"},
    "gate": {"baseline": "base", "alpha": 0.05, "rules": [{"task": "microworld_known",
        "margin": 0.02}]},
    "report": ["html", "json"],
}  # fmt: skip
POLICY: dict[str, Any] = {
    "baseline": "base",
    "alpha": 0.05,
    "rules": [
        {"task": "known", "margin": 0.02, "slice": "subject=*", "tier": "warn"},
        {"metric": "energy_kwh", "max_ratio": 1.2, "tier": "report", "phase": "total"},
        {"task": "x", "metric": "rougeL", "min": 0.3, "max": 1, "on_missing": "pass"},
    ],
}
SUITE: dict[str, Any] = {
    "name": "mine",
    "extends": ["microworld"],
    "include": ["tasks"],
    "tasks": ["mine", {"task": "microworld_known", "num_fewshot": 2, "limit": 5, "weight": 2.0}],
    "fidelity": {"task": "microworld_known", "limit": 3},
}
TASK: dict[str, Any] = {
    "task": "mine",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "d.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{prompt}}",
    "doc_to_choice": ["a", "b"],
    "doc_to_target": 0,
    "num_fewshot": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0, "steelyard": {"family": "quality", "slices": ["prompt"]}},
}


def _yaml(valid: Any) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: m.hostile(valid, m.as_yaml)


def _lines_beside(folder: Path) -> None:
    rows = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(4)]
    (folder / "d.jsonl").write_bytes(m.as_lines(rows))
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks" / "mine.yaml").write_bytes(m.as_yaml(TASK))


def _experiment(path: Path) -> object:
    from steelyard.harness.cli.reading import read_experiment

    return read_experiment(path)


def _policy(path: Path) -> object:
    from steelyard.harness.gate import load_gate

    return load_gate(path)


def _suite(path: Path) -> object:
    from steelyard.harness.suites.suite import load_suite

    return load_suite(str(path), folder=path.parent)


def _task(path: Path) -> object:
    """The door of ``steelyard tasks check FILE``, to the built task."""
    from steelyard.harness.evaluation.card import built_suite, task_of_file

    with contextlib.chdir(path.parent):  # its data file is named relative to here
        name, folder = task_of_file(path)
        return built_suite(name, [str(folder)])


# --- lm-eval and other imports --------------------------------------------------------------

RESULTS: dict[str, Any] = {
    "results": {"exam": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "exam"}},
    "configs": {"exam": {"task": "exam", "metadata": {"version": 1}, "num_fewshot": 2}},
    "n-samples": {"exam": {"original": 1, "effective": 1}},
    "higher_is_better": {"exam": {"acc": True}},
    "versions": {"exam": 1},
    "n-shot": {"exam": 2},
    "config": {"model": "hf", "model_args": {"pretrained": "org/m"}, "limit": 0.5,
        "model_dtype": "x"},
    "date": 1.7e9,
    "max_length": 2048,
    "task_hashes": {"exam": "abc"},
    "total_evaluation_time_seconds": "12.5",
}  # fmt: skip
SAMPLES: list[Any] = [
    {
        "doc_id": i, "doc": {"q": "?", "n": i}, "target": "1", "filter": "none",
        "metrics": ["acc"], "acc": 1.0,
        "arguments": {"gen_args_0": {"arg_0": "p", "arg_1": "a"}, "gen_args_1": {"arg_0": "p"}},
        "resps": [[["-1", "False"]], [["-2", "False"]]], "filtered_resps": [["-1", "False"], ["-2",
        "False"]],
        "doc_hash": f"d{i}", "prompt_hash": "p", "target_hash": "t",
    }
    for i in range(3)
]  # fmt: skip
ITEMS: list[Any] = [
    {"id": f"q{i}", "task": "t", "acc": i % 2, "loss": -1.5 * i, "words": i + 1, "prompt": "p"}
    for i in range(6)
]
PAIRS: list[Any] = [
    {"prompt": f"p{i}", "model_a": "base", "model_b": "lora", "winner": w, "judge": "j"}
    for i, w in enumerate(["a", "b", "tie", "lora"])
] + [{"prompt": "p0", "model_a": "dpo", "model_b": "base", "winner": "a", "judge": "j"}]
EVERY: dict[str, Any] = {
    "evaluation_id": "e",
    "model_info": {"id": "m", "name": "m"},
    "source_metadata": {"source_name": "s"},
    "eval_library": {"name": "lm-eval", "version": "1"},
    "retrieved_timestamp": "1700000000",
    "evaluation_results": [
        {
            "evaluation_name": "x",
            "metric_config": {"lower_is_better": False, "min_score": 0, "max_score": 1},
            "score_details": {"score": 0.5, "uncertainty": {"standard_error": {"value": 0.1}}},
        }
    ],
}
EMISSIONS: list[Any] = [
    {
        "timestamp": "2026-01-01T00:00:00", "project_name": "p", "run_id": "r", "duration": 10.5,
        "emissions": 0.01, "cpu_energy": 0.1, "gpu_energy": 0.0, "ram_energy": 0.1,
        "energy_consumed": 0.2,
        "country_iso_code": "FRA", "codecarbon_version": "3", "pue": 1.0,
    }
]  # fmt: skip
MOMENT = "2026-01-01T00-00-00.1"


def _lm_eval(path: Path) -> object:
    from steelyard.harness.imports.lm_eval import read_lm_eval

    return list(read_lm_eval([path.parent]))


def _results_beside(folder: Path) -> None:
    (folder / f"results_{MOMENT}.json").write_bytes(m.as_json(RESULTS))


def _samples_beside(folder: Path) -> None:
    (folder / f"samples_exam_{MOMENT}.jsonl").write_bytes(m.as_lines(SAMPLES))


def _items(path: Path) -> object:
    from steelyard.harness.imports.item_columns import ItemColumns
    from steelyard.harness.imports.items import read_items

    return read_items(path, ItemColumns())


def _pairs(path: Path) -> object:
    from steelyard.harness.imports.pairs import read_pairs

    return read_pairs(path)


def _every(path: Path) -> object:
    from steelyard.harness.imports.every_eval_ever import read_every_eval_ever

    return read_every_eval_ever(path)


def _codecarbon(path: Path) -> object:
    from steelyard.harness.imports.codecarbon import read_codecarbon

    return read_codecarbon(path)


def _data(path: Path) -> object:
    from steelyard.harness.experiment.data_sets import check_data
    from steelyard.harness.plugins.protocols import DataSource

    return check_data(DataSource("d", path, {}, 1.0), ("prompt", "task"))


# --- what Steelyard wrote, on somebody else's disk ----------------------------------------------


@cache
def _baseline_document() -> dict[str, Any]:
    import gzip

    from steelyard.harness.compare import baseline_file
    from steelyard.harness.compare.scored import Scored

    rows = MAKE["make_rows"](n=5)
    samples = {(s.task, s.sample_id): s for s in MAKE["make_samples"](n=5)}
    scored = Scored(MAKE["make_run"](), {("t", "acc"): rows}, samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{old_names.BASELINE_SUFFIX}"
        baseline_file.save(scored, path, include_text=True)
        document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


def _sealed(content: Any) -> bytes:
    """A baseline whose digest is right, so that what is inside is looked at."""

    try:
        body = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        body = "{}"
    digest = hashlib.sha256(body.encode()).hexdigest()
    head = f'{{"content":{body},"format":"{old_names.BASELINE_FORMAT}","schema_version":2,'
    return f'{head}"sha256":"{digest}"}}'.encode()


def _baselines() -> st.SearchStrategy[bytes]:
    document = _baseline_document()
    near = m.altered(document["content"]).map(_sealed)
    return m.unpacked(st.one_of(near, near, m.hostile(document, m.as_json))) | st.binary()


def _baseline(path: Path) -> object:
    from steelyard.harness.compare import baseline_file

    return baseline_file.load(path)


def _record(value: Any) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: m.hostile(value.model_dump(mode="json"), m.as_json)


def _run_record(path: Path) -> object:
    from steelyard.harness.store.run_folder import read_run

    return read_run(path.parent)


def _stage(path: Path) -> object:
    from steelyard.harness.store import open_store

    return open_store(path.parent.parent).stages.get(path.stem)


def _parquets(write: Callable[[Path], None]) -> Callable[[], st.SearchStrategy[bytes]]:
    """Our Parquet files with bytes damaged, columns and metadata altered, or another's content."""

    def strategy() -> st.SearchStrategy[bytes]:
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "x")
            valid = Path(folder, "x").read_bytes()
        table = pq.read_table(io.BytesIO(valid))
        metadata = json.loads(table.schema.metadata[b"steelyard"])
        near = st.tuples(m.altered(table.to_pylist()), m.altered(metadata) | st.just(metadata))
        return st.one_of(
            m.damaged(valid), near.map(lambda both: _with_metadata(*both)), st.binary()
        )

    return strategy


def _with_metadata(rows: Any, metadata: Any) -> bytes:
    import pyarrow.parquet as pq

    content = m.as_parquet(rows)
    if len(content) < 12:
        return content
    table = pq.read_table(io.BytesIO(content)).replace_schema_metadata(
        {b"steelyard": m.as_json(metadata)}
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _write_rows(path: Path) -> None:
    from steelyard.harness.store.rows_file import write_rows

    write_rows(path, [MAKE["make_rows"](n=6), MAKE["make_rows"]("u", n=0)])


def _write_samples(path: Path) -> None:
    from steelyard.harness.store.samples_file import write_samples

    write_samples(path, MAKE["make_samples"](n=4))


def _read_rows(path: Path) -> object:
    from steelyard.harness.store.rows_file import read_rows

    return read_rows(path)


def _read_samples(path: Path) -> object:
    from steelyard.harness.store.samples_file import read_samples

    return read_samples(path)


def _journals() -> st.SearchStrategy[bytes]:
    """Journals with bytes damaged, and sound frames around records of any shape."""
    from steelyard.harness.scoring.journal import _HEADER, Journal, _checksum

    with tempfile.TemporaryDirectory() as folder:
        with Journal(Path(folder) / "j", "d" * 64) as journal:
            journal.settle("tokens", 512)
            for i in range(3):
                journal.append(f"k{i}", ["a", "b"], [[-1.5, True], "text"])
        valid = (Path(folder) / "j").read_bytes()
    record = {"kind": "pack", "key": "k", "requests": ["a"], "responses": [[-1.0, True]]}

    def framed(payload: bytes) -> bytes:
        return valid + _HEADER.pack(len(payload), _checksum(payload)) + payload

    near = m.altered(record).map(m.as_json) | m.damaged(m.as_json(record))
    torn = [magic[:5] for magic in (old_names.JOURNAL_MAGIC, old_names.OLD_JOURNAL_MAGIC)]
    return st.one_of(m.damaged(valid), near.map(framed), st.binary(), st.sampled_from(torn))


def _journal(path: Path) -> object:
    from steelyard.harness.scoring.journal import Journal

    with Journal(path, "d" * 64) as journal:
        return len(journal), journal.pack("k0"), journal.pack("k"), journal.settle("tokens", 1)


# --- model folders --------------------------------------------------------------------------


def _model_beside(folder: Path) -> None:
    """A tiny model folder of ours, with an adapter's files beside it."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {"w": np.zeros((2, 2), dtype=np.float32)}
    for name in ("model", "adapter"):
        part = folder / name
        part.mkdir(exist_ok=True)
        (part / "config.json").write_text('{"dtype": "float32", "model_type": "llama"}')
        (part / "tokenizer.json").write_text('{"model": {"vocab": {}}}')
        (part / "tokenizer_config.json").write_text('{"chat_template": "x"}')
        weights = "model.safetensors" if name == "model" else "adapter_model.safetensors"
        save_file(tensors, str(part / weights))
    named = {"base_model_name_or_path": str(folder / "model"), "target_modules": ["q"]}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(named))


def _shard_beside(folder: Path) -> None:
    _model_beside(folder)
    weights = folder / "model" / "model.safetensors"
    weights.rename(weights.with_name("model-00001-of-00001.safetensors"))


def _open_model(path: Path) -> object:
    from steelyard.harness.checkpoints import open_base

    return open_base(str(path.parent))


def _open_ours(path: Path) -> object:
    from steelyard.harness.checkpoints import open_checkpoint

    return open_checkpoint(path.parent, verify=True)


def _manifests() -> st.SearchStrategy[bytes]:
    """Manifests of the model that lies beside them, whose digests are right."""
    from steelyard.harness.checkpoints.digests import (
        chat_template_digest,
        tokenizer_digest,
        weights_digest,
    )
    from steelyard.harness.records import Digests

    with tempfile.TemporaryDirectory() as name:
        _model_beside(Path(name))
        model = Path(name) / "model"
        digests = Digests(
            weights=weights_digest(model),
            tokenizer=tokenizer_digest(model),
            chat_template=chat_template_digest(model),
        )
    manifest = MAKE["make_manifest"]().model_copy(update={"digests": digests})
    return m.hostile(manifest.model_dump(mode="json"), m.as_json)


def _model_file(file: str, valid: Any) -> Reader:
    return Reader(file, lambda: m.hostile(valid, m.as_json), _open_model, _model_beside)


def _safetensors() -> st.SearchStrategy[bytes]:
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "v": {"dtype": "F32", "shape": [1], "data_offsets": [16, 20]},
    }

    def framed(text: bytes) -> bytes:
        return len(text).to_bytes(8, "little") + text + bytes(20)

    near = m.altered(header).map(m.as_json)
    return st.one_of(
        near.map(framed), near.flatmap(m.damaged).map(framed), m.damaged(framed(m.as_json(header)))
    )


READERS: dict[str, Reader] = {
    "experiment": Reader("x.yaml", _yaml(EXPERIMENT), _experiment, _lines_beside),
    "policy": Reader("x.yaml", _yaml(POLICY), _policy),
    "suite": Reader("x.yaml", _yaml(SUITE), _suite, _lines_beside),
    "task": Reader("mine.yaml", _yaml(TASK), _task, _lines_beside),
    "baseline": Reader("x.steelyard.json.gz", _baselines, _baseline),
    "lm-eval results": Reader(
        f"results_{MOMENT}.json", lambda: m.hostile(RESULTS, m.as_json), _lm_eval, _samples_beside
    ),
    "lm-eval samples": Reader(
        f"samples_exam_{MOMENT}.jsonl",
        lambda: m.hostile(SAMPLES, m.as_lines),
        _lm_eval,
        _results_beside,
    ),
    "items csv": Reader("x.csv", lambda: m.hostile(ITEMS, m.as_csv), _items),
    "items jsonl": Reader("x.jsonl", lambda: m.hostile(ITEMS, m.as_lines), _items),
    "items parquet": Reader("x.parquet", lambda: m.hostile(ITEMS, m.as_parquet), _items),
    "pairs csv": Reader("x.csv", lambda: m.hostile(PAIRS, m.as_csv), _pairs),
    "pairs jsonl": Reader("x.jsonl", lambda: m.hostile(PAIRS, m.as_lines), _pairs),
    "every-eval-ever": Reader("x.json", lambda: m.hostile(EVERY, m.as_json), _every),
    "codecarbon": Reader("emissions.csv", lambda: m.hostile(EMISSIONS, m.as_csv), _codecarbon),
    "data jsonl": Reader("x.jsonl", lambda: m.hostile(ITEMS, m.as_lines), _data),
    "data tsv": Reader("x.tsv", lambda: m.hostile(ITEMS, m.as_tsv), _data),
    "data parquet": Reader("x.parquet", lambda: m.hostile(ITEMS, m.as_parquet), _data),
    "run record": Reader("run.json", _record(MAKE["make_run"]()), _run_record),
    "stage record": Reader(
        "stages/k.json", lambda: m.hostile({"checkpoint": "d", "manifest": {}}, m.as_json), _stage
    ),
    "rows": Reader("rows.parquet", _parquets(_write_rows), _read_rows),
    "samples": Reader("samples.parquet", _parquets(_write_samples), _read_samples),
    "journal": Reader("x.journal", _journals, _journal),
    "manifest": Reader("model/manifest.json", _manifests, _open_ours, _model_beside),
    "safetensors": Reader("model/model.safetensors", _safetensors, _open_model, _model_beside),
    "config.json": _model_file("model/config.json", {"dtype": "float32", "architectures": ["x"]}),
    "tokenizer.json": _model_file("model/tokenizer.json", {"model": {"vocab": {"a": 1}}}),
    "tokenizer_config.json": _model_file(
        "model/tokenizer_config.json", {"chat_template": "x", "eos_token": {"content": "x"}}
    ),
    "adapter_config.json": _model_file(
        "adapter/adapter_config.json",
        {"base_model_name_or_path": "../model", "target_modules": ["q"], "rank": 4},
    ),
    **{name: Reader(*later) for name, later in LATER.items()},
    **{f"model's {file}": _model_file(f"model/{file}", good) for file, good in MODEL_FILES.items()},
    "model's index": Reader(
        "model/model.safetensors.index.json",
        lambda: m.hostile(INDEX, m.as_json),
        _open_model,
        _shard_beside,
    ),
    "base link": _model_file(
        "adapter/base.json", {"relative": "../model", "absolute": "/nonexistent/model"}
    ),
}


def prepared(reader: Reader, folder: Path) -> Path:
    """``folder``, empty but for what belongs beside the file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reader.prepare(folder)
    return folder

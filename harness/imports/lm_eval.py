"""lm-eval's output folders as runs: results with the samples that lie beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from steelyard.harness.errors import Collected, DataError, did_you_mean, located
from steelyard.harness.files import ordinary_bytes, refuse_link_out
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    Imported,
    Source,
    imported_run,
    plain_name,
    unmetered,
)
from steelyard.harness.imports.lm_eval_results import (
    Results,
    aggregates,
    read_results,
    signature_of,
)
from steelyard.harness.imports.lm_eval_samples import ImportedTask, read_task
from steelyard.harness.records import Score, TaskSignature

#: lm-eval's name of a moment in a file name: isoformat with its colons replaced.
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9-]+(?:\.[0-9]+)?"


def results_files(paths: Sequence[Path]) -> list[Path]:
    """The results files among ``paths`` and in the folders among them.

    In a folder these are ``results_*.json``; where there is none, any JSON file with ``results``,
    as the old format was published. Raises ``DataError`` where a path holds none.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            named = _own_files(path, path.rglob("results_*.json"))
            every = named or _own_files(path, path.rglob("*.json"))
            inside = named or [p for p in every if _looks_like_results(p)]
            if not inside:
                fix = "give the folder that lm-eval's --output_path named"
                raise DataError("holds no lm-eval results", file=path, fix=fix)
            files += inside
        elif path.exists():
            ordinary_bytes(path, DataError)
            files.append(path)
        else:
            raise DataError("no such file or folder", file=path)
    return list(dict.fromkeys(files))


def read_lm_eval(
    paths: Sequence[Path],
    *,
    name: str | None = None,
    experiment: str = EXPERIMENT,
    cluster: str | None = None,
    slices: Sequence[str] = (),
) -> Iterator[Imported]:
    """One run for each results file.

    Candidates are called after their model (the old format: after the file), with the file's date
    where two of them would share a name; ``name`` names the one run that there is.

    Raises ``DataError`` for a file that is no result, and for ``name`` with several files.
    """
    files = results_files(paths)
    if name is not None and len(files) > 1:
        raise DataError(f"--name names one run, but there are {len(files)} results files")
    read = [read_results(file) for file in files]
    names = [name or _candidate(results) for results in read]
    for results, own in zip(read, names, strict=True):
        twice = names.count(own) > 1
        candidate = (
            f"{own}@{plain_name(_file_date(results.path) or results.path.stem)}" if twice else own
        )
        yield _imported_run(results, candidate, experiment, cluster, slices)


def _own_files(folder: Path, files: Iterable[Path]) -> list[Path]:
    """The files in order. Raises ``DataError`` for a link that leads out of the folder."""
    in_order = sorted(files)
    for file in in_order:
        refuse_link_out(file, folder, DataError)
    return in_order


def _looks_like_results(path: Path) -> bool:
    try:
        read_results(path)
    except DataError:
        return False
    return True


def _candidate(results: Results) -> str:
    dated = _file_date(results.path) is not None
    return plain_name(results.model.name if dated else results.path.stem)


def _file_date(path: Path) -> str | None:
    """The date in ``results_2026-11-23T10-00-00.123456.json``."""
    stamp = re.search(rf"_({_MOMENT})\.json$", path.name)
    return stamp.group(1) if stamp else None


def samples_file(results: Path, task: str) -> Path | None:
    """The samples of ``task`` that belong to a results file, or None.

    They carry its date; beside a results file that was renamed, the only samples of the task do.
    """
    moment = _file_date(results)
    begin = re.escape(f"samples_{_file_name(task)}_")
    date = re.escape(moment) if moment else _MOMENT
    shape = re.compile(rf"{begin}{date}\.jsonl")
    beside = [file for file in results.parent.glob("samples_*.jsonl") if shape.fullmatch(file.name)]
    files = _own_files(results.parent, beside)
    return files[0] if len(files) == 1 else None


def _file_name(task: str) -> str:
    """A task's name in a file's name; only separators of paths cannot stand there."""
    return re.sub(r"[/\\]+", "__", task)


def _imported_run(
    results: Results,
    candidate: str,
    experiment: str,
    cluster: str | None,
    slices: Sequence[str],
) -> Imported:
    files = {task: samples_file(results.path, task) for task in results.tasks}
    read: dict[str, ImportedTask] = {}
    problems = Collected()
    for task, file in files.items():
        if file is not None:
            with problems.of(file=file):
                read[task] = read_task(results, task, file, cluster=cluster, slices=slices)
    problems.raise_any()
    with located(file=results.path):
        _require_fields(read, (cluster, *slices))
    scores: list[Score] = []
    signatures: list[TaskSignature] = []
    for task in results.tasks:
        signatures.append(read[task].signature if task in read else signature_of(results, task))
        scores += read[task].scores if task in read else _bare(results, task, bool(read))
    used = tuple(file for file in files.values() if file is not None)
    run = imported_run(
        Source("lm-eval", (results.path, *used), results.version),
        candidate=candidate,
        experiment=experiment,
        suite="lm-eval",
        model=results.model,
        scores=scores,
        signatures=signatures,
        created_at=results.created_at,
        energy=unmetered(results.seconds),
        options={"cluster": cluster, "slices": list(slices)},
    )
    rows = tuple(rows for task in read.values() for rows in task.rows)
    samples = tuple(sample for task in read.values() for sample in task.samples)
    return Imported(run, rows, samples, _run_remarks(results, read))


def _require_fields(read: Mapping[str, ImportedTask], wanted: Sequence[str | None]) -> None:
    problems = Collected()
    fields = {field for task in read.values() for field in task.fields}
    for name in wanted:
        if name is not None and name not in fields:
            fix = did_you_mean(name, fields) if read else "there are no samples beside the results"
            problems.errors.append(DataError(f"no document has the field '{name}'", fix=fix))
    problems.raise_any()


def _bare(results: Results, task: str, with_samples: bool) -> list[Score]:
    """Numbers without rows; a group of tasks whose rows are here is not what stands for them."""
    scores = aggregates(results, task)
    if with_samples and results.is_group(task):
        return [score.model_copy(update={"primary": False}) for score in scores]
    return scores


def _run_remarks(results: Results, read: dict[str, ImportedTask]) -> tuple[str, ...]:
    lines = [line for task in read.values() for line in task.remarks]
    bare = [task for task in results.tasks if task not in read and not results.is_group(task)]
    if bare:
        shown = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
        what = f"no samples of {shown}" if read else "no samples"
        lines.append(f"{what}: shown, but a gate cannot test it (lm-eval --log_samples)")
    return tuple(lines)

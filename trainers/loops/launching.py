"""A trainer under ``accelerate launch``: several processes, by the user's own config file.

Nothing here is home-made: accelerate's own launcher reads the file that ``accelerate config``
writes and starts the processes; each of them runs the very trainer that would have run here. The
job goes over as JSON, and the first process's folder is the checkpoint.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from steelyard.harness.checkpoints import (
    open_checkpoint,
    trust_python,
    trusted_python,
    write_manifest,
)
from steelyard.harness.errors import ConfigError, SteelyardError, TrainingError
from steelyard.harness.files import digest_json, file_digest, read_yaml, temporary_folder
from steelyard.harness.interpreters import safe_environment
from steelyard.harness.plugins import (
    DataSource,
    Progress,
    Trainer,
    TrainJob,
    load_trainer,
    source_digest,
)
from steelyard.harness.records import Checkpoint, CheckpointManifest

#: Before a line of the worker's output that is for us: progress, or an error in one line.
MARK = "steelyard-launched "
_TAIL_LINES = 200
_JOB = "steelyard.trainers.loops.launched_job"
#: Which of the launched processes this one is; 0 also where nothing was launched.
_rank = 0


class Launched(Trainer):
    """A trainer with its options, and the accelerate config that it is launched with."""

    trainer: str = Field(description="The trainer's registered name.")
    options: Mapping[str, Any] = Field(description="The trainer's options, validated.")
    accelerate: str = Field(description="A file that `accelerate config` wrote.")

    @property
    def inner(self) -> Trainer:
        """The trainer itself."""
        return load_trainer(self.trainer)(**self.options)

    def content_digest(self) -> str:
        """Digest of config and trainer: other processes or precision are another recipe."""
        inner = self.inner
        content = read_yaml(Path(self.accelerate))
        named = _deepspeed_digest(content, Path(self.accelerate).parent)
        return digest_json([content, named, source_digest(type(inner)), inner.content_digest()])

    def train(self, job: TrainJob) -> Checkpoint:
        """Launch the trainer and open what its first process wrote.

        Raises:
            TrainingError: a process failed; the message is the trainer's own, or the end of what
                the launcher said.
        """
        with temporary_folder("launch") as scratch:
            file = scratch / "job.json"
            file.write_text(json.dumps({**to_json(job), "launched": self.model_dump()}), "utf-8")
            command = [sys.executable, "-m", "accelerate.commands.launch"]
            command += ["--config_file", self.accelerate, "-m", _JOB, str(file)]
            last_line, failed, code = _launch(command, job.progress, scratch)
        if failed is not None:
            raise TrainingError(failed)
        if code != 0:
            raise TrainingError(
                f"candidate '{job.candidate}': accelerate launch ended with code {code}: "
                f"{last_line}",
                fix=f"try the config alone: accelerate test --config_file {self.accelerate}",
            )
        write_manifest(job.folder, self._noted(open_checkpoint(job.folder)))
        return open_checkpoint(job.folder)

    def _noted(self, checkpoint: Checkpoint) -> CheckpointManifest:
        config = read_yaml(Path(self.accelerate))
        note = (
            f"trained under accelerate launch: {config['num_processes']} processes, "
            f"{config['distributed_type']}; peak memory is the launching process's alone"
        )
        manifest = checkpoint.manifest
        return manifest.model_copy(update={"notes": (*manifest.notes, note)})


def launched(trainer: Trainer, name: str, config: Path) -> Launched:
    """``trainer`` under accelerate. Raises ``ConfigError`` where the config is none."""
    if not config.is_file():
        fix = "write one with: accelerate config --config_file accelerate.yaml"
        raise ConfigError("no such file", value=str(config), fix=fix)
    content = read_yaml(config)
    if "distributed_type" not in content or "num_processes" not in content:
        fix = "write it with: accelerate config --config_file accelerate.yaml"
        raise ConfigError("not an accelerate config: it has no distributed_type or num_processes",
                          file=config, fix=fix)  # fmt: skip
    if trainer.schedule is None:
        fix = "leave accelerate out; nothing is trained in several processes there"
        raise ConfigError(f"trainer '{name}' has no training loop", fix=fix)
    return Launched(
        trainer=name, options=trainer.model_dump(mode="json"), accelerate=str(config.resolve())
    )


def _deepspeed_digest(config: Mapping[str, Any], folder: Path) -> str | None:
    """Digest of the DeepSpeed file that a config names, as the launch finds it, or beside it."""
    deepspeed = config.get("deepspeed_config")
    named = deepspeed.get("deepspeed_config_file") if isinstance(deepspeed, Mapping) else None
    places = [Path(str(named)), folder / str(named)] if named else []
    return next((file_digest(place) for place in places if place.is_file()), None)


def _launch(
    command: Sequence[str], progress: Progress, scratch: Path
) -> tuple[str, str | None, int]:
    """What :func:`_listen` heard of a launch, and its exit code.

    Torch's launcher leaves its folders where it is killed: they lie in ``scratch``.
    """
    # Output goes through a pipe, so that the terminal shows one bar and it is ours.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Which it hands on to the processes that it starts.
        env=safe_environment() | {"TMPDIR": str(scratch)},
    )
    try:
        last_line, failed = _listen(process, progress)
    finally:
        if process.poll() is None:
            process.terminate()
        code = process.wait()
    return last_line, failed, code


def _listen(process: subprocess.Popen[str], progress: Progress) -> tuple[str, str | None]:
    """The last that was said, and the trainer's own error; progress is passed on."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    failed = None
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(MARK):
            tail.append(line.strip())
            continue
        kind, *rest = json.loads(line.removeprefix(MARK))
        if kind == "progress":
            progress(*rest)
        else:
            failed = str(rest[0])
    # Torch's launcher says at the end that a child failed; what failed stands before it.
    errors = [line for line in tail if "Error" in line and "ChildFailedError" not in line]
    other = [line for line in tail if any(map(str.isalpha, line))]
    return (errors or other or ["it said nothing"])[-1][:500], failed


def to_json(job: TrainJob) -> dict[str, Any]:
    """A job as JSON; its progress is not part of it."""
    return {
        "candidate": job.candidate,
        "start": _checkpoint_json(job.start),
        "data": [
            {"name": s.name, "path": str(s.path), "columns": dict(s.columns), "weight": s.weight}
            for s in job.data
        ],
        "seed": job.seed,
        "folder": str(job.folder),
        "base_name": job.base_name,
        "base_digest": job.base_digest,
        "sources": {name: _checkpoint_json(source) for name, source in job.sources.items()},
        "state_folder": None if job.state_folder is None else str(job.state_folder),
        "trusted": trusted_python(),
    }


def from_json(content: Mapping[str, Any], **changes: Any) -> TrainJob:
    """The job that :func:`to_json` wrote, with ``changes``."""
    trust_python(content["trusted"])
    fields = {
        **{key: content[key] for key in ("candidate", "seed", "base_name", "base_digest")},
        "start": _checkpoint(content["start"]),
        "data": tuple(DataSource(**{**s, "path": Path(s["path"])}) for s in content["data"]),
        "folder": Path(content["folder"]),
        "sources": {name: _checkpoint(source) for name, source in content["sources"].items()},
        "state_folder": None if content["state_folder"] is None else Path(content["state_folder"]),
    }
    return TrainJob(**(fields | changes))


def _checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    adapter = checkpoint.adapter_folder
    return {
        "folder": str(checkpoint.folder),
        "manifest": checkpoint.manifest.model_dump(mode="json"),
        "weights_folder": str(checkpoint.weights_folder),
        "adapter_folder": None if adapter is None else str(adapter),
        "gguf_file": checkpoint.gguf_file,
    }


def _checkpoint(content: Mapping[str, Any]) -> Checkpoint:
    adapter = content["adapter_folder"]
    return Checkpoint(
        folder=Path(content["folder"]),
        manifest=CheckpointManifest.model_validate(content["manifest"]),
        weights_folder=Path(content["weights_folder"]),
        adapter_folder=None if adapter is None else Path(adapter),
        gguf_file=content["gguf_file"],
    )


def leave_unless_first() -> None:
    """End a process that has trained and is not the first: that one writes the checkpoint.

    Libraries save in the first process alone, so there would be nothing to go on with.
    """
    if _rank != 0:
        sys.exit(0)


def work(file: Path, rank: int) -> None:
    """One of the launched processes: the trainer, over the job in ``file``.

    Every process trains; what others than the first write goes to a folder that is thrown away.
    Raises ``SteelyardError`` as the trainer does, after this process has told it: the launcher ends
    all of them when one fails.
    """
    global _rank
    _rank = rank
    content = json.loads(file.read_text("utf-8"))
    trainer = Launched(**content["launched"]).inner

    def say(*what: object) -> None:
        sys.stdout.write(MARK + json.dumps(what) + "\n")
        sys.stdout.flush()

    def progress(done: int, total: int | None, message: str) -> None:
        if rank == 0:
            say("progress", done, total, message)

    with temporary_folder("rank") as scratch:
        changes: dict[str, Any] = {"progress": progress}
        if rank != 0:
            changes["folder"] = scratch
        try:
            trainer.train(from_json(content, **changes))
        except SteelyardError as error:
            say("failed", str(error))
            raise

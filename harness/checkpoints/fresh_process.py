"""Checks a checkpoint in a process that has seen nothing of its training.

What a training leaves in its process (a patched module, a model that was never written) cannot make
a broken checkpoint look whole there. A server imports the libraries once, while the first candidate
trains, and forks: each check is a process of its own and costs no import. A process that has not
computed anything yet imports them itself, which it must for its training, and forks the server.

    python -m steelyard.harness.checkpoints.fresh_process   # a JSON request and answer a line
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple

from steelyard.harness import errors
from steelyard.harness.checkpoints.as_trained import FILE as AS_TRAINED
from steelyard.harness.checkpoints.checks import check_against
from steelyard.harness.checkpoints.foreign import trust_python, trusted_python
from steelyard.harness.checkpoints.opening import open_checkpoint
from steelyard.harness.environment import nvidia_smi
from steelyard.harness.errors import CheckpointError, SteelyardError
from steelyard.harness.interpreters import safe_environment
from steelyard.harness.records import Checkpoint, Digests

#: Imported by the server before it forks.
LIBRARIES = ("torch", "peft", "transformers.models.llama.modeling_llama")


def check_in_fresh_process(
    checkpoint: Checkpoint, start: Checkpoint, *, prompt: str = ""
) -> Mapping[str, str]:
    """:func:`steelyard.harness.checkpoints.check` of the checkpoint's folder, in a process of its
    own.

    Raises:
        CheckpointError: as the check itself; or the process died (of memory, of a crash).
    """
    request = {
        "folder": str(checkpoint.folder),
        "start": start.manifest.digests.model_dump(),
        "prompt": prompt,
        "trusted": trusted_python(),
    }
    answer = _asked(json.dumps(request))
    if "checks" in answer:
        (checkpoint.folder / AS_TRAINED).unlink(missing_ok=True)
        return dict(answer["checks"])
    if "died" in answer:
        raise CheckpointError(
            f"the process that opened it died ({answer['died']})",
            file=checkpoint.folder,
            fix="is there memory for a second copy of the model?",
        )
    raise getattr(errors, answer["type"])(**answer["error"])


class Server(NamedTuple):
    """A process that answers one JSON line with another, and dies with what it was asked by."""

    requests: IO[str]
    answers: IO[str]
    pid: int

    def died(self) -> str:
        """How it ended; waits for it."""
        _, status = os.waitpid(self.pid, 0)
        return _ending(os.waitstatus_to_exitcode(status))


_servers: list[Server] = []


def server() -> Server:
    """The server of this process, started by the first call and ended with the process.

    There is one, because its imports cost seconds: called before a training they cost no waiting.
    """
    if not _servers:
        if _has_computed_nothing():
            fork_server()
        else:
            _servers.append(_new_interpreter())
        atexit.register(_end, _servers[-1])
    return _servers[0]


def _has_computed_nothing() -> bool:
    """Whether a fork of this process is whole: no thread of torch's or GPU's that it would lack."""
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    return alone and sys.platform == "linux" and not nvidia_smi("index")


def fork_server() -> None:
    """Let a fork of this process be its server; the libraries are imported before.

    Only for a process that has no other thread and has computed nothing.
    """
    for name in LIBRARIES:
        import_module(name)
    requests, asked = os.pipe()
    answered, answers = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:  # nothing may leave this block: below it stands what the process was at
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _close_all_but(requests, answers)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)  # whatever a library prints
            with os.fdopen(requests, encoding="utf-8") as lines:
                serve(lines, answers)
        finally:
            os._exit(0)
    os.close(requests)
    os.close(answers)
    _servers[:] = [Server(os.fdopen(asked, "w"), os.fdopen(answered), pid)]


def _close_all_but(*needed: int) -> None:
    """A fork holds what its process holds: pipes that others wait on, files under a lock."""
    for number in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
        if number > 2 and number not in needed:
            with suppress(OSError):  # the listing's own
                os.close(number)


def _new_interpreter() -> Server:
    root = str(Path(__file__).resolve().parents[2])
    safe = safe_environment()
    path = os.pathsep.join(filter(None, (root, safe.get("PYTHONPATH"))))
    started = subprocess.Popen(
        [sys.executable, "-m", "steelyard.harness.checkpoints.fresh_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**safe, "PYTHONPATH": path},
    )
    assert started.stdin is not None and started.stdout is not None
    started.returncode = 0  # it is waited for here, by its number
    return Server(started.stdin, started.stdout, started.pid)


def _end(started: Server) -> None:
    with suppress(OSError):  # it may have died
        started.requests.close()  # which ends it
        started.died()


def _asked(line: str) -> dict[str, Any]:
    asked = server()
    try:
        asked.requests.write(line + "\n")
        asked.requests.flush()
        answer = asked.answers.readline()
    except BrokenPipeError:
        answer = ""
    if answer:
        return dict(json.loads(answer))
    _servers.clear()
    return {"died": asked.died()}


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def serve(requests: IO[str], answers: int) -> None:
    """Answer every request from a fork of this process; ``answers`` is a file descriptor."""
    for name in LIBRARIES:
        import_module(name)
    for line in requests:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:  # as above
                os.close(reading)
                os.close(answers)
                _write(writing, json.dumps(_answer(json.loads(line))))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        died = _ending(os.waitstatus_to_exitcode(status))
        _write(answers, (answer or json.dumps({"died": died})) + "\n")


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        trust_python(request["trusted"])
        checkpoint = open_checkpoint(Path(request["folder"]), verify=True)
        start = Digests.model_validate(request["start"])
        checks = check_against(checkpoint, start, prompt=request["prompt"])
        return {"checks": {**checks, "opened": "in a fresh process, with the manifest's digests"}}
    except SteelyardError as error:
        parts = {name: getattr(error, name) for name in ("message", "file", "key", "value", "fix")}
        parts["value"] = None if parts["value"] is None else str(parts["value"])
        return {"type": type(error).__name__, "error": parts}
    except BaseException as error:  # a panic of a library in Rust is no Exception
        message = f"cannot be opened in a fresh process: {type(error).__name__}: {error}"
        return {"type": "CheckpointError", "error": {"message": message, "file": request["folder"]}}


def _write(descriptor: int, text: str) -> None:
    content = text.encode("utf-8")
    while content:
        content = content[os.write(descriptor, content) :]


if __name__ == "__main__":
    # Whatever a library prints goes to the bin; answers go where standard output was.
    standard_output = os.dup(1)
    os.dup2(2, 1)
    serve(sys.stdin, standard_output)

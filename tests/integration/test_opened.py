"""What a run opens, as the system's calls say: no connection, and nothing outside its folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.attack import opened

LINES = [
    '7 openat(AT_FDCWD</w>, "m/config.json", O_RDONLY|O_CLOEXEC) = 3</w/m/config.json>',
    '7 openat(AT_FDCWD</w>, "/root/.cache/x", O_WRONLY|O_CREAT, 0666) = 3</root/.cache/x>',
    '7 openat(AT_FDCWD</w>, "/root/none", O_RDONLY) = -1 ENOENT (No such file or directory)',
    '7 rename("/w/a", "/elsewhere/b") = 0',
    '7 unlinkat(5</opt>, "x", 0) = 0',
    '7 execve("/opt/tool", ["/opt/tool", "/w/a"], 0x7f /* 20 vars */) = 0',
    '7 connect(3<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0',
    '7 connect(3, {sa_family=AF_INET, sin_port=htons(80)}, 16) = -1 EINPROGRESS (x)',
    '7 sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(53)}, 28) = 1',
]  # fmt: skip


def test_the_calls_are_read_as_strace_writes_them() -> None:
    names = [path for line in LINES for path in opened.paths(line, Path("/w"))]
    assert names == [
        "/w/m/config.json", "/root/.cache/x", "/w/a", "/elsewhere/b", "/opt/x", "/opt/tool",
    ]  # fmt: skip
    assert [bool(opened.connection(line)) for line in LINES] == [False] * 7 + [True, True]


@pytest.mark.slow
def test_an_evaluation_opens_no_connection_and_nothing_outside(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace: install the package 'strace'")
    place = opened.material(tmp_path.resolve() / "x")
    seen = opened.traced(opened.COMMANDS["eval"], place, opened.installed())
    if "ptrace" in seen.printed and seen.calls == 0:
        pytest.skip("strace may not trace here")
    assert seen.code == 0, seen.printed[-2000:]
    assert seen.calls > 100
    assert seen.connections == ()
    assert seen.outside == ()

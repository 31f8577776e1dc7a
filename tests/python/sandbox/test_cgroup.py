# SPDX-License-Identifier: Apache-2.0
"""Limits by a control group for each worker, where this process may create groups."""

from __future__ import annotations

import errno
import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MakeBackend
from pinfold import Limits, LocalBackend, WorkerConfig
from pinfold._host import cgroup
from pinfold._host import sandbox as host_sandbox
from programs import SQUARE, call

MIB = 1 << 20
FOUND = cgroup.find()
needs_one = pytest.mark.skipif(isinstance(FOUND, cgroup.NoCgroup), reason=str(FOUND))

FILL_MEMFD = """
import os
fd = os.memfd_create("x")
for _ in range(48):
    os.write(fd, b"x" * (8 << 20))
return os.fstat(fd).st_size
"""


@pytest.fixture
def parent() -> Iterator[Path]:
    assert isinstance(FOUND, Path)
    before = set(FOUND.iterdir())
    yield FOUND
    assert set(FOUND.iterdir()) == before


@pytest.fixture(params=["none", "standard", "strict"])
def grouped(
    request: pytest.FixtureRequest, make_backend: MakeBackend, isolation: str, parent: Path
) -> Iterator[LocalBackend]:
    backend = make_backend(
        isolation=isolation,
        sandbox=request.param,
        sandbox_required=False,
        max_workers=2,
        limits=Limits(memory_bytes=128 * MIB, processes=8),
    )
    states = {one.name: one.state for one in backend.isolation().mechanisms}
    assert states["cgroup_limits"] == "active"
    with backend:
        assert backend.submit(SQUARE).result(timeout=120).value == 49
        yield backend
        assert backend.submit(SQUARE).result(timeout=120).value == 49


@needs_one
def test_memory_that_nobody_has_mapped_counts(grouped: LocalBackend) -> None:
    result = grouped.submit(call(FILL_MEMFD)).result(timeout=120)
    assert result.outcome == "memory_limit"
    assert result.error is not None
    assert result.error.message == "128.0 MiB of memory in use, of 128.0 MiB allowed"


@needs_one
def test_a_child_that_runs_out_of_memory_ends_the_call(grouped: LocalBackend) -> None:
    body = f"""
import os, time
if os.fork():
    time.sleep(60)
{FILL_MEMFD}
"""
    result = grouped.submit(call(body)).result(timeout=120)
    assert result.outcome == "memory_limit"


@needs_one
def test_a_call_has_its_own_bound_and_the_next_one_its_own(grouped: LocalBackend) -> None:
    fits = call(FILL_MEMFD, limits=Limits(memory_bytes=1024 * MIB))
    assert grouped.submit(fits).result(timeout=120).value == 48 * 8 * MIB
    assert grouped.submit(call(FILL_MEMFD)).result(timeout=120).outcome == "memory_limit"


@needs_one
def test_threads_without_end_meet_a_wall_that_holds_for_root(grouped: LocalBackend) -> None:
    body = """
import threading, time
n = 0
try:
    while n < 3000:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        n += 1
except RuntimeError:
    pass
return n
"""
    free = call(body, limits=Limits(memory_bytes=1024 * MIB, processes=8))
    assert 8 < grouped.submit(free).result(timeout=120).unwrap() <= 8 + 512


@needs_one
def test_what_a_call_leaves_behind_keeps_no_group(grouped: LocalBackend) -> None:
    body = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
return 1
"""
    for _ in range(10):
        assert grouped.submit(call(body)).result(timeout=120).value == 1


@needs_one
def test_the_group_of_a_killed_pool_is_removed_by_the_next(parent: Path) -> None:
    stale, lock = cgroup.make(parent)
    (stale / "worker").mkdir()
    os.close(lock)
    held, lock = cgroup.make(parent)
    assert not stale.exists()
    other, second = cgroup.make(parent)
    assert held.exists()
    cgroup.remove(other, second)
    cgroup.remove(held, lock)


def test_a_group_that_cannot_be_set_up_leaves_nothing(tmp_path: Path) -> None:
    """Outside of the kernel's file system, a new directory stays empty."""
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            cgroup.make(tmp_path)
    assert os.listdir(tmp_path) == []


def test_why_there_is_no_group_keeps_nothing_of_its_first_callers_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> Path:
        raise cgroup.NoCgroup("no cgroup v2 is mounted")

    class Local:
        pass

    def ask() -> weakref.ref[Local]:
        local = Local()
        assert str(cgroup.find()) == "no cgroup v2 is mounted"
        return weakref.ref(local)

    monkeypatch.setattr(cgroup, "_known", None)
    monkeypatch.setattr(cgroup, "_find", refuse)
    held = ask()
    gc.collect()
    assert held() is None


def test_what_is_only_lacking_for_a_moment_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full() -> Path:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def full_within(_: Path) -> None:
        raise cgroup._cannot(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))

    monkeypatch.setattr(cgroup, "_known", None)
    for name, short in (("_mount", full), ("_prepare", full_within)):
        with monkeypatch.context() as moment:
            moment.setattr(cgroup, "_mount", lambda: tmp_path)
            moment.setattr(cgroup, "_own", lambda: "/")
            moment.setattr(cgroup, name, short)
            assert os.strerror(errno.EMFILE) in str(cgroup.find())
    monkeypatch.setattr(cgroup, "_mount", lambda: tmp_path)
    monkeypatch.setattr(cgroup, "_own", lambda: "/")
    monkeypatch.setattr(cgroup, "_prepare", lambda place: None)
    assert cgroup.find() == tmp_path


def test_without_limits_no_group_is_made(spill_dir: Path) -> None:
    config = WorkerConfig(spill_dir=spill_dir)
    assert not isinstance(host_sandbox.cgroup_of(config), Path)


def test_no_level_wants_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_sandbox, "find", lambda: cgroup.NoCgroup("none is mounted"))
    isolation = host_sandbox.isolation_of(WorkerConfig(limits=Limits(memory_bytes=MIB)))
    told = {one.name: one for one in isolation.mechanisms}["cgroup_limits"]
    assert (told.state, told.why) == ("unavailable", "none is mounted")
    assert told not in isolation.missing

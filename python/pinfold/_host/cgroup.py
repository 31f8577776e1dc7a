# SPDX-License-Identifier: Apache-2.0
"""Make a control group (cgroup v2) for a pool's workers, if this process may."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

CONTROLLERS = ("memory", "pids")
_MADE = "pinfold-"
_GONE_WITHIN_S = 5.0


# Errors with which the kernel refuses for the moment, not for good.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.EINTR)


class NoCgroup(Exception):
    """The reason why no control group can be made. `passing`: a later try may succeed."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


_known: Path | NoCgroup | None = None


def find() -> Path | NoCgroup:
    """Return the directory of `_find`, or the error if it finds none.

    Caches the result, unless the reason may pass.
    """
    global _known
    if _known is not None:
        return _known
    try:
        found: Path | NoCgroup = _find()
    except OSError as error:
        return _cannot(error)
    except NoCgroup as error:
        # A copy, because the error's traceback would keep its callers' frames alive.
        found = NoCgroup(str(error), passing=error.passing)
        if found.passing:
            return found
    _known = found
    return found


def _find() -> Path:
    """Return the directory in which this process may make control groups with `CONTROLLERS`.

    This is its own group's if that holds no process, else the parent. Raises `NoCgroup` and
    OSError.
    """
    mount = _mount()
    own = mount / _own().lstrip("/")
    reasons = []
    passing = False
    for place in dict.fromkeys((own, own.parent if own != mount else own)):
        try:
            _prepare(place)
        except NoCgroup as error:
            reasons.append(f"{place}: {error}")
            passing |= error.passing
        else:
            return place
    raise NoCgroup("; ".join(reasons), passing=passing)


def _cannot(error: OSError) -> NoCgroup:
    return NoCgroup(f"it cannot be used: {error.strerror}", passing=error.errno in _PASSING)


def make(parent: Path) -> tuple[Path, int]:
    """Make a group for one pool, and remove the groups of killed callers.

    Return the group and the descriptor of the lock that marks it as in use.
    """
    for name in os.listdir(parent):
        if name.startswith(_MADE):
            with contextlib.suppress(OSError):
                _clear_stale(parent / name)
    made = parent / f"{_MADE}{os.getpid()}-{os.urandom(4).hex()}"
    made.mkdir()
    lock = -1
    try:
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _enable(made)
    except BaseException:
        if lock >= 0:
            os.close(lock)
        with contextlib.suppress(OSError):
            made.rmdir()
        raise
    return made, lock


def remove(made: Path, lock: int) -> None:
    """Remove a closed pool's group with its subgroups. Closes `lock`."""
    os.close(lock)
    with contextlib.suppress(OSError):
        _remove(made)


def _clear_stale(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    until = time.monotonic() + _GONE_WITHIN_S
    for group in (*(one for one in path.iterdir() if one.is_dir()), path):
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        while True:
            try:
                group.rmdir()
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    raise
                time.sleep(0.001)


def _mount() -> Path:
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise NoCgroup("no cgroup v2 is mounted")


def _own() -> str:
    for line in _lines("/proc/self/cgroup"):
        if line.startswith("0::"):
            return line[3:].rstrip("\n")
    raise NoCgroup("this process is in no cgroup v2")


def _lines(path: str) -> Iterator[str]:
    with open(path) as file:
        yield from file


def _prepare(place: Path) -> None:
    """Enable the controllers for groups made in `place`. Raises `NoCgroup` if that is refused."""
    try:
        there = (place / "cgroup.controllers").read_text().split()
    except OSError as error:
        raise _cannot(error) from None
    lacking = [name for name in CONTROLLERS if name not in there]
    if lacking:
        raise NoCgroup(f"it has no controller {' and no '.join(lacking)}")
    files = (place, place / "cgroup.procs", place / "cgroup.subtree_control")
    if not all(os.access(path, os.W_OK) for path in files) or not _is_delegated(place):
        raise NoCgroup("it is not delegated to this user")
    import subprocess

    try:
        _enable(place)
        trial = place / f"{_MADE}trial-{os.getpid()}"
        trial.mkdir()
        try:
            join = ["/bin/sh", "-c", 'echo 0 > "$0"', str(trial / "cgroup.procs")]
            if subprocess.run(join, stderr=subprocess.DEVNULL, check=False).returncode:
                raise NoCgroup("no process of this user may move there")
        finally:
            trial.rmdir()
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise NoCgroup("it holds processes, and so cannot be divided") from None
        raise _cannot(error) from None


def _enable(place: Path) -> None:
    control = place / "cgroup.subtree_control"
    missing = [name for name in CONTROLLERS if name not in control.read_text().split()]
    if missing:
        control.write_text(" ".join(f"+{name}" for name in missing))


def _is_delegated(place: Path) -> bool:
    """Return whether this user may use the group.

    Root may write to all groups, but must leave alone those that systemd has not delegated.
    """
    if os.geteuid() != 0 or not os.path.isdir("/run/systemd/system"):
        return True
    for name in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(place, name) == b"1":
                return True
    return False

"""A control group for a pool's workers (cgroup v2), where this process may make one."""

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


# With these the kernel says that it cannot now, not that it may not be.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.EINTR)


class NoCgroup(Exception):
    """Why there is none. `passing`: it may be another time, for all that is known."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


_known: Path | NoCgroup | None = None


def find() -> Path | NoCgroup:
    """As `_find`; the reason where there is none. What is certain is found out once."""
    global _known
    if _known is not None:
        return _known
    try:
        found: Path | NoCgroup = _find()
    except OSError as error:
        return _cannot(error)
    except NoCgroup as error:
        # Not the error itself: by its traceback it keeps all that stands in its callers' frames.
        found = NoCgroup(str(error), passing=error.passing)
        if found.passing:
            return found
    _known = found
    return found


def _find() -> Path:
    """The directory in which this process may make control groups with `CONTROLLERS`: its own
    group's if that holds no process, else the one above. Raises `NoCgroup` and OSError."""
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
    """Make a group for one pool, after those are cleared that killed ones have left. Returns it and
    the lock that says that it is in use."""
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
    """Remove it with all that is in it, when its pool is closed."""
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
    """See to it that what is made in `place` has the controllers."""
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
    """Root may write to all of them, but those that systemd manages it has to leave alone."""
    if os.geteuid() != 0 or not os.path.isdir("/run/systemd/system"):
        return True
    for name in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(place, name) == b"1":
                return True
    return False

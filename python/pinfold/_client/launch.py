# SPDX-License-Identifier: Apache-2.0
"""Launch: the checks of a configuration that need no process, and the opening of its pool."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pinfold._common.check import shown
from pinfold._ext import _pool
from pinfold._host.cgroup import make, remove
from pinfold._host.cpus import usable_cpus
from pinfold._host.sandbox import cgroup_of, namespaces_of, plan_of
from pinfold.call import FOREVER_NS
from pinfold.config import CACHES, MAX_WORKERS, THREAD_COUNTS
from pinfold.errors import InvalidConfig, PoolError

if TYPE_CHECKING:
    from pinfold.config import WorkerConfig

_PACKAGE = Path(__file__).resolve().parent.parent
_LIBRARIES = ("cbor2", "cloudpickle")  # that the runtime imports
# The most that one argument of a process may have, in characters, and that all of its arguments and
# its environment may have, in bytes.
_PIECE = 120_000
_ARGUMENTS_MOST = 6 << 20

_ISOLATIONS = {"fresh": _pool.FRESH, "reuse": _pool.REUSE, "spawn": _pool.SPAWN}


class Launch:
    """A checked configuration, and the state of this process that the pool needs besides.

    Raises `InvalidConfig` for an interpreter that cannot be run or a spill directory that cannot be
    used, and `PoolError` if this process lacks resources for the checks.
    """

    __slots__ = (
        "cgroup",
        "config",
        "cpu_slots",
        "cwd",
        "environment",
        "max_workers",
        "plan",
        "python",
        "python_path",
    )

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.cpu_slots: list[list[int]] | None = None
        self.cgroup: tuple[Path, int] | None = None
        try:
            self._capture(config)
        except (OSError, ImportError) as error:  # an import on use may fail
            raise PoolError(f"a backend cannot be made now: {error}") from error

    def _capture(self, config: WorkerConfig) -> None:
        if config.cpus_per_worker is not None:
            self.cpu_slots = cpu_slots_of(config.cpus_per_worker, config.max_workers)
            self.max_workers = len(self.cpu_slots)
        else:
            self.max_workers = config.max_workers or min(usable_cpus(), MAX_WORKERS)
        self.python = _interpreter(config.python)
        self.python_path = list(dict.fromkeys(map(os.path.realpath, config.python_path)))
        self.cwd = _working_directory()
        self.plan = plan_of(config)
        prepare_spill_dir(config.spill_dir)
        self.environment = _environment(config)
        self._check_size()

    def open(self, *, events: bool) -> _pool.Pool:
        """Open the pool. Return before its template is ready. Raises OSError."""
        config = self.config
        parent = cgroup_of(config)
        if isinstance(parent, Path):
            self.cgroup = make(parent)
        try:
            return self._pool(config, events)
        except BaseException:
            self._remove_cgroup()
            raise

    def _pool(self, config: WorkerConfig, events: bool) -> _pool.Pool:
        return _pool.Pool(
            argv=self.command([]),
            envp=self.environment,
            guard=os.fsencode(_PACKAGE / "pinfold-guard"),
            spill_dir=os.fsencode(config.spill_dir),
            isolation=_ISOLATIONS[config.isolation],
            max_workers=self.max_workers,
            max_queue=config.max_queue or 0,
            max_calls_per_worker=config.max_calls_per_worker or 0,
            idle_timeout_ns=_nanoseconds(config.idle_timeout_s),
            open_timeout_ns=_nanoseconds(config.setup_timeout_s),
            output_bytes=config.limits.output_bytes,
            flags=(0 if config.enable_pdeathsig else _pool.NO_PDEATHSIG)
            | (_pool.EVENTS if events else 0)
            | (_pool.CPU_SLOTS if self.cpu_slots else 0)
            | _pool.PRINTED
            | (_pool.AHEAD if config.isolation != "fresh" else 0)
            | (_pool.NO_QUEUE if config.max_queue == 0 else 0)
            | (_pool.DISTRUST if self.plan else 0),
            namespaces=namespaces_of(self.plan),
            cgroup=str(self.cgroup[0]) if self.cgroup else None,
        )

    def command(self, learned: Sequence[str]) -> list[bytes]:
        """Return the arguments that start a template. With ``preload="auto"``, it preloads
        `learned`, too."""
        text = self._template_config(learned)
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        script = str(_PACKAGE / "_worker" / "boot" / "template.py")
        return [os.fsencode(word) for word in (self.python, script, str(len(pieces)), *pieces)]

    def _check_size(self) -> None:
        """Raise InvalidConfig if arguments and environment exceed the bound of execve(2)."""
        most = min(os.sysconf("SC_ARG_MAX"), _ARGUMENTS_MOST) - _PIECE
        size = sum(len(word) + 9 for word in (*self.command([]), *self.environment))
        if size > most:
            raise InvalidConfig(
                "WorkerConfig: setup takes too much room: it, the preloads and the environment"
                f" take {size} bytes as they are handed to a process, and {most} are possible;"
                " have setup import a module, or read a file"
            )

    def clean(self) -> None:
        """Remove, after the pool was closed, the files that its template and guard left."""
        _pool.clear_bases(str(self.config.spill_dir))
        self._remove_cgroup()

    def _remove_cgroup(self) -> None:
        if self.cgroup is not None:
            remove(*self.cgroup)
            self.cgroup = None

    def _template_config(self, learned: Sequence[str]) -> str:
        config = self.config
        learns = config.preload == "auto"
        return json.dumps(
            {
                "preload": [] if learns else list(config.preload),
                "learned": list(learned) if learns else None,
                "setup": config.setup,
                "node_id": config.node_id,
                "identity": list(config.identity_env or ()),
                "python_path": self.python_path,
                "cwd": self.cwd,
                "isolation": config.isolation,
                "package": str(_PACKAGE.parent),
                "path": _library_path(),
                "modules": _module_path(),
                "box": self.plan,
                "threads": list(config.allow_threads),
                "cgroup": str(self.cgroup[0]) if self.cgroup else None,
                "cpu_slots": self.cpu_slots,
            }
        )


def cpu_slots_of(cpus_per_worker: int, max_workers: int | None) -> list[list[int]]:
    """Return disjoint CPU slots, for `max_workers` workers or for as many as the CPUs suffice.

    Raises `InvalidConfig` if there are too few CPUs.
    """
    cpus = sorted(os.sched_getaffinity(0))
    usable = usable_cpus()
    most = usable // cpus_per_worker
    workers = max_workers or min(most, MAX_WORKERS)
    if not 1 <= workers <= most:
        raise InvalidConfig(
            f"WorkerConfig: cpus_per_worker is {cpus_per_worker}, which for max_workers"
            f" {workers or 1} takes {(workers or 1) * cpus_per_worker} CPUs; this process may use"
            f" {usable}"
        )
    starts = range(0, workers * cpus_per_worker, cpus_per_worker)
    return [cpus[start : start + cpus_per_worker] for start in starts]


def _nanoseconds(seconds: float) -> int:
    return FOREVER_NS if seconds >= FOREVER_NS / 1e9 else max(1, int(seconds * 1e9))


def _interpreter(python: str) -> str:
    found: str | None = python
    if "/" not in python:
        import shutil

        found = shutil.which(python)
    if found is None:
        raise InvalidConfig(f"WorkerConfig: python: no {shown(python)} on PATH")
    path = os.path.abspath(found)  # not resolved: a virtual environment is known by its link
    if not os.path.exists(path):
        raise InvalidConfig(f"WorkerConfig: python: there is no {shown(path)}")
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise InvalidConfig(f"WorkerConfig: python: {shown(path)} is no program that can be run")
    return path


def _working_directory() -> str | None:
    """Return the directory in which every template starts its workers; None: it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _library_path() -> list[str]:
    """Return the directories from which this process imports the runtime's libraries."""
    places: dict[str, None] = {}
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            places[str(Path(spec.origin).parent.parent)] = None
    return list(places)


def _module_path() -> list[str]:
    """Return the search path of this process without the directories that equal interpreters have:
    pickled arguments name modules on it."""
    own = (f"{sys.prefix}/", f"{sys.base_prefix}/")
    places = [os.path.abspath(place) for place in sys.path if place]
    return [
        place
        for place in dict.fromkeys(places)
        if not f"{place}/".startswith(own)
        and os.path.basename(place) not in ("site-packages", "dist-packages")
        and os.path.exists(place)
    ]


def _environment(config: WorkerConfig) -> list[bytes]:
    prefixes = tuple(config.env_prefixes)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in config.env_whitelist or name.startswith(prefixes)
    }
    if config.sandbox != "none":
        for name in CACHES:
            kept.pop(name, None)
    if config.identity_env:
        kept[config.identity_env[1]] = config.node_id
    if config.cpus_per_worker is not None:
        kept |= dict.fromkeys(THREAD_COUNTS, str(config.cpus_per_worker))
    return [os.fsencode(f"{name}={value}") for name, value in kept.items()]


def prepare_spill_dir(path: Path) -> None:
    """Make the directory if it is missing, and check that files can be made in it.

    Every user can guess the default path, which lies in a world-writable directory. It must
    therefore be a directory of this user, accessible to this user alone.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            path.chmod(0o700)  # the umask may have removed bits
        status = path.lstat()
        if path.name == f"pinfold-{os.getuid()}":
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise InvalidConfig(
                    f"WorkerConfig: spill_dir: {shown(str(path))} is refused: it is a link, or"
                    " belongs to another user; remove it, or choose another directory"
                )
            if stat.S_IMODE(status.st_mode) != 0o700:
                path.chmod(0o700)
        _try_file_in(path)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        raise InvalidConfig(
            f"WorkerConfig: spill_dir: cannot write to {shown(str(path))}: {error.strerror}"
        ) from error


def _try_file_in(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        import tempfile  # a file system without unnamed files

        with tempfile.TemporaryFile(dir=path):
            pass

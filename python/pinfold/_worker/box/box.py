# SPDX-License-Identifier: Apache-2.0
"""The box around a worker. Its template prepares it once; each worker closes its own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pinfold._worker.box import _box
from pinfold._worker.code.source import Source, slot
from pinfold._worker.ext import _runtime

if TYPE_CHECKING:
    from pinfold._wire.plan import Plan

TASKS = 8192  # bound for all calls of a strict template: a quarter of Linux's default pid_max
SCRATCH_BYTES = 1 << 30  # bound for a strict call's scratch directory, which lies in memory

# The parts of an installation prefix that programs and libraries read. The rest of a prefix may
# hold configuration, sources or data that no call should see.
OF_PREFIX = ("bin", "include", "lib", "lib32", "lib64", "libexec", "pyvenv.cfg", "share")
OF_CONDA = ("etc/fonts", "ssl")

SYSTEM = (
    *(f"/usr/{name}" for name in (*OF_PREFIX, "sbin")),
    *(f"/usr/local/{name}" for name in OF_PREFIX),
    "/lib", "/lib32", "/lib64", "/bin", "/sbin",
    "/nix/store", "/gnu/store",
    "/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/group", "/etc/host.conf",
    "/etc/hosts", "/etc/ld.so.cache", "/etc/localtime", "/etc/matplotlibrc", "/etc/mime.types",
    "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/pki/tls", "/etc/protocols",
    "/etc/resolv.conf", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/timezone",
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage",
)  # fmt: skip
PROC = (
    "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version",
    "sys/kernel/cap_last_cap", "sys/kernel/ngroups_max", "sys/kernel/osrelease",
    "sys/kernel/ostype", "sys/kernel/pid_max", "sys/kernel/random", "sys/kernel/threads-max",
    "sys/vm/max_map_count", "sys/vm/overcommit_memory",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def readable(more: Iterable[str]) -> list[str]:
    """Return the paths that an interpreter like this one reads, and `more`: the interpreter, its
    packages, the files that it has mapped, the system's libraries."""
    places = {
        *_of_prefixes(), sys.executable, *sys.path, *more,
        *os.environ.get("LD_LIBRARY_PATH", "").split(":"), *_mapped(), *SYSTEM,
    }  # fmt: skip
    absolute = {os.path.abspath(place) for place in places if place}
    absolute |= {os.path.realpath(place) for place in absolute}
    absolute |= set(_chain(sys.executable))
    return _topmost(place for place in absolute if place != "/" and os.path.lexists(place))


def _of_prefixes() -> Iterable[str]:
    for prefix in {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}:
        conda = OF_CONDA if os.path.isdir(f"{prefix}/conda-meta") else ()
        for name in (*OF_PREFIX, *conda):
            yield f"{prefix}/{name}"


def _chain(path: str) -> Iterable[str]:
    """Yield the path, and each path that it leads to by symbolic links."""
    for _ in range(40):  # path_resolution(7)
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def _mapped() -> set[str]:
    """Return the loaded libraries, and the symbolic links to them in the same directory.

    Other programs load them by those links.
    """
    with open("/proc/self/maps", errors="surrogateescape") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if line.count("/")}
    # In a view, earlier mappings have names below the old root; the new root has the same files.
    own = (path.removeprefix(_box.OUTSIDE) for path in paths)
    files = {path for path in own if ".so" in path and path.startswith("/")}
    names = set()
    for directory in {os.path.dirname(path) for path in files}:
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            names |= {
                entry.path
                for entry in entries
                if ".so" in entry.name
                and entry.is_symlink()
                and os.path.realpath(entry.path) in files
            }
    return files | names


def _topmost(places: Iterable[str]) -> list[str]:
    """Return the paths that lie below none of the others. A symbolic link covers nothing."""
    kept: list[str] = []
    for place in sorted(places):
        if not covers(kept, place):
            kept.append(place)
    return kept


def on_disk(place: str) -> bool:
    return not place.startswith("/sys/")


def covers(places: Iterable[str], path: str) -> bool:
    return any(
        path == place or (path.startswith(f"{place}/") and not os.path.islink(place))
        for place in places
    )


class Box:
    """The box: in a template, the parts that all its workers share; in a worker, its own box."""

    def __init__(self, plan: Plan, base: str, more: Iterable[str]) -> None:
        """Prepare the box, in a template or a spawned worker that has loaded its modules.

        `more` are further paths that calls may read.
        """
        self._plan = plan
        self._base = base
        self._strict = plan["namespaces"]
        self.readable = readable(more)
        # A Landlock rule applies to the file that a link leads to, so links need none: each rule
        # costs every worker time. Directories above a path could show what other calls read.
        places = _topmost({os.path.realpath(place) for place in self.readable})
        proc = ["/.proc"] if self._strict else [f"/proc/{name}" for name in PROC]
        rules = [(place, _box.READ) for place in (*places, *proc)]
        rules += [(device, _box.DEVICE) for device in DEVICES]
        self._held = _box.hold(rules if plan["landlock"] else [], plan["descriptors"])
        self._filter: _box.Filter | None = None
        self._filtered = False
        self._ruleset = -1
        self._has_slot = False
        """Whether the ruleset and the scratch directory are those of a box slot."""
        self._shared = -1
        """The mount namespace that all workers share, until this worker's own is final."""
        self._scratch = ""
        self._left: tuple[int, ...] = ()
        """The status of `_scratch` when it is empty (`_clear`)."""
        self.source: Source | None = None
        self._reused = False
        self.entered = False
        """Whether a call of a reused worker is in the scratch directory."""

    def share(self, *, fresh: bool) -> None:
        """In a template that forks, load the filter and prepare the box slots for its workers.

        The template must not need the refused system calls after this.
        """
        abi, network = self._plan["landlock"], self._plan["network"]
        strict = self._plan["level"] == "strict"
        if not strict:
            _box.drop()
        if self._plan["seccomp"]:
            # Strict workers must mount first, and need their privileges for that. Programs in a
            # standard box may leave directories that can be removed only after a chmod(2).
            first, rest = (
                (_box.STRICT_FIRST, _box.STRICT_REST)
                if strict
                else (_box.STANDARD_FIRST, _box.STANDARD_REST)
            )
            _box.load(_box.compile(first, network, abi, not fresh))
            self._filter = _box.compile(rest, network, abi, not fresh)
        self._filtered = True
        if fresh and abi:
            scratch = None if self._strict else f"{self._base}/scratch"
            _runtime.use_box_slots(self._held, abi, network, scratch, self._filter)
            forget_temporary_directory()

    def draft(self, *, reused: bool) -> None:
        """Prepare the box in a worker, before its first call. A reused worker closes it now."""
        box_slot = _runtime.own_box_slot()
        name = box_slot[1] if box_slot is not None else ""
        if not self._strict and (name or reused):
            self.source = slot(f"{self._base}/sources", name)
            if box_slot is not None:
                _box.allow(box_slot[0], self._plan["landlock"], self._own_source())
        if _runtime.draft_box_slot():
            return
        if self._plan["seccomp"] and not self._filtered:  # the worker was spawned
            kind = _box.STRICT if self._plan["level"] == "strict" else _box.STANDARD
            self._filter = _box.compile(kind, self._plan["network"], self._plan["landlock"], reused)
        self._scratch = f"{self._base}/scratch"
        if self._strict:  # mounting is slow, so do it before a call comes
            self._shared = os.open("/proc/self/ns/mnt", os.O_RDONLY)
            _box.part(-1, [], self._scratch, SCRATCH_BYTES)
        else:
            self._scratch += f"/{os.getpid()}"
            os.mkdir(self._scratch, 0o700)
        if self.source is None:
            self.source = Source(f"{self._scratch}/source")
        if box_slot is not None:
            self._has_slot = True
            self._ruleset = box_slot[0]
            own = (self._scratch, _box.ALL) if self._strict else ("/proc/self", _box.READ)
            _box.allow(self._ruleset, self._plan["landlock"], [own])
        elif self._plan["landlock"]:
            self._ruleset = self._draft()
            _box.allow(self._ruleset, self._plan["landlock"], self._own_source())
        self._reused = reused
        if reused:
            self._close([])
            self._left = self._clear()

    def enter(self, python_path: list[str]) -> None:
        """At the start of a call, close the box if it is open, and enter the scratch directory.

        Raises RuntimeError if a reused worker would need a path that its closed box does not have.
        """
        outside = python_path
        if python_path:
            outside = [path for path in python_path if not covers(self.readable, path)]
        environ = getattr(os.environ, "_data", None)  # None: a set-up replaced os.environ
        if not outside and environ is not None and _runtime.enter_box_slot(environ):
            return
        if not self._scratch:  # the worker has a box slot, but the call needs rules of its own
            box_slot = _runtime.own_box_slot()
            assert box_slot is not None
            self._ruleset = box_slot[0]
            self._scratch = f"{self._base}/scratch/{box_slot[1]}"
            self._has_slot = True
        if not self._reused:
            self._close(outside)
        elif outside:
            raise RuntimeError(
                f"{outside[0]!r} of the call's python_path lies outside of the box, which a worker"
                ' that is used again closes before it knows its calls: use isolation="fresh"'
            )
        else:
            self.entered = True
        directory = self._scratch
        if self.source is not None and not self._own_source():  # the source's file lies there, too
            directory = f"{self._scratch}/work"
            os.mkdir(directory, 0o700)
        os.chdir(directory)
        for name in ("HOME", "TMPDIR", "TEMP", "TMP"):
            os.environ[name] = directory
        forget_temporary_directory()

    def leave(self) -> None:
        """At the end of a call in a reused worker, empty the scratch directory.

        Raises OSError if something stays, such as a file that is still mapped, or if the status of
        the directory itself shows traces of the call.
        """
        self.entered = False
        if self._strict:
            os.chmod(self._scratch, 0o700)
        if self._clear() != self._left:
            raise OSError(f"{self._scratch} is not as it was")

    def _clear(self) -> tuple[int, ...]:
        fd = os.open(self._scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _box.clear(fd, 0xFFFFFFFF)
            status = os.fstat(fd)
            left: tuple[int, ...] = (status.st_mode, status.st_size)
            if self._strict:  # the scratch directory is a file system of its own
                for name in os.listxattr(fd):
                    os.removexattr(fd, name)
                os.utime(fd, ns=(0, 0))
                space = os.fstatvfs(fd)
                left += (space.f_bfree, space.f_ffree)
            return left
        finally:
            os.close(fd)

    def _own_source(self) -> list[tuple[str, int]]:
        """Return the rule for the source's directory, or none if that is below the scratch one."""
        source = self.source
        outside = source is not None and source.directory.startswith(f"{self._base}/sources/")
        return [(source.directory, _box.READ)] if source is not None and outside else []

    def _draft(self) -> int:
        return _box.draft(self._plan["landlock"], self._plan["network"], self._held, "/proc/self")

    def _close(self, more: list[str]) -> None:
        if self._strict:
            if more:  # draft() made the mounts without these paths
                _box.part(self._shared, more, self._scratch, SCRATCH_BYTES)
            os.close(self._shared)
        rules = [
            *((path, _box.READ) for path in more),
            (self._scratch, _box.ALL),
            *self._own_source(),
        ]
        if self._has_slot and more:
            self._ruleset = self._draft()  # the slot's ruleset must not let the next call read more
        elif self._has_slot:
            rules = []
        _box.close(self._ruleset, self._plan["landlock"], rules, self._held, self._filter)
        self._ruleset = -1


def forget_temporary_directory() -> None:
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = None


def leave_tasks() -> None:
    """Bound the tasks (processes and threads) of this PID namespace, to leave the machine some.

    The bound holds for root, too. `pid_max` belongs to the namespace since Linux 6.14
    (pid_namespaces(7)). Before, it belongs to the machine, so it stays unchanged.
    """
    release = os.uname().release.split(".")
    minor = "".join(filter(str.isdigit, release[1][:2]))
    if os.getpid() != 1 or (int(release[0]), int(minor)) < (6, 14):
        return
    most = TASKS
    for name in ("pid_max", "threads-max"):
        with open(f"/proc/sys/kernel/{name}") as file:
            most = min(most, int(file.read()) // 4)
    with open("/proc/sys/kernel/pid_max", "w") as file:
        file.write(str(most))


def enter_view(base: str, more: Iterable[str]) -> None:
    """In a template with its own namespaces, replace the root by the view: the needed paths only.

    `more` are needed paths besides `readable`'s own.
    """
    with contextlib.suppress(OSError):  # /proc may be read-only
        leave_tasks()
    installed = _topmost(os.path.realpath(place) for place in (*_of_prefixes(), *SYSTEM))
    shown = [
        (place, _box.VIEW_STILL if covers(installed, place) and on_disk(place) else _box.VIEW_READ)
        for place in readable(more)
    ]
    shown += [(device, _box.VIEW_DEVICE) for device in DEVICES]
    _box.view(f"{base}/root", shown, list(PROC))
    os.makedirs(f"{base}/scratch", exist_ok=True)
    own = "/proc/self/fd"
    links = {
        "/tmp": f"{base}/scratch", "/dev/shm": f"{base}/scratch",
        "/dev/fd": own, "/dev/stdin": f"{own}/0", "/dev/stdout": f"{own}/1",
        "/dev/stderr": f"{own}/2",
    }  # fmt: skip
    for name, target in links.items():
        if not os.path.lexists(name):
            os.symlink(target, name)

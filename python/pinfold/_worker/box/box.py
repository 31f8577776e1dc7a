"""The box around a worker: what its template builds once, and how each worker closes it."""

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

TASKS = 8192  # of all calls of a strict template: a quarter of a machine's pids by default
SCRATCH_BYTES = 1 << 30  # of a strict call's scratch directory, which lies in memory

# Of the directories that programs and libraries are installed below, what these read: nobody's
# configuration, sources or data that happen to lie beside it.
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
    """What an interpreter like this one reads: itself, packages, what it has mapped, the system's
    libraries."""
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
    """The links that lead to a file, one to the other."""
    for _ in range(40):  # path_resolution(7)
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def _mapped() -> set[str]:
    """The libraries that are loaded, and the names that lead to them from the same directory: by
    these other programs load them."""
    with open("/proc/self/maps", errors="surrogateescape") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if line.count("/")}
    # In a view, what was mapped before bears the name of the old root, and lies in the new one too.
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
    """Those that lie in none of the others. A link hides nothing: it is only a name."""
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
    """What all workers of a template have in common, and then one worker's box."""

    def __init__(self, plan: Plan, base: str, more: Iterable[str]) -> None:
        """In the template, when all is loaded that is to be loaded; or in a spawned worker."""
        self._plan = plan
        self._base = base
        self._strict = plan["namespaces"]
        self.readable = readable(more)
        # A rule is for what a name leads to, and each costs every worker something.
        # In a view the directories around a place name what other calls have on their path.
        places = _topmost({os.path.realpath(place) for place in self.readable})
        proc = ["/.proc"] if self._strict else [f"/proc/{name}" for name in PROC]
        rules = [(place, _box.READ) for place in (*places, *proc)]
        rules += [(device, _box.DEVICE) for device in DEVICES]
        self._held = _box.hold(rules if plan["landlock"] else [], plan["descriptors"])
        self._filter: _box.Filter | None = None
        self._filtered = False
        self._ruleset = -1
        self._has_slot = False
        """Whether the ruleset, and the scratch directory, were another's before."""
        self._shared = -1
        """The mount namespace of all workers, until a call's own is certain."""
        self._scratch = ""
        self._left: tuple[int, ...] = ()
        """What the file system tells of `_home` when nothing is in it."""
        self.source: Source | None = None
        self._reused = False
        self.entered = False
        """Whether a call of a worker that is used again has a scratch directory."""

    def share(self, *, fresh: bool) -> None:
        """In a template that forks: what is loaded here, its workers have. It must not need any
        more what the filter refuses."""
        abi, network = self._plan["landlock"], self._plan["network"]
        strict = self._plan["level"] == "strict"
        if not strict:
            _box.drop()
        if self._plan["seccomp"]:
            # Workers of a strict box have mounts to make first, and privileges to make them; those
            # of the other leave directories that only a change of their mode opens.
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
        """In a worker, before its first call. One that is used again closes its box now."""
        box_slot = _runtime.own_box_slot()
        name = box_slot[1] if box_slot is not None else ""
        if not self._strict and (name or reused):
            self.source = slot(f"{self._base}/sources", name)
            if box_slot is not None:
                _box.allow(box_slot[0], self._plan["landlock"], self._own_source())
        if _runtime.draft_box_slot():
            return
        if self._plan["seccomp"] and not self._filtered:  # it was not forked
            kind = _box.STRICT if self._plan["level"] == "strict" else _box.STANDARD
            self._filter = _box.compile(kind, self._plan["network"], self._plan["landlock"], reused)
        self._scratch = f"{self._base}/scratch"
        if self._strict:  # the kernel takes its time over that: now, not when the call is there
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
        """A call begins: close the box, if it is open, and go to the scratch directory."""
        outside = python_path
        if python_path:
            outside = [path for path in python_path if not covers(self.readable, path)]
        environ = getattr(os.environ, "_data", None)  # None: a set-up put something else there
        if not outside and environ is not None and _runtime.enter_box_slot(environ):
            return
        if not self._scratch:  # it has a slot, but needs rules of its own
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
        if self.source is not None and not self._own_source():  # its file lies there as well
            directory = f"{self._scratch}/work"
            os.mkdir(directory, 0o700)
        os.chdir(directory)
        for name in ("HOME", "TMPDIR", "TEMP", "TMP"):
            os.environ[name] = directory
        forget_temporary_directory()

    def leave(self) -> None:
        """A call of a worker that is used again has ended: what is in its scratch directory goes.
        Raises OSError if something stays, such as a mapping that keeps a file, or if the directory
        itself tells of the call."""
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
            if self._strict:  # a file system of its own
                for name in os.listxattr(fd):
                    os.removexattr(fd, name)
                os.utime(fd, ns=(0, 0))
                space = os.fstatvfs(fd)
                left += (space.f_bfree, space.f_ffree)
            return left
        finally:
            os.close(fd)

    def _own_source(self) -> list[tuple[str, int]]:
        """The rule for its file, if that does not lie in the scratch directory."""
        source = self.source
        outside = source is not None and source.directory.startswith(f"{self._base}/sources/")
        return [(source.directory, _box.READ)] if source is not None and outside else []

    def _draft(self) -> int:
        return _box.draft(self._plan["landlock"], self._plan["network"], self._held, "/proc/self")

    def _close(self, more: list[str]) -> None:
        if self._strict:
            if more:  # its own mounts were made without them
                _box.part(self._shared, more, self._scratch, SCRATCH_BYTES)
            os.close(self._shared)
        rules = [
            *((path, _box.READ) for path in more),
            (self._scratch, _box.ALL),
            *self._own_source(),
        ]
        if self._has_slot and more:
            self._ruleset = self._draft()  # what this call may read, the next may not
        elif self._has_slot:
            rules = []
        _box.close(self._ruleset, self._plan["landlock"], rules, self._held, self._filter)
        self._ruleset = -1


def forget_temporary_directory() -> None:
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = None


def leave_tasks() -> None:
    """Have at most so many processes and threads in this namespace that the machine has some left,
    whatever a call starts, and whoever runs it.

    The setting is the namespace's own since Linux 6.14 (pid_namespaces(7)). Before, it is the
    machine's, and would be changed for all.
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
    """In a template that is in namespaces of its own: see from now on only what is needed."""
    with contextlib.suppress(OSError):  # a /proc that is not to be written to
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

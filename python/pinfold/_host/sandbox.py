# SPDX-License-Identifier: Apache-2.0
"""Find the mechanisms of a sandbox that this machine has, plan a box, and report on both."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pinfold._host import _probe
from pinfold._host.cgroup import NoCgroup, find
from pinfold.errors import InvalidConfig

if TYPE_CHECKING:
    from pinfold._wire.plan import Plan
    from pinfold.limits import Limits

# clone(2)
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip

_DESCRIPTORS = 512
"""The most descriptors of a process in a box, unless the configuration asks for more. The pipes
that so many make, and as many in flight between sockets, stay below the user's bound (pipe(7))."""

ACTIVE, UNAVAILABLE, OFF = "active", "unavailable", "off"


class Wanted(Protocol):
    """The part of a `WorkerConfig` that asks something of the machine."""

    @property
    def sandbox(self) -> str: ...
    @property
    def sandbox_required(self) -> bool: ...
    @property
    def allow_network(self) -> bool: ...
    @property
    def isolation(self) -> str: ...
    @property
    def limits(self) -> Limits: ...


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism that isolates workers, and whether it is in use.

    Attributes:
        name: the mechanism's name.
        state: ``"active"``, ``"unavailable"`` (this machine or user cannot have it) or ``"off"``
            (the configuration does not ask for it).
        does: the effect on a program.
        why: why it is not active; "" if it is.
        enable: what would make it available; "" if nothing is needed.
        required: whether a level of the sandbox is incomplete without it.
    """

    name: str
    state: str
    does: str
    why: str = ""
    enable: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Isolation:
    """How the workers of a backend are isolated.

    Attributes:
        sandbox: the level that the configuration asks for.
        mechanisms: all mechanisms, in the order of the documentation (docs/security.md).
    """

    sandbox: str
    mechanisms: tuple[Mechanism, ...]

    @property
    def missing(self) -> tuple[Mechanism, ...]:
        """The mechanisms that the level requires and that are unavailable here."""
        return tuple(one for one in self.mechanisms if one.state == UNAVAILABLE and one.required)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain dicts and lists, for JSON."""
        return {
            "sandbox": self.sandbox,
            "mechanisms": [asdict(mechanism) for mechanism in self.mechanisms],
        }

    def __str__(self) -> str:
        lines = [f"sandbox: {self.sandbox}"]
        for one in self.mechanisms:
            lines.append(f"  {one.state:11}  {one.name}: {one.does}")
            if one.why:
                lines.append(f"               why: {one.why}")
            if one.enable:
                lines.append(f"               what would enable it: {one.enable}")
        return "\n".join(lines)


_whole: dict[str, int] = {}  # the findings of a probe that found everything; cached for good


def _machine() -> dict[str, int]:
    if _whole:
        return _whole
    found = _probe.probe()
    # A lack may be temporary, such as no descriptor or no memory for the probe.
    if min(found.values()) >= 0:
        _whole.update(found)
    return found


_STEPS = (
    "a user namespace",
    "the same user in a new user namespace",
    "namespaces for mounts, pids, network, IPC and host name",
    "mounts of its own",
    "a /proc of its own",
)


def _why_no_namespaces(found: dict[str, int]) -> tuple[str, str]:
    what = _STEPS[found["namespaces_step"]]
    why = f"cannot make {what}: {os.strerror(-found['namespaces'])}"
    if found["namespaces_step"] == 4:
        return (
            why,
            "a container whose /proc is not masked (Docker: --security-opt systempaths=unconfined)",
        )
    return why, (
        "user namespaces for this user: sysctl user.max_user_namespaces > 0; on Debian also"
        " kernel.unprivileged_userns_clone=1, on Ubuntu"
        " kernel.apparmor_restrict_unprivileged_userns=0;"
        " in a container, a seccomp profile that allows unshare and mount"
    )


def _why_no_landlock(code: int) -> tuple[str, str]:
    if code == -errno.EOPNOTSUPP:
        return "Landlock is built in, but off", "lsm=landlock,... on the kernel's command line"
    return f"no Landlock: {os.strerror(-code)}", "Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK"


def isolation_of(config: Wanted) -> Isolation:
    """Return how this machine isolates the workers of a backend with this configuration."""
    return Isolation(config.sandbox, tuple(_mechanisms(config)))


def _mechanisms(config: Wanted) -> Iterable[Mechanism]:
    boxed = config.sandbox != "none"
    strict = config.sandbox == "strict"
    network = config.allow_network
    found = _machine()
    abi = max(0, found["landlock"])

    def one(
        name: str, does: str, wanted: bool, has: bool, off: str, why: str = "", enable: str = ""
    ) -> Mechanism:
        if not wanted:
            return Mechanism(name, OFF, does, off)
        return (
            Mechanism(name, ACTIVE, does)
            if has
            else Mechanism(name, UNAVAILABLE, does, why, enable)
        )

    level = f"sandbox={config.sandbox!r} does not include it"
    yield one("no_new_privileges", "set-user-ID programs give nothing", boxed, True, level)
    yield one("capabilities_dropped", "root's privileges are gone", boxed, True, level)
    why, enable = _why_no_landlock(found["landlock"]) if not abi else ("", "")
    yield one(
        "landlock_files",
        "reads only the interpreter, packages, python_path and system libraries; writes only the"
        " scratch directory; sees /proc of itself alone; traces no other process",
        boxed, abi >= 1, level, why, enable,
    )  # fmt: skip
    newer = f"Landlock here has ABI {abi}; ABI {{}} is needed"
    filtered = found["seccomp"] == 0
    off = level
    if boxed and abi < 3 and (strict or filtered):
        instead = "mounts are read-only" if strict else "the seccomp filter refuses it altogether"
        off = f"{why or newer.format(3)}; {instead}"
    yield one(
        "landlock_truncate", "no file outside is cut short",
        boxed and not (abi < 3 and (strict or filtered)), abi >= 3, off,
        why or newer.format(3), enable or "Linux 6.2 or later",
    )  # fmt: skip
    off = "allow_network=True" if network and boxed else level
    if boxed and not network and abi < 4 and filtered:
        off = f"{why or newer.format(4)}; the seccomp filter refuses such sockets altogether"
    yield one(
        "landlock_tcp", "no TCP connection or listening",
        boxed and not network and not (abi < 4 and filtered), abi >= 4, off,
        why or newer.format(4), enable or "Linux 6.7 or later",
    )  # fmt: skip
    yield one(
        "landlock_scopes", "no signals to, no abstract sockets of processes outside", boxed,
        abi >= 6, level, why or newer.format(6), enable or "Linux 6.12 or later",
    )  # fmt: skip
    yield one(
        "seccomp",
        (
            "allows only listed system calls"
            if strict
            else "refuses listed system calls; modes, owners, times and attributes of files stay"
        )
        + ("" if network else "; no sockets to anywhere"),
        boxed, filtered, level,
        f"no seccomp filters: {os.strerror(-found['seccomp'])}",
        "a kernel with CONFIG_SECCOMP_FILTER",
    )  # fmt: skip
    why, enable = _why_no_namespaces(found) if found["namespaces"] < 0 else ("", "")
    has = found["namespaces"] == 0
    for name, does, wanted in (
        ("user_namespace", "no rights over anything outside", strict),
        ("pid_namespace", "sees and signals no process outside; dies with the template", strict),
        ("mount_namespace", "a view of only what Python needs, read-only", strict),
        (
            "network_namespace",
            "no network device, no abstract sockets outside",
            strict and not network,
        ),
        ("ipc_namespace", "no System V IPC or message queues outside", strict),
        ("uts_namespace", "the host's name cannot be changed", strict),
    ):
        off = "allow_network=True" if strict and network else level
        yield one(name, does, wanted, has, off, why, enable)
    yield one("scratch_directory", "cwd and TMPDIR, gone after the call", boxed, True, level)
    yield one(
        "sealed_results",
        "a large result is a sealed memfd, which nobody can change or cut any more",
        boxed, True, level,
    )  # fmt: skip
    yield one(
        "kernel_metrics", "metrics are the kernel's, not the worker's word",
        boxed and config.isolation == "fresh", True,
        level if not boxed else "only fresh workers die with their call",
    )  # fmt: skip
    yield Mechanism("limits_sampled", ACTIVE, "memory, processor time, processes: every 20 ms")
    yield Mechanism("limits_of_kernel", ACTIVE, "files, descriptors, address space: rlimits")
    yield Mechanism("oom_first", ACTIVE, "the kernel's OOM killer takes workers, not the caller")
    exact = "memory_bytes by memory.max, of all memory; behind processes a wall by pids.max"
    place = cgroup_of(config)
    if isinstance(place, Path):
        yield Mechanism("cgroup_limits", ACTIVE, exact)
    elif isinstance(place, str):
        yield Mechanism("cgroup_limits", OFF, exact, place)
    else:
        delegated = (
            "cgroup v2 with the controllers memory and pids, delegated to this user, and this"
            " process in a group below it (docs/security.md)"
        )
        yield Mechanism("cgroup_limits", UNAVAILABLE, exact, str(place), delegated, required=False)


def cgroup_of(config: Wanted) -> Path | NoCgroup | str:
    """Return where the pool makes its control group.

    If it makes none, return why that is impossible (`NoCgroup`) or not wanted (str).
    """
    found = find()
    if isinstance(found, NoCgroup):
        return found
    if config.limits.memory_bytes is None and config.limits.processes is None:
        return "WorkerConfig.limits has neither memory_bytes nor processes"
    if config.isolation == "spawn" and config.sandbox == "strict":
        return "spawned workers in a strict box cannot see it"
    return found


def plan_of(config: Wanted) -> Plan | None:
    """Return the plan of the box for the template; None without a sandbox.

    Raises `InvalidConfig` with the list of missing mechanisms.
    """
    if config.sandbox == "none":
        return None
    isolation = isolation_of(config)
    if config.sandbox_required and isolation.missing:
        raise InvalidConfig(
            f"WorkerConfig: sandbox={config.sandbox!r} cannot be had in full on this machine:\n"
            + "\n".join(
                f"  {one.name}: {one.why}; what would enable it: {one.enable}"
                for one in isolation.missing
            )
            + "\nsandbox_required=False takes what there is."
        )
    found = _machine()
    return {
        "level": config.sandbox,
        "network": config.allow_network,
        "landlock": max(0, found["landlock"]),
        "seccomp": found["seccomp"] == 0,
        "namespaces": config.sandbox == "strict" and found["namespaces"] == 0,
        "descriptors": max(_DESCRIPTORS, config.limits.open_files or 0),
    }


def namespaces_of(plan: Plan | None) -> int:
    """Return the namespaces that the template starts in, as flags of clone(2)."""
    if plan is None or not plan["namespaces"]:
        return 0
    network = 0 if plan["network"] else _NEWNET
    return _NEWUSER | _NEWNS | _NEWPID | _NEWIPC | _NEWUTS | network

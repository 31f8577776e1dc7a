"""What the caller sends to a template when it starts it, as JSON."""

from __future__ import annotations

from typing import TypedDict


class Plan(TypedDict):
    """What the pool's Python side wants of the box; see `pinfold._host.sandbox`."""

    level: str
    network: bool
    landlock: int
    """The ABI; 0: there is none, and the configuration lets that pass."""
    seccomp: bool
    namespaces: bool
    descriptors: int
    """How many a process in it may have, at most."""


class TemplateConfig(TypedDict):
    """What the pool's Python side tells; see template.py."""

    package: str
    path: list[str]
    modules: list[str]
    """Where the caller imports from, but for what is installed."""
    preload: list[str]
    setup: str | None
    python_path: list[str]
    """What comes first on ``sys.path``, but for a call's own."""
    cwd: str | None
    """Where the caller was when the backend was made."""
    node_id: str
    identity: list[str]
    """The names of the variables with the worker's id and `node_id`, if there shall be any."""
    box: Plan | None
    cgroup: str | None
    """The directory of the pool's control groups, one for each worker, by its id."""
    learned: list[str] | None
    threads: list[str]
    """Names of threads, and of libraries, that the template may have when it is forked."""
    cpu_slots: list[list[int]] | None

# SPDX-License-Identifier: Apache-2.0
"""The configuration that the caller sends, as JSON, to a template that it starts."""

from __future__ import annotations

from typing import TypedDict


class Plan(TypedDict):
    """The box that the caller's Python side asks for; see `pinfold._host.sandbox`."""

    level: str
    network: bool
    landlock: int
    """The Landlock ABI; 0: the kernel has none, and the configuration accepts that."""
    seccomp: bool
    namespaces: bool
    descriptors: int
    """The maximum number of descriptors of a process in the box."""


class TemplateConfig(TypedDict):
    """The configuration that the caller's Python side sends; see template.py."""

    package: str
    path: list[str]
    modules: list[str]
    """The caller's search path without the directories of installed packages."""
    preload: list[str]
    setup: str | None
    python_path: list[str]
    """The first entries of ``sys.path``; a call's own entries come before them."""
    cwd: str | None
    """The caller's working directory when the backend was made."""
    node_id: str
    identity: list[str]
    """The names of the environment variables for the worker's id and `node_id`; may be empty."""
    box: Plan | None
    cgroup: str | None
    """The directory that holds one control group for each worker, named by the worker's id."""
    learned: list[str] | None
    threads: list[str]
    """Names of threads, and of libraries with threads, that the template may fork with."""
    cpu_slots: list[list[int]] | None

# SPDX-License-Identifier: Apache-2.0
"""Measure the machine's limits, which no pool can beat."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

from bench.measure import median, now, percentile, timed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def ping_pong(seconds: float) -> dict[str, float]:
    """Measure round trips of a small message between two processes over a SEQPACKET socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        while message := theirs.recv(256):
            theirs.send(message)
        os._exit(0)
    theirs.close()
    message = b"x" * 64
    times = []
    until = now() + seconds
    while now() < until:
        began = now()
        ours.send(message)
        ours.recv(256)
        times.append(now() - began)
    ours.close()
    os.waitpid(child, 0)
    return {"median_us": median(times) * 1e6, "p99_us": percentile(times, 99) * 1e6}


def fork_loop(seconds: float) -> float:
    """Return how often per second this interpreter, with numpy loaded, forks, exits and waits."""
    import gc

    import numpy  # noqa: F401

    gc.freeze()
    count = 0
    began = now()
    while now() - began < seconds:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        count += 1
    return count / (now() - began)


def python_loop(seconds: float) -> float:
    """Return how often per second a new interpreter imports numpy and exits."""
    count = 0
    began = now()
    while now() - began < seconds:
        subprocess.run([sys.executable, "-c", "import numpy"], check=True)
        count += 1
    return count / (now() - began)


def ones(size: int) -> float:
    """Return the seconds to make an array of `size` bytes."""
    import numpy as np

    return timed(lambda: np.ones(size // 8))


def ones_and_write(size: int, directory: str) -> float:
    """Return the seconds to make an array of `size` bytes and write it once to a new file."""
    import numpy as np

    descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        began = now()
        rest = np.ones(size // 8).data.cast("B")
        while rest:  # write(2) takes at most 2 GiB at once
            rest = rest[os.write(descriptor, rest) :]
        return now() - began
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def pinned(beside: bool) -> Iterator[None]:
    """Pin this process to one CPU and, with `beside`, run a busy process on each other CPU."""
    here, *others = sorted(before := os.sched_getaffinity(0))
    os.sched_setaffinity(0, {here})
    busy = [_burn_on(cpu) for cpu in (others if beside else [])]
    try:
        yield
    finally:
        for process in busy:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        os.sched_setaffinity(0, before)


def _burn_on(cpu: int) -> int:
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {cpu})
        while True:
            pass
    return child

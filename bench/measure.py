# SPDX-License-Identifier: Apache-2.0
"""Clocks, percentiles and memory, for use inside the process of a measurement."""

from __future__ import annotations

import math
import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.systems.base import Call, System

now = time.perf_counter
QUIET_S = 5.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median; of an even number of values, the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that the call takes."""
    began = now()
    call()
    return now() - began


def status_kb(field: str) -> int:
    """Return a field of /proc/self/status, in KiB."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


def reset_peak() -> int:
    """Reset the peak of resident memory. Return the present resident memory, in KiB."""
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return status_kb("VmRSS")


class Ended:
    """The outcome of one call of a stream, and the times of its begin and end."""

    __slots__ = ("began", "ended", "index", "outcome")

    def __init__(self, index: int, began: float) -> None:
        self.index = index
        self.began = began
        self.ended = 0.0
        self.outcome = ""


def stream(
    system: System,
    calls: Sequence[Call],
    in_flight: int,
    deadline_s: Sequence[float | None],
    bound_s: float,
) -> list[Ended]:
    """Keep `in_flight` calls running until all have ended.

    Stops early after `bound_s`, or if no call ends for QUIET_S. `deadline_s` has each call's
    deadline. A call that never ended has the outcome "". If a pool refuses a call, its outcome is
    the name of the exception.
    """
    slots = threading.Semaphore(in_flight)
    ends: list[Ended] = []
    until = now() + bound_s

    def one_ended() -> bool:
        return slots.acquire(timeout=max(0.0, min(QUIET_S, until - now())))

    for index, call in enumerate(calls):
        if not one_ended():
            break
        end = Ended(index, now())
        ends.append(end)

        def done(outcome: str, end: Ended = end) -> None:
            end.ended = now()
            end.outcome = outcome
            slots.release()

        try:
            system.start(call, deadline_s[index], done)
        except Exception as error:
            done(type(error).__name__)
    for _ in range(in_flight):
        if not one_ended():
            break
    return ends


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))

# SPDX-License-Identifier: Apache-2.0
"""Values of every size as the result of a call, and the memory that they take in the caller."""

from __future__ import annotations

from bench import limits
from bench.measure import median, now, reset_peak, status_kb, timed
from bench.programs import MAKE
from bench.systems import PEERS, make
from bench.systems.base import Call, CannotDo, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Results of every size"
ABOUT = (
    "The time runs from the call to the value in the caller, making the value in the worker "
    "included. Two workers have numpy loaded. *Nested* is a dict of 16 dicts, each with an "
    "array, a float and a list. The memory is the growth of the caller's resident memory to its "
    "peak during the largest call."
)
LIMIT_S = 40.0
KIB, MIB = 1 << 10, 1 << 20
SIZES = {
    "array": (KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB),
    "bytes": (KIB, MIB, 64 * MIB),
    "nested": (KIB, MIB, 64 * MIB),
}
ENTRIES = {
    "limit-ones": 2,
    "limit-write": 2,
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
    "loky": 2,
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if system.startswith("limit-"):
        for size in SIZES["array"]:
            yield {f"array {size}": bound(system, size)}
        return
    under_test = make(system)
    under_test.open(2, preload=["numpy"])
    for kind, sizes in SIZES.items():
        for size in sizes:
            name = f"{kind} {size}"
            try:
                took, peak = transfer(under_test, Call(MAKE[kind], size), size)
            except CannotDo as reason:
                yield {f"cannot {name}": str(reason)}
            except Exception as error:
                yield {f"cannot {name}": f"{type(error).__name__}: {str(error)[:100]}"}
            else:
                yield {name: took, f"{name} rss": peak}
    under_test.close()


def bound(system: str, size: int) -> float:
    """Return the limit's seconds for an array of this size."""
    import tempfile

    repeats = 3 if size >= 16 * MIB else 20
    if system == "limit-ones":
        return median([limits.ones(size) for _ in range(repeats)])
    return median([limits.ones_and_write(size, tempfile.gettempdir()) for _ in range(repeats)])


def transfer(system: System, call: Call, size: int) -> tuple[float, float]:
    """Return the seconds of one such call, and the peak growth of the caller's memory in bytes.

    The first call is not timed, because a virtual machine may have to get memory from its host.
    """
    large = size >= 16 * MIB
    before = reset_peak()
    system.call(call)
    peak = (status_kb("VmHWM") - before) * 1024
    times: list[float] = []
    until = now() + (0.5 if large else 0.15)
    while len(times) < (1 if large else 3) or (now() < until and len(times) < 100):
        times.append(timed(lambda: system.call(call)))
    return median(times), max(0, peak)


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.results import size as shown_size
    from bench.tables import Column, grid

    made = []
    for kind, sizes in SIZES.items():
        columns = [Column(f"{kind} {size}", shown_size(size), seconds) for size in sizes]
        memory = Column(f"{kind} {sizes[-1]} rss", "caller's memory", shown_size, compared=False)
        rounds = results.rounds
        if kind != "array":
            rounds = {name: r for name, r in rounds.items() if not name.startswith("limit-")}
        of_kind = type(results)(rounds)
        made.append(grid(f"{TITLE}: {kind}", of_kind, [*columns, memory], "pinfold-fresh"))
    return made

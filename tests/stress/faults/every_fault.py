# SPDX-License-Identifier: Apache-2.0
"""Make every call of our objects to the kernel and to the allocator fail in turn.

    python every_fault.py [--short] [--calls N] [--jobs N] [--only EXPRESSION]
                          [--at EXPRESSION FIRST LAST ...] [--brief] BUILD SCENARIO [ARGUMENT ...]

BUILD is a build directory with -Dfaults=enabled. SCENARIO is a program that uses a pool and exits
with 0 on success. A first run without failures records the places at which the objects call
functions that may fail, their numbers of calls, and their numbers of errors. Then, for each place,
each of its errors and each of its calls from the first to the last, the scenario runs once more and
that one call fails. `--calls`: only the first N calls of each place. `--short`: only the first, and
only with its first error. `--only`: only places whose printed name matches the expression; `--at`:
only these calls of such places, and no other places than those of every `--at`. `--jobs`: number
of concurrent runs. `--brief`: do not print the places that were not reached.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

HEAD = struct.Struct("<QIIQ")  # tests/stress/faults/faults.h
SITE = struct.Struct("<QQII48s32s")
SITES = 1024

HANGS_AFTER_S = 60
WITHOUT_SANITIZERS = {**os.environ, "LD_PRELOAD": ""}
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, order=True)
class Site:
    """One place in an object that calls a function that may fail."""

    file: str
    offset: int
    function: str
    key: int
    calls: int
    errors: int


class Page:
    """The memory shared with all processes of a scenario."""

    def __init__(self, path: str) -> None:
        size = HEAD.size + SITES * SITE.size
        self.path = path
        with open(path, "w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)

    def fail(self, site: int, call: int, error: int) -> None:
        self._memory[:] = bytes(len(self._memory))
        HEAD.pack_into(self._memory, 0, site, call, error, 0)

    @property
    def hits(self) -> int:
        return int(HEAD.unpack_from(self._memory)[3])

    def sites(self) -> Iterator[Site]:
        for key, offset, calls, errors, file, function in SITE.iter_unpack(
            self._memory[HEAD.size :]
        ):
            if key:
                names = [name.split(b"\0")[0].decode() for name in (file, function)]
                yield Site(names[0], offset, names[1], key, calls, errors)


class Objects:
    """The files of the build, and the source lines of their code."""

    def __init__(self, build: Path) -> None:
        self._files = {path.name: path for path in build.rglob("*") if path.is_file()}
        self._lines: dict[tuple[str, int], str] = {}

    def line(self, file: str, offset: int) -> str:
        """Return "lib/wire/frame.c:123 frame_send()" for the call that returns to `offset`."""
        if (file, offset) not in self._lines:
            told = subprocess.run(
                ["addr2line", "-f", "-e", self._files[file], hex(offset - 1)],
                env=WITHOUT_SANITIZERS,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.split("\n")
            place = re.sub(r"^.*?((lib|python|tests)/)", r"\1", told[1].split(" ")[0])
            self._lines[file, offset] = f"{place} {told[0]}()"
        return self._lines[file, offset]

    def calls(self, file: str) -> Iterator[int]:
        """Return the offsets to which the wrapped calls of a file return."""
        code = subprocess.run(
            ["objdump", "--disassemble", "--no-show-raw-insn", self._files[file]],
            env=WITHOUT_SANITIZERS,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        wrapped = False
        for line in code.splitlines():
            instruction = re.match(r" *([0-9a-f]+):\t(.*)", line)
            if not instruction:
                continue
            if wrapped:
                yield int(instruction[1], 16)
            wrapped = re.search(r"call.*<__wrap_", instruction[2]) is not None


class Scenario:
    """A program that runs with one failure at a time."""

    def __init__(self, command: list[str], page: Page) -> None:
        self._command = command
        self._page = page

    @property
    def hits(self) -> int:
        return self._page.hits

    def sites(self) -> Iterator[Site]:
        return self._page.sites()

    def run(self, site: int = 0, call: int = 0, error: int = 0) -> str:
        """Run the program and return what went wrong, or "" if nothing did."""
        self._page.fail(site, call, error)
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            try:
                code = subprocess.run(
                    self._command,
                    env={**os.environ, "PINFOLD_FAULTS": self._page.path},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=HANGS_AFTER_S,
                ).returncode
            except subprocess.TimeoutExpired:
                code = -signal.SIGALRM
            left = _end_children()
            output.seek(0)
            text = output.read()
        if code == 0 and not left:
            return ""
        return f"exit code {code}, {left} processes left\n{text}"


def _end_children() -> int:
    """Kill and reap the orphans of this process, a subreaper; return their number."""
    n = 0
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return n
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            n += 1
            os.waitpid(child, 0)


@dataclass(frozen=True)
class Failures:
    """The results of failing the calls of one place, one by one, with one of its errors."""

    runs: int
    troubles: list[str]
    slowest: tuple[float, str]


_scenario: Scenario  # of this process: each has its own page, and reaps the orphans of its runs


def start(command: list[str], directory: str) -> None:
    global _scenario
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _scenario = Scenario(command, Page(f"{directory}/{os.getpid()}"))


def fail_each(site: Site, error: int, calls: range, place: str) -> Failures:
    troubles = []
    runs = 0
    slowest = (0.0, "")
    for call in calls:
        name = f"{place}: call {call} of {site.function}, error {error}"
        began = time.monotonic()
        trouble = _scenario.run(site.key, call, error)
        slowest = max(slowest, (time.monotonic() - began, name))
        if not _scenario.hits:  # this run made fewer calls
            if trouble:
                troubles.append(f"{name}, which did not come to pass: {trouble}")
            break
        runs += 1
        if trouble:
            troubles.append(f"{name}: {trouble}")
    return Failures(runs, troubles, slowest)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--calls", type=int, default=sys.maxsize)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="")
    parser.add_argument("--at", nargs=3, action="append", metavar=("EXPRESSION", "FIRST", "LAST"))
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("build", type=Path)
    parser.add_argument("scenario", nargs="+")
    options = parser.parse_args()
    most = 1 if options.short else options.calls
    asked = [
        (expression, range(int(first), int(last) + 1))
        for expression, first, last in options.at or [(options.only, 1, most)]
    ]
    objects = Objects(options.build)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        start(options.scenario, directory)
        if trouble := _scenario.run():
            print(f"without any failure: {trouble}")
            return 1
        sites = sorted(_scenario.sites())
        can_fail = [site for site in sites if site.errors]
        print(
            f"{len(can_fail)} places that can fail, with {sum(s.calls for s in can_fail)} calls"
            f" in one run; {len(sites) - len(can_fail)} that cannot",
            flush=True,
        )
        places = {site: f"{site.file}: {objects.line(site.file, site.offset)}" for site in can_fail}
        runs = failed = 0
        slowest = (0.0, "")
        with ProcessPoolExecutor(
            options.jobs, initializer=start, initargs=(options.scenario, directory)
        ) as jobs:
            for done in as_completed(
                jobs.submit(fail_each, site, error, calls, place)
                for expression, calls in asked
                for site, place in places.items()
                if re.search(expression, place)
                for error in range(1 if options.short else site.errors)
            ):
                failures = done.result()
                runs += failures.runs
                failed += len(failures.troubles)
                slowest = max(slowest, failures.slowest)
                for trouble in failures.troubles:
                    print(f"\n== {trouble}", flush=True)
    print(f"{runs} failures in {time.monotonic() - began:.0f} s, {failed} of them not survived")
    print(f"the slowest: {slowest[0]:.1f} s, {slowest[1]}")
    for file in [] if options.brief else sorted({site.file for site in sites}):
        reached = {site.offset for site in sites if site.file == file}
        every = set(objects.calls(file))
        print(f"{file}: {len(reached)} of {len(every)} places reached; not:")
        for line in sorted(objects.line(file, offset) for offset in every - reached):
            print(f"    {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

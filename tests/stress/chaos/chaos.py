# SPDX-License-Identifier: Apache-2.0
"""Kill, stop, cut and fork at random, round after round; each round must leave nothing behind.

    python chaos.py

CHAOS_ROUNDS is the number of rounds (default 400), CHAOS_SEED the seed of the first round (default:
the time). Each round's seed is one more than the last, and determines all random decisions of the
round. A failed round is printed with its seed; CHAOS_SEED with CHAOS_ROUNDS=1 repeats its
decisions, although their timing differs. With CHAOS_CLOCK=1, as root, the machine's clock jumps
briefly, too.

A round is one program with a pool (host.py) that breaks the processes below it. Half of the time
the program itself is killed at a random moment, alone or with its guard or its template, or is
stopped before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from host import children_of, count, hit

HERE = Path(__file__).parent
KILLS = 60  # in a round, by its host
ROUND_S = 300.0  # a round that takes longer counts as hung
GONE_WITHIN_S = 20.0
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x4000 | 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def own_mounts() -> bool:
    """Move this process into private mounts; return whether it may have them."""
    return libc.unshare(CLONE_NEWNS) == 0 and (
        libc.mount(b"none", b"/", b"none", MS_REC_PRIVATE, b"") == 0
    )


class Round:
    """One host from its start to its end."""

    def __init__(self, seed: int, small_disks: bool) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.isolation = self.random.choice(("fresh", "fresh", "reuse", "spawn"))
        self.about_children = self.random.choice(("default", "ignored", "stolen"))
        self.end = self.random.choice(("close", "close", "exec", "kill", "kill", "kill with"))
        self.full = self.random.random() < 0.2 and small_disks
        self.sandbox = self.random.choice(("none", "none", "standard", "strict"))
        self.done: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    def __str__(self) -> str:
        disk = ", on a small disk" if self.full else ""
        children = f"SIGCHLD {self.about_children}"
        box = f"sandbox {self.sandbox}"
        return f"seed {self.seed}: {self.isolation}, {box}, {children}, {self.end}{disk}"

    def run(self) -> list[str]:
        """Run the host to its end and return what went wrong."""
        with tempfile.TemporaryDirectory() as directory:
            if self.full:
                libc.mount(b"none", directory.encode(), b"tmpfs", 0, b"size=2m")
            try:
                wrong = self._run(Path(directory))
            finally:
                if self.full:
                    libc.umount2(directory.encode(), 2)
            return wrong

    def _run(self, spill_dir: Path) -> list[str]:
        arguments = [self.isolation, self.sandbox, self.about_children, self.end]
        with tempfile.TemporaryFile("w+") as told:
            host = subprocess.Popen(
                [sys.executable, HERE / "host.py", str(self.seed), str(KILLS), spill_dir]
                + arguments,
                stdout=told,
                stderr=subprocess.STDOUT,
            )
            wrong = []
            if self.end.startswith("kill"):
                self._kill(host)
            try:
                code = host.wait(ROUND_S)
            except subprocess.TimeoutExpired:
                host.send_signal(signal.SIGABRT)  # it prints its stacks
                host.wait()
                code = 1
                wrong.append(f"it took more than {ROUND_S} s")
            told.seek(0)
            text = told.read()
        for line in text.splitlines():
            word, *rest = line.split()
            if word == "calls":
                self.outcomes.update({name: int(n) for name, n in (r.split("=") for r in rest)})
            elif word in ("kill", "stop", "cut", "fork", "jump"):
                self.done[line] += 1
        if code != 0 and not (self.end.startswith("kill") and code == -signal.SIGKILL):
            wrong.append(f"exit code {code}:\n{text}")
        # The guard of a strict box dies with its template. If the caller is killed before it starts
        # another one, the empty directories remain for the next pool.
        return wrong + left(spill_dir, below=self.end[:4] != "kill" or self.sandbox != "strict")

    def _kill(self, host: subprocess.Popen[bytes]) -> None:
        """Kill the host at a random moment, from its first line of Python on."""
        select.select([], [], [], self.random.uniform(0, 2.5))
        if self.random.random() < 0.2:
            host.send_signal(signal.SIGSTOP)
            select.select([], [], [], self.random.uniform(0, 0.2))
        guards = children_of(host.pid)
        templates = [(pid, guard) for guard in guards for pid in children_of(guard)]
        host.kill()
        self.done["kill caller"] += 1
        if self.end == "kill with":
            # Either the guard or its template survives, to sweep.
            name, victims = self.random.choice(
                (
                    (
                        "guard",
                        [(guard, above) for guard in guards for above in (host.pid, os.getpid())],
                    ),
                    ("template", templates),
                )
            )
            self.done[f"kill {name}"] += sum(hit(*victim, signal.SIGKILL) for victim in victims)


def left(spill_dir: Path, *, below: bool) -> list[str]:
    """Return processes below this one and files that stay; with `below`, directories, too. Reaps
    dead processes, which this one has adopted."""
    until = time.monotonic() + GONE_WITHIN_S
    while True:
        while children_of(os.getpid()) and os.waitpid(-1, os.WNOHANG)[0]:
            pass
        now = count([spill_dir])
        files = {path: "" for path in now.files if below or not os.path.isdir(path)}
        stays = {**now.processes, **files}
        if not stays:
            return []
        if time.monotonic() > until:
            for pid in now.processes:
                os.kill(pid, signal.SIGKILL)
            return [f"left behind: {name} {text}" for name, text in stays.items()]
        select.select([], [], [], 0.01)


def main() -> int:
    rounds = int(os.environ.get("CHAOS_ROUNDS", "400"))
    seed = int(os.environ.get("CHAOS_SEED", str(int(time.time()))))
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    small_disks = own_mounts()
    print(f"CHAOS_SEED={seed} CHAOS_ROUNDS={rounds}", flush=True)
    if not small_disks:
        print("no right to mount: no disk is full")
    began = time.monotonic()
    done: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    ended = failed = 0
    with contextlib.suppress(KeyboardInterrupt):  # report the rounds so far
        for n in range(rounds):
            one = Round(seed + n, small_disks)
            wrong = one.run()
            ended += 1
            done += one.done
            outcomes += one.outcomes
            if wrong:
                failed += 1
                print(f"== {one}", *wrong, sep="\n", flush=True)
    kills = sum(n for name, n in done.items() if name.startswith("kill"))
    print(f"{ended} rounds in {time.monotonic() - began:.0f} s, {failed} of them wrong")
    print(
        f"{kills} kills:",
        ", ".join(f"{n} {name[5:]}" for name, n in sorted(done.items()) if name.startswith("kill")),
    )
    print(
        "also:",
        ", ".join(f"{n} {name}" for name, n in sorted(done.items()) if not name.startswith("kill")),
    )
    print(f"{sum(outcomes.values())} calls of hosts that lived:", dict(outcomes))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""A program with a pool and a mixed load that breaks processes and sockets of the pool.

    python host.py SEED KILLS SPILL_DIR ISOLATION SANDBOX SIGCHLD END

The program kills KILLS processes, and stops, forks and cuts off others, as the seed decides.
SIGCHLD is its handling of children: "default", "ignored", or "stolen" by a thread that reaps every
child. END is how it ends: "close", "exec" with the pool open, "kill" from outside, or "kill with" a
guard or a template, which the program itself then spares. It prints a line for each kill, and at
its own end a line that begins with "calls" and counts them by outcome. It exits with 0 if every
call had one outcome, the right one unless a fault was injected, and if nothing is left in the
process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pinfold

sys.path.insert(0, str(Path(__file__).parents[2] / "python"))

from conftest import count
from programs import LEAVE_FILES

AT_ONCE = 16  # calls
PATIENCE_S = 120.0  # bound for events that always happen
KNOWN_LATE_S = 2.0  # the pool may learn late of the death of a template that was stopped
JUMP_S = 100  # of the clock, for a moment
FULL = ("does not fit", "No space left", "cannot make a spill")
NO_TEMPLATE = ("the pool could not start", "cannot start a worker")
NO_WORKER = "one after another ended before it was ready", "one worker after another ended before"
NOT_BEGUN = "the worker ended before it had begun the call"
IN_A_ROW = 3  # consecutive workers that end before they are of use

SOURCE = """
import os, time

def short(i):
    return i

def large(data):
    return data + data

def sleeper(i):
    time.sleep(3600)

def daemon(i):
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(3600)
            os._exit(0)
    return i

def crash(i):
    os.abort()

def leave(i):
    os._exit(3)

def write(i):
    leave_files()
    return i
"""
SOURCE += LEAVE_FILES
OUTCOMES = {
    "short": "ok",
    "large": "ok",
    "daemon": "ok",
    "sleeper": "timeout",
    "crash": "signalled",
    "leave": "exited",
    "write": "ok",
}


def parent_of(pid: int) -> int:
    """Return the parent's pid, or 0 if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def hit(pid: int, parent: int, number: signal.Signals) -> bool:
    """Send the signal if the process is still a child of `parent`, never to a reused pid."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if pid <= 1 or parent_of(pid) != parent:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


class Havoc:
    """The faults that are injected into the pool, and their times."""

    def __init__(
        self, backend: pinfold.LocalBackend, seed: int, *, reaps: bool, alone: bool, lives: bool
    ) -> None:
        self.backend = backend
        self.random = random.Random(seed)
        self.reaps = reaps  # whether a child's status can be had
        self.lives = lives  # this program, until its pool is closed; `alone` is what others kill
        self.killed: dict[int, float] = {}  # workers, and the time of the kill
        self.cut: list[float] = []  # when a template or a guard died, or a socket
        self.wrong: list[str] = []
        self.kills = 0
        self._deeds: list[tuple[int, Callable[[], bool]]] = [
            (80, self.kill_worker),
            (8, self.stop_worker),
            *([] if alone else [(4, self.kill_template), (2, self.kill_guard)]),
            *([(2, self.kill_both)] if lives else []),
            (2, self.stop_template),
            (2, self.stop_guard),
            (2, self.cut_socket),
            (2, self.fork),
            *([(8, self.jump)] if os.environ.get("CHAOS_CLOCK") == "1" else []),
        ]

    def wreak(self, kills: int) -> None:
        weights, deeds = zip(*self._deeds, strict=True)
        until = time.monotonic() + PATIENCE_S
        while self.kills < kills and time.monotonic() < until:
            pause = self.random.expovariate(200)
            deed = self.random.choices(deeds, weights)[0]
            select.select([], [], [], pause)
            deed()

    def _below(self) -> tuple[int, int, list[int]]:
        """The guard, the template and the workers; 0 and none while they come or go."""
        template = self.backend.stats().template_pid
        guard = parent_of(template) if template else 0
        if parent_of(guard) != os.getpid():
            return 0, 0, []
        return guard, template, children_of(template)

    def _kill(self, name: str, pid: int, parent: int) -> bool:
        if not pid or not parent:
            return False
        if name == "worker":
            self.killed[pid] = time.monotonic()  # before the kill: its end may be reported at once
        else:
            self.cut.append(time.monotonic())
        if not hit(pid, parent, signal.SIGKILL):
            return False
        self.kills += 1
        print("kill", name, flush=True)
        return True

    def kill_worker(self) -> bool:
        _, template, workers = self._below()
        return bool(workers) and self._kill("worker", self.random.choice(workers), template)

    # The survivor of template and guard, or this program's pool, finds processes that a call has
    # started. If the program may be killed, too, the second of them lives until then.

    def _kill_above(self, name: str, pid: int, parent: int, other: int) -> bool:
        try:
            pidfd = os.pidfd_open(other)
        except OSError:
            return False
        try:
            if not self._kill(name, pid, parent):
                return False
            if self.lives:
                return True
            if not select.select([pidfd], [], [], PATIENCE_S)[0]:
                self.wrong.append(f"process {other} survived the death of its {name}")
        finally:
            os.close(pidfd)
        return True

    def kill_template(self) -> bool:
        guard, template, _ = self._below()
        return bool(guard) and self._kill_above("template", template, guard, guard)

    def kill_guard(self) -> bool:
        guard, template, _ = self._below()
        return bool(guard) and self._kill_above("guard", guard, os.getpid(), template)

    def kill_both(self) -> bool:
        """Stop both, so that neither sees the other die."""
        guard, template, _ = self._below()
        if not guard or not hit(guard, os.getpid(), signal.SIGSTOP):
            return False
        hit(template, guard, signal.SIGSTOP)
        killed = self._kill("template", template, guard)
        return self._kill("guard", guard, os.getpid()) or killed

    def _stop(self, pid: int, parent: int) -> bool:
        if not pid or not parent or not hit(pid, parent, signal.SIGSTOP):
            return False
        print("stop", flush=True)
        select.select([], [], [], self.random.uniform(0, 0.1))
        hit(pid, parent, signal.SIGCONT)
        return True

    def stop_worker(self) -> bool:
        _, template, workers = self._below()
        return bool(workers) and self._stop(self.random.choice(workers), template)

    def stop_template(self) -> bool:
        guard, template, _ = self._below()
        return self._stop(template, guard)

    def stop_guard(self) -> bool:
        guard, _, _ = self._below()
        return self._stop(guard, os.getpid())

    def cut_socket(self) -> bool:
        """Shut down a socket of the pool, so that both ends read end-of-file."""
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        self.random.shuffle(numbers)
        for number in numbers:
            with contextlib.suppress(OSError):
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                with socket.socket(fileno=os.dup(number)) as found:
                    if found.type != socket.SOCK_SEQPACKET:
                        continue
                    self.cut.append(time.monotonic())
                    found.shutdown(socket.SHUT_RDWR)
                print("cut", flush=True)
                return True
        return False

    def fork(self) -> bool:
        """Fork a child that may use the pool, may free it, and keeps copies of all descriptors for
        a while, ends, or executes another program."""
        uses, frees, stays, execs = (self.random.random() < 0.5 for _ in range(4))
        pid = os.fork()
        if pid:
            print("fork", flush=True)
            if self.reaps and os.waitpid(pid, 0)[1] != 0:
                self.wrong.append("a forked child could use the pool")
            return True
        status = 0
        try:
            if uses:
                try:
                    self.backend.submit(pinfold.WorkerCall(SOURCE, "short", args=[1]))
                    status = 1
                except pinfold.PoolClosed:
                    pass
            if frees:
                self.backend.close()
            if stays:
                time.sleep(0.05)
            if execs:
                os.execv("/bin/true", ["true"])
        except BaseException:
            status = 2
        finally:
            os._exit(status)

    def jump(self) -> bool:
        """Set the machine's clock forward or back, then restore it. Only with CHAOS_CLOCK=1."""
        jump_ns = self.random.choice((-JUMP_S, JUMP_S)) * 1_000_000_000
        began = time.monotonic_ns()
        now = time.time_ns()
        time.clock_settime_ns(time.CLOCK_REALTIME, now + jump_ns)
        select.select([], [], [], 0.003)
        time.clock_settime_ns(time.CLOCK_REALTIME, now + time.monotonic_ns() - began)
        print("jump", flush=True)
        return True


@dataclass
class Asked:
    """A call and its record."""

    name: str
    argument: object
    call: pinfold.WorkerCall
    began: float
    future: Future[pinfold.WorkerResult]
    ended: float = 0.0
    told: int = 0  # number of times that its end was reported


class Load:
    """Calls of every kind, and the errors in their ends."""

    def __init__(self, backend: pinfold.LocalBackend, seed: int) -> None:
        self.backend = backend
        self.random = random.Random(seed)
        self.asked: list[Asked] = []
        self.refused = 0
        self.untaken = 0  # calls without room for the request, which the pool never had
        self.wrong: list[str] = []
        self._by_call: dict[int, Asked] = {}
        self._room = threading.Semaphore(AT_ONCE)
        backend.on_complete(self._complete)

    def _complete(
        self, call: pinfold.WorkerCall, metrics: object, error: BaseException | None
    ) -> None:
        asked = self._by_call.get(id(call))
        if asked is not None:
            asked.told += 1
            asked.ended = time.monotonic()

    def submit(self, i: int) -> None:
        name = self.random.choice(tuple(OUTCOMES))
        argument = bytes([i % 256]) * self.random.randrange(400_000) if name == "large" else i
        call = pinfold.WorkerCall(SOURCE, name, args=[argument])
        self._room.acquire()
        asked = Asked(name, argument, call, time.monotonic(), Future())
        self._by_call[id(call)] = asked
        deadline_s = 0.1 if name == "sleeper" else PATIENCE_S
        try:
            asked.future = self.backend.submit(call, deadline_s=deadline_s)
        except pinfold.PoolError as error:
            self.refused += 1
            if not any(text in str(error) for text in (*FULL, *NO_TEMPLATE)):
                self.wrong.append(f"{name} was refused: {error}")
            self._room.release()
            return
        asked.future.add_done_callback(lambda _: self._room.release())
        self.asked.append(asked)

    def check(self, havoc: Havoc, full: bool) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for asked in self.asked:
            result = asked.future.result(timeout=2 * PATIENCE_S)
            outcomes[result.outcome] += 1
            self.untaken += "the pool could not take the call" in str(result.error)
            if asked.told != 1:
                self.wrong.append(f"the end of {asked.name} was told {asked.told} times")
            if trouble := self._trouble(asked, result, havoc, full):
                self.wrong.append(trouble)
        return outcomes

    def _trouble(self, asked: Asked, result: pinfold.WorkerResult, havoc: Havoc, full: bool) -> str:
        """Return why no injected fault explains the outcome, or "" if one does."""
        told = f"{asked.name}: {result.outcome}: {result.error} {result.metrics}"
        text = str(result.error)
        if result.outcome == "ok":
            value = asked.argument
            if asked.name == "large":
                value += value  # type: ignore[operator]
            return "" if asked.name in OUTCOMES and result.value == value else told
        cut = any(asked.began - KNOWN_LATE_S <= at <= asked.ended for at in havoc.cut)
        pid = result.metrics.worker_pid if result.metrics else 0
        error = result.error
        if result.outcome == "signalled" and error is not None and error.signal == signal.SIGKILL:
            return "" if pid in havoc.killed else f"nobody killed it: {told}"
        if result.outcome == OUTCOMES[asked.name]:
            return ""
        if result.outcome == "lost" and NOT_BEGUN in text:
            return "" if pid in havoc.killed else f"nobody killed it: {told}"
        if result.outcome == "lost" or (result.outcome == "exited" and error is not None):
            return "" if cut else f"nothing was cut off: {told}"
        since = asked.began - KNOWN_LATE_S
        if any(reason in text for reason in NO_WORKER) and (
            sum(since <= at <= asked.ended for at in havoc.killed.values()) >= IN_A_ROW
        ):
            return ""
        if result.outcome == "internal" and any(reason in text for reason in NO_TEMPLATE):
            # A template that starts has a child for its filters that looks like a worker.
            cut = cut or any(since <= at <= asked.ended for at in havoc.killed.values())
            return "" if cut else f"nothing was cut off: {told}"
        if full and asked.name in ("large", "write") and any(reason in text for reason in FULL):
            return ""
        if asked.name == "sleeper" and result.outcome == "timeout":
            return ""
        return told


def steal_children() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            select.select([], [], [], 0.001)


def main() -> int:
    seed, kills = map(int, sys.argv[1:3])
    spill_dir, isolation, sandbox, about_children, end = sys.argv[3:]
    if about_children == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if about_children == "stolen":
        threading.Thread(target=steal_children, daemon=True).start()
    gc.collect()
    before = count([Path(spill_dir)])
    backend = pinfold.LocalBackend(
        pinfold.WorkerConfig(
            max_workers=4,
            spill_dir=Path(spill_dir),
            isolation=isolation,  # type: ignore[arg-type]
            sandbox=sandbox,  # type: ignore[arg-type]
            sandbox_required=False,
        )
    )
    load = Load(backend, seed)
    havoc = Havoc(
        backend,
        seed + 1,
        reaps=about_children == "default",
        alone=end == "kill with",
        lives=end == "close",
    )
    load.submit(0)
    print("running", flush=True)
    wreaker = threading.Thread(target=havoc.wreak, args=(kills,))
    wreaker.start()
    i = 1
    while wreaker.is_alive():
        load.submit(i)
        i += 1
        time.sleep(0.001)  # calls end at once while no template can start
    if end == "exec":
        os.execv(sys.executable, [sys.executable, "-c", ""])
    full = os.statvfs(spill_dir).f_blocks * os.statvfs(spill_dir).f_frsize < 1 << 24
    outcomes = load.check(havoc, full)
    stats = backend.stats()
    taken = len(load.asked) - load.untaken
    if sum(stats.outcomes.values()) != stats.submitted or stats.submitted != taken:
        load.wrong.append(f"{len(load.asked)} calls, but {stats}")
    backend.close()
    wrong = load.wrong + havoc.wrong
    wrong += left(before, Path(spill_dir))
    print("calls", *(f"{name}={n}" for name, n in outcomes.items()), f"refused={load.refused}")
    for line in wrong:
        print("wrong", line[:2000])
    return 1 if wrong else 0


def left(before: object, spill_dir: Path) -> list[str]:
    """Return things that were not there before and stay."""
    until = time.monotonic() + 10
    while True:
        gc.collect()
        found = count([spill_dir]).beyond(before)  # type: ignore[arg-type]
        if not found or time.monotonic() > until:
            return [f"left behind: {line}" for line in found]
        select.select([], [], [], 0.01)


if __name__ == "__main__":
    sys.exit(main())

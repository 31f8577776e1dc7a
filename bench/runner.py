# SPDX-License-Identifier: Apache-2.0
"""Run each measurement in a process of its own, in turns, and leave nothing behind."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import programs
from bench.results import Results
from bench.systems import PEERS, PINFOLD, SYSTEMS

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
PR_SET_CHILD_SUBREAPER = 36
END_BY_ITSELF_S = 2.0


class Runner:
    """A context that owns a scratch directory and all processes below this one."""

    def __init__(self, progress: Callable[[str], None], most_rounds: int | None = None) -> None:
        self.progress = progress
        self.most_rounds = most_rounds

    def __enter__(self) -> Runner:
        # Orphans of a system become children of this process, even daemons.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.scratch = Path(tempfile.mkdtemp(prefix="pfb-"))
        (self.scratch / "modules").mkdir()
        for name, seconds in programs.LIBRARIES.items():
            library = self.scratch / "modules" / f"{name}.py"
            library.write_text(programs.LIBRARY.format(seconds=seconds))
        self.shared_memory = set(os.listdir("/dev/shm"))
        return self

    def __exit__(self, *_: object) -> None:
        kill_descendants()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, scenario: ModuleType, only: set[str] | None = None) -> Results:
        """Measure all systems of the scenario in turns: A B C, then C B A, and so on."""
        entries: dict[str, int] = scenario.ENTRIES
        chosen = [name for name in entries if only is None or name in only]
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
        count = min(max(entries.values()), self.most_rounds or 99)
        for number in range(count):
            for name in chosen if number % 2 == 0 else reversed(chosen):
                if number >= entries[name] or _hopeless(rounds[name]):
                    continue
                began = time.monotonic()
                answer = self.measure(scenario, name, number)
                rounds[name].append(answer)
                took = time.monotonic() - began
                failed = f": cannot: {answer['cannot']}" if "cannot" in answer else ""
                self.progress(
                    f"{_name(scenario)} {number + 1}/{count} {name} ({took:.1f} s){failed}"
                )
        return Results(rounds)

    def measure(self, scenario: ModuleType, system: str, number: int) -> dict[str, Any]:
        """Run one measurement, bounded in time. Return its figures, or why there are none."""
        reading, writing = os.pipe()
        temporary = self.scratch / "t"
        temporary.mkdir(exist_ok=True)
        log = open(self.scratch / "log", "w+b")  # noqa: SIM115
        caller = subprocess.Popen(
            # The shell makes the pipe descriptor 3, and asks the kernel's OOM killer to take this
            # tree first.
            ["sh", "-c", 'echo 1000 > /proc/self/oom_score_adj; exec "$@" 3>&"$0"', str(writing)]
            + [python_of(system), "-m", "bench.caller", _name(scenario), system, str(number)],
            cwd=ROOT,
            env=_environment(self.scratch, temporary),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            answer = _answer(reading, scenario.LIMIT_S)
            if "cannot" not in answer:
                _wait(caller, END_BY_ITSELF_S)
        finally:
            kill_descendants(caller)
            os.close(reading)
        if answer.get("cannot") == "":
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines() or ["no output"]
            answer["cannot"] = f"its process died: {lines[-1][:200]}"
        log.close()
        shutil.rmtree(temporary, ignore_errors=True)
        self._remove_shared_memory()
        return answer

    def _remove_shared_memory(self) -> None:
        """Remove files that killed pools left in /dev/shm, unless another process maps them."""
        ours = ("sem.loky-", "sem.mp-", "joblib_memmapping_folder_")
        left = [
            name
            for name in set(os.listdir("/dev/shm")) - self.shared_memory
            if name.startswith(ours)
        ]
        if not left:
            return
        mapped = _all_mappings()
        for name in left:
            path = Path("/dev/shm", name)
            if str(path) not in mapped:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def python_of(system: str) -> str:
    """Return the interpreter of the environment in which the system is installed."""
    return str(PEERS_PYTHON) if system in PEERS else sys.executable


def kill_descendants(caller: subprocess.Popen[bytes] | None = None) -> None:
    """Kill and reap all processes below this one, until none is left."""
    while True:
        if caller is not None:
            caller.poll()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if caller is not None:
                caller.poll()
            return
        for process in descendants(os.getpid()):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.005)


def descendants(ancestor: int) -> list[int]:
    """Return the processes below `ancestor`."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _all_mappings() -> str:
    texts = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                texts.append(Path("/proc", entry, "maps").read_text())
            except OSError:
                continue
    return "".join(texts)


def _answer(reading: int, limit_s: float) -> dict[str, Any]:
    """Read the figures that the caller writes until it ends. "cannot" says why some are missing."""
    until = time.monotonic() + limit_s
    answer: dict[str, Any] = {}
    text = b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return answer | {"cannot": f"did not end within {limit_s:.0f} s; stopped"}
        part = os.read(reading, 65536)
        if not part:
            return answer | {"cannot": ""}
        *lines, text = (text + part).split(b"\n")
        for line in lines:
            figures: dict[str, Any] = json.loads(line)
            if not figures:
                return answer
            answer |= figures


def _wait(caller: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        caller.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    until = time.monotonic() + seconds
    while descendants(os.getpid()) and time.monotonic() < until:  # helpers may outlive the caller
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.005)


def _environment(scratch: Path, temporary: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    modules = f"{ROOT}{os.pathsep}{scratch / 'modules'}"
    return kept | {"PYTHONPATH": modules, "TMPDIR": str(temporary)}


def _hopeless(answers: list[dict[str, Any]]) -> bool:
    """Return whether a system failed once; it is not tried again, which might take much time."""
    return any("cannot" in answer for answer in answers)


def _name(scenario: ModuleType) -> str:
    return scenario.__name__.rpartition(".")[2]


def versions() -> dict[str, str]:
    """Return the versions of all installed systems, of numpy, and of the interpreters."""
    program = (
        "import importlib.metadata as m, sys\n"
        "print('python', sys.version.split()[0])\n"
        "for n in sys.argv[1:]:\n"
        "    try: print(n, m.version(n))\n"
        "    except m.PackageNotFoundError: print(n, 'not installed')\n"
    )
    found: dict[str, str] = {}
    for python, systems in ((sys.executable, PINFOLD), (PEERS_PYTHON, PEERS)):
        wanted = ["numpy", *(SYSTEMS[name][1] or "" for name in systems)]
        wanted = list(dict.fromkeys(filter(None, wanted)))
        output = subprocess.run(
            [python, "-c", program, *wanted], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        for line in output.splitlines():
            name, _, version = line.partition(" ")
            if found.setdefault(name, version) != version:
                found[f"{name} (peers)"] = version
    return found

# SPDX-License-Identifier: Apache-2.0
"""Run an Executor in a separate process, without a pool.

As a script this file is that process; imported, it is the tests' end."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pinfold import _wire
from pinfold import codec as codecs

OK, EXCEPTION, BAD, TOO_LARGE, INTERNAL = range(5)
RETIRE = 4
PATIENCE_S = 60.0
LENGTH = struct.Struct("<Q")


@dataclass
class Answer:
    status: int
    value: Any
    failure: _wire.Failure | None
    retires: bool

    @property
    def text(self) -> str:
        assert self.failure is not None, self.value
        return self.failure.text


class Process:
    """A process with one Executor."""

    def __init__(self, isolation: str, directory: Path, sources: Path | None = None) -> None:
        """`sources` is a directory for the files of sources; None: there are none."""
        to_child, from_parent = os.pipe()
        to_parent, from_child = os.pipe()
        self.printed = directory / "printed"
        with self.printed.open("wb") as printed:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, __file__, isolation, str(to_child), str(from_child)),
                    str(sources or ""),
                ],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=[to_child, from_child],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        os.close(to_child)
        os.close(from_child)
        self._requests = os.fdopen(from_parent, "wb")
        self._answers = os.fdopen(to_parent, "rb")
        self.pid = self._process.pid
        self.intact = True

    def call(
        self,
        code: str,
        function: str = "f",
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        codec: str = "data",
        python_path: Sequence[object] = (),
        env: Mapping[str, str | None] | None = None,
        result_max: int = 0,
    ) -> Answer:
        request = _wire.pack_request(
            code=code,
            function=function,
            args=args,
            kwargs=kwargs or {},
            python_path=[str(entry) for entry in python_path],
            env=env or {},
            codec=codec,
        )
        return self.run([bytes(segment) for segment in request], codec, result_max)

    def run(self, request: list[bytes], codec: str = "data", result_max: int = 0) -> Answer:
        status, result, flags = self._ask("run", (request, result_max))
        segments = [memoryview(bytearray(segment)) for segment in result]
        retires = bool(flags & RETIRE)
        if status == OK:
            return Answer(status, codecs.decode(segments, codec), None, retires)
        return Answer(status, None, _wire.unpack_failure(segments), retires)

    def probe(self, expression: str) -> Any:
        """Evaluate an expression in the process, between two calls. Names that are not builtins are
        modules: `os.getcwd()` works."""
        return self._ask("probe", expression)

    def end(self) -> None:
        try:
            self._requests.close()
            self._process.wait(PATIENCE_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._answers.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _ask(self, what: str, request: Any) -> Any:
        message = pickle.dumps((what, request))
        self._requests.write(LENGTH.pack(len(message)) + message)
        self._requests.flush()
        if not select.select([self._answers], [], [], PATIENCE_S)[0]:
            self._process.kill()
            raise TimeoutError(f"no answer to {request!r:.1000}")
        head = self._answers.read(LENGTH.size)
        assert head, f"the process ended with {self._process.wait(PATIENCE_S)}: " + (
            self.printed.read_text(errors="replace")
        )
        answer = pickle.loads(self._answers.read(*LENGTH.unpack(head)))
        if isinstance(answer, AssertionError):
            raise answer
        return answer


class Modules(dict[str, Any]):
    """A namespace whose names are modules."""

    def __missing__(self, name: str) -> Any:
        if hasattr(sys.modules["builtins"], name):
            raise KeyError(name)
        return sys.modules.get(name) or __import__(name)


def main(isolation: str, requests_fd: int, answers_fd: int, sources: str) -> None:
    import ctypes

    from pinfold._worker.call.execute import Executor
    from pinfold._worker.code.source import slot

    # As a pool's guard does for its workers: the parent of the tests may ignore signals.
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    subreaper = 36  # prctl(2), PR_SET_CHILD_SUBREAPER
    ctypes.CDLL(None).prctl(subreaper, 1, 0, 0, 0)
    requests = os.fdopen(requests_fd, "rb")
    answers = os.fdopen(answers_fd, "wb")
    executor = Executor(
        worker_id="0123456789ab",
        node_id="node",
        isolation=isolation,
        source=slot(sources) if sources else None,
    )
    dumps, loads, size = pickle.dumps, pickle.loads, LENGTH.size
    while True:
        length = requests.read(size)
        if not length:
            break
        what, request = loads(requests.read(*LENGTH.unpack(length)))
        answer: Any
        if what == "probe":
            try:
                answer = eval(request, Modules())
            except Exception as error:
                answer = AssertionError(f"{request}: {error!r}")
        else:
            segments = tuple(memoryview(bytearray(segment)) for segment in request[0])
            status, result, flags = executor.run(segments, request[1])
            answer = status, [bytes(segment) for segment in result], flags
            del result, segments
        message = dumps(answer)
        answers.write(LENGTH.pack(len(message)) + message)
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

"""A worker: takes a call from its channel, has it run, and sends what came of it."""

from __future__ import annotations

import errno
import gc
import os
import resource
import sys
from contextlib import suppress
from os import _exit, getpid
from typing import TYPE_CHECKING, NoReturn

from pinfold.runtime import _runtime, report
from pinfold.runtime.execute import (
    IDENTITY,
    RESULT_BAD,
    RESULT_EXCEPTION,
    RESULT_INTERNAL,
    RESULT_OK,
    RESULT_RETIRE,
    RESULT_TOO_LARGE,
    Executor,
    payload_size,
)
from pinfold.runtime.imports import Imports
from pinfold.runtime.source import slot
from pinfold.runtime.wire import Segments, pack_failure

if TYPE_CHECKING:
    from pinfold.runtime.box import Box
    from pinfold.runtime.preload import Settings
    from pinfold.runtime.search import Shadows

CANNOT_BE_SENT = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    errno.EMFILE,  # even with our descriptors: the program has lowered its limit
    errno.EBADF,  # it has closed descriptors that are not its own
    errno.EFAULT,  # the value has memory that is not there: a mapping of a file cut short
)


class Worker:
    """One worker, in its own process. All that can be done before a call comes is done here."""

    def __init__(
        self,
        worker_id: str,
        settings: Settings,
        isolation: str,
        base: str,
        shadows: Shadows,
        box: Box | None = None,
    ) -> None:
        self._places = settings.get("places")
        # What a call waited for, and what one in a box has used, the pool reads from a worker that
        # lives; then it kills it.
        self._last = isolation == "fresh" and self._places is None and box is None
        self._pid = getpid()
        self._channel = _runtime.open_channel(isolation != "fresh")
        if box is not None:
            box.draft(reused=isolation != "fresh")
            source = box.source
        else:
            source = slot(f"{base}/sources") if base else None
        self._executor = Executor(
            worker_id=worker_id,
            node_id=settings["node_id"],
            identity=settings.get("identity", IDENTITY),
            python_path=settings.get("python_path", ()),
            shadows=shadows,
            isolation=isolation,
            box=box,
            imports=None if settings.get("learned") is None else Imports(),
            libraries=settings["path"],
            modules=settings.get("modules", ()),
            source=source,
        )
        gc.enable()

    def work(self) -> NoReturn:
        """Run calls until the pool wants no more. Ends the process."""
        try:
            while self._one():
                pass
        except BaseException as error:
            if getpid() == self._pid:
                give_up(error)
        finally:
            # Never the interpreter's own end: exit handlers are those of the template's modules.
            _exit(0)

    def _unsendable(self, error: BaseException) -> int:
        if isinstance(error, OverflowError):
            return RESULT_TOO_LARGE
        if isinstance(error, OSError) and error.errno in CANNOT_BE_SENT:
            own = error.errno == errno.EFBIG and self._executor.bounds_files
            return RESULT_TOO_LARGE if own else RESULT_BAD
        return RESULT_EXCEPTION if isinstance(error, KeyboardInterrupt) else RESULT_INTERNAL

    def _one(self) -> bool:
        channel = self._channel
        try:
            request = channel.receive()
            if request is None:
                return False
            _, segments, result_max = request
            if self._places is not None:
                pin(self._places[channel.place - 1])
            status, result, flags = self._executor.run(tuple(segments), result_max)
            if self._executor.looked_closely and not channel.is_intact():
                flags |= RESULT_RETIRE
        except BaseException as error:
            if not channel.call:
                # A signal that came between two calls; or a channel that cannot be read any more.
                return not isinstance(error, OSError)
            ours = isinstance(error, (OSError, MemoryError))
            status, result, flags = failed(error, RESULT_INTERNAL if ours else RESULT_EXCEPTION)
            flags |= RESULT_RETIRE if ours else 0  # the next one would find no more
            result_max = 0
        if getpid() != self._pid:
            # A process that the call forked, and that came back here.
            flush()
            _runtime.flush()
            _exit(status != RESULT_OK)
        flush()
        try:
            if self._executor.note:
                channel.note(self._executor.note)
            channel.send(channel.call, status, result, flags, result_max, self._last)
        except BaseException as error:
            status = self._unsendable(error)
            retire = RESULT_RETIRE if isinstance(error, OSError) else 0  # descriptors may be gone
            error = too_big_a_file(error, result)
            status, result, flags = failed(error, status)
            channel.send(channel.call, status, result, flags | retire, 0, self._last)
        return True


def give_up(error: BaseException) -> None:
    """There is no answer, not even that there is none: tell the pool so as one that cannot start
    does, for an end alone would be the program's."""
    text = b"the worker cannot answer"
    with suppress(BaseException):  # no memory for the words
        kind, message = report.briefly(error)
        text += f": {kind}: {message}".encode("utf-8", "backslashreplace")
    with suppress(BaseException):
        _runtime.fail(text)


def pin(cpus: list[int]) -> None:
    """Have this process run on these CPUs, and what it starts from now on.

    A worker keeps its place, so that its threads are where they should be after its first call;
    a spawned one may have some before, of a preload. Only a box keeps us from reaching those.
    """
    os.sched_setaffinity(0, cpus)
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):
            os.sched_setaffinity(int(thread), cpus)


def flush() -> None:
    """Write out what is printed so far. Nothing that the call did to its streams matters here."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except BaseException:
            continue


def too_big_a_file(error: BaseException, result: Segments) -> BaseException:
    """An EFBIG as what it is, of a limit and not of the disk; else the error itself."""
    if not isinstance(error, OSError) or error.errno != errno.EFBIG:
        return error
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most == resource.RLIM_INFINITY:  # it is the file system's own
        return error
    size = payload_size(result)
    text = f"the result takes {size} bytes, and RLIMIT_FSIZE lets a file have {most}"
    return OSError(errno.EFBIG, text)


def failed(error: BaseException, status: int) -> tuple[int, Segments, int]:
    return status, pack_failure(report.raised(error, None)), 0

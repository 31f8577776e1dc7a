# SPDX-License-Identifier: Apache-2.0
"""The loop of a worker: receive a call from the channel, run it, send its result."""

from __future__ import annotations

import errno
import gc
import os
import resource
import sys
from contextlib import suppress
from os import _exit, getpid
from typing import TYPE_CHECKING, NoReturn

from pinfold._wire import Segments, pack_failure
from pinfold._worker.call import report
from pinfold._worker.call.execute import IDENTITY, Executor, payload_size
from pinfold._worker.code.imports import Imports
from pinfold._worker.code.source import slot
from pinfold._worker.ext import _runtime
from pinfold._worker.ext._runtime import (
    RESULT_BAD,
    RESULT_EXCEPTION,
    RESULT_INTERNAL,
    RESULT_OK,
    RESULT_RETIRE,
    RESULT_TOO_LARGE,
)

if TYPE_CHECKING:
    from pinfold._wire.plan import TemplateConfig
    from pinfold._worker.box.box import Box
    from pinfold._worker.code.search import Shadows

CANNOT_BE_SENT = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    errno.EMFILE,  # in spite of reserved descriptors: the program has lowered its limit
    errno.EBADF,  # the program has closed descriptors that are not its own
    errno.EFAULT,  # the value has memory that is not there: a mapping of a truncated file
)


class Worker:
    """One worker, in its own process. Its constructor does all work that needs no call."""

    def __init__(
        self,
        worker_id: str,
        settings: TemplateConfig,
        isolation: str,
        base: str,
        shadows: Shadows,
        box: Box | None = None,
    ) -> None:
        self._cpu_slots = settings.get("cpu_slots")
        # The pool reads a call's scheduling statistics (CPU slots) and a boxed call's resource use
        # from the living worker. Such a worker does not exit; it waits for the pool to kill it.
        self._last = isolation == "fresh" and self._cpu_slots is None and box is None
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
            send_note=self._channel.note,
        )
        gc.enable()

    def work(self) -> NoReturn:
        """Run calls until the pool closes the channel. Ends the process."""
        try:
            while self._one():
                pass
        except BaseException as error:
            if getpid() == self._pid:
                report_no_answer(error)
        finally:
            # Exit handlers are those of the template's modules, so never exit by the interpreter.
            _exit(0)

    def _unsendable(self, error: BaseException) -> int:
        if isinstance(error, OverflowError):
            return RESULT_TOO_LARGE
        if isinstance(error, OSError) and error.errno in CANNOT_BE_SENT:
            own = error.errno == errno.EFBIG and self._executor.bounds_files
            return RESULT_TOO_LARGE if own else RESULT_BAD
        return RESULT_EXCEPTION if isinstance(error, KeyboardInterrupt) else RESULT_INTERNAL

    def _failed(self, error: BaseException, status: int) -> tuple[int, Segments, int]:
        failure = pack_failure(report.raised(error, None), self._executor.codec)
        return status, [*failure, *self._executor.without_files()], 0

    def _one(self) -> bool:
        channel = self._channel
        try:
            request = channel.receive()
            if request is None:
                return False
            _, segments, result_max = request
            if self._cpu_slots is not None:
                pin(self._cpu_slots[channel.cpu_slot - 1])
            status, result, flags = self._executor.run(tuple(segments), result_max)
            if self._executor.looked_closely and not channel.is_intact():
                flags |= RESULT_RETIRE
        except BaseException as error:
            if not channel.call:
                # A signal handler raised between two calls, or (OSError) the channel is broken.
                return not isinstance(error, OSError)
            ours = isinstance(error, (OSError, MemoryError))
            status, result, flags = self._failed(
                error, RESULT_INTERNAL if ours else RESULT_EXCEPTION
            )
            flags |= RESULT_RETIRE if ours else 0  # the next call would meet the same shortage
            result_max = 0
        if getpid() != self._pid:
            # A process that the call forked has returned to here.
            flush()
            _runtime.flush()
            _exit(status != RESULT_OK)
        flush()
        try:
            if self._executor.note:
                channel.note(self._executor.note)
            channel.send(
                channel.call, status, result, flags, result_max, self._last, self._executor.ended
            )
        except BaseException as error:
            status = self._unsendable(error)
            retire = RESULT_RETIRE if isinstance(error, OSError) else 0  # descriptors may be gone
            error = too_big_a_file(error, result)
            status, result, flags = self._failed(error, status)
            channel.send(channel.call, status, result, flags | retire, 0, self._last)
        return True


def report_no_answer(error: BaseException) -> None:
    """Report to the pool that this worker cannot send a result, by the frame of a failed start.

    If the worker only exited, the pool would take that for the program's doing.
    """
    text = b"the worker cannot answer"
    with suppress(BaseException):  # there may be no memory for the text
        kind, message = report.briefly(error)
        text += f": {kind}: {message}".encode("utf-8", "backslashreplace")
    with suppress(BaseException):
        _runtime.fail(text)


def pin(cpus: list[int]) -> None:
    """Pin this process, and what it starts later, to these CPUs.

    A worker keeps its CPU slot, so this moves threads only before the first call: a spawned worker
    may have some of a preload. In a box, /proc may refuse access to them.
    """
    os.sched_setaffinity(0, cpus)
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):
            os.sched_setaffinity(int(thread), cpus)


def flush() -> None:
    """Flush the standard streams, and ignore whatever the call has done to them."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except BaseException:
            continue


def too_big_a_file(error: BaseException, result: Segments) -> BaseException:
    """Return an EFBIG of RLIMIT_FSIZE with a text that names the limit, any other error as is."""
    if not isinstance(error, OSError) or error.errno != errno.EFBIG:
        return error
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most == resource.RLIM_INFINITY:  # the bound is the file system's
        return error
    size = payload_size(result)
    text = f"the result takes {size} bytes, and RLIMIT_FSIZE lets a file have {most}"
    return OSError(errno.EFBIG, text)

# SPDX-License-Identifier: Apache-2.0
"""Waiting where gevent or eventlet has replaced threads by greenlets.

All greenlets of a thread share it: a wait in C stops the others, and so the greenlet that would end
the wait. Where threads are greenlets, nothing here waits in C. It waits in the replacements of
`select`, `threading` and `time`, which let other greenlets run.
"""

from __future__ import annotations

import _thread
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType
from typing import TYPE_CHECKING

from pinfold._client import naps

if TYPE_CHECKING:
    from pinfold._ext._pool import Pool


def patched() -> bool:
    """Return whether a new thread is a greenlet, or anything else but a thread."""
    return type(_thread.start_new_thread) is not BuiltinFunctionType


class Watch:
    """A wait for descriptors to become readable, which lets other greenlets run.

    The watch holds duplicates: the descriptors may be closed at any time, and no loop may watch a
    number that has been reused.
    """

    def __init__(self, fds: tuple[int, ...]) -> None:
        self._fds: list[int] = []
        try:
            for fd in fds:
                self._fds.append(os.dup(fd))
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        if type(select.select) is BuiltinFunctionType:  # the threads alone are greenlets
            sleep(naps.GREENLETS.first_s)
        else:
            select.select(self._fds, [], [])

    def close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def sleep(seconds: float) -> None:
    """Sleep, and let other greenlets run, even if `time.sleep` does not."""
    threading.Event().wait(seconds)


@contextmanager
def polling(pool: Pool) -> Iterator[Callable[[], None]]:
    """Yield a function that waits as `Pool.poll` does and, where threads are greenlets, lets the
    others run."""
    if not patched():
        yield pool.poll
        return
    watch = Watch(pool.filenos())

    def poll() -> None:
        watch.wait()
        pool.poll(0)  # does not wait: another greenlet may have taken the result

    try:
        yield poll
    finally:
        watch.close()

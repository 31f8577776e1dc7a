"""Greenlets in the place of threads, as gevent and eventlet put them there.

All greenlets of a thread share it: one that waits in C stops the others, and the one that would
have ended its wait. So where threads are greenlets, nothing here waits in C: whoever waits does so
in what the library has put in the place of `select`, `threading` and `time`, which lets others run.
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
    """Whether a new thread is a greenlet, or something else that is no thread."""
    return type(_thread.start_new_thread) is not BuiltinFunctionType


class Watch:
    """Waits for descriptors to become readable, and lets other greenlets run meanwhile.

    It has duplicates of them: they may be closed at any time, and no loop may watch a number that
    already means something else.
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
    """Sleeps, and lets other greenlets run, whether or not `time.sleep` does."""
    threading.Event().wait(seconds)


@contextmanager
def polling(pool: Pool) -> Iterator[Callable[[], None]]:
    """A function that waits as `Pool.poll` does, or lets greenlets run meanwhile."""
    if not patched():
        yield pool.poll
        return
    watch = Watch(pool.filenos())

    def poll() -> None:
        watch.wait()
        pool.poll(0)  # another may have taken what was there

    try:
        yield poll
    finally:
        watch.close()

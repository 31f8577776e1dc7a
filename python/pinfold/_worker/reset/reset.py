# SPDX-License-Identifier: Apache-2.0
"""Put back the state that a call may change in a reused worker.

Tables list that state: `saved_values` has values behind a getter and a setter, `watch` lists and
dicts, `kernel.c` the state of the kernel and the C library. `leftovers` finds processes,
descriptors and memory. State in no table stays changed, such as numpy's print options.
Some state cannot be put back: a thread, an audit hook, a closed descriptor, a lowered hard limit.
It retires the worker.

After each call everything is compared, by identity where possible, and only differences are put
back. A few comparisons cost more than a trivial call. They are made if the call took long, imported
something, set a limit, or has a source that names a way to that state. In a box they are always
made, because a source may hide what it does.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import atexit
import gc
import linecache
import resource
import sys
import warnings
from collections.abc import Sequence
from contextvars import Context, copy_context
from functools import wraps
from time import monotonic, tzset
from typing import Any

from pinfold._worker.code import search
from pinfold._worker.code.program import NAME, Program
from pinfold._worker.reset import generators, leftovers, printed
from pinfold._worker.reset._state import (
    State,
    changed,
    descriptors,
    has_children,
    identities,
    peak_kb,
    rebind,
)
from pinfold._worker.reset.saved_values import SAVED_VALUES
from pinfold._worker.reset.watch import Watch, interpreter, library, loggers, names, put_back, watch

# Seconds. A call that took longer can afford the costly comparisons.
LONG = 0.001

# A worker retires when its own memory grew by so much, and to so many times its old size.
GROWTH_KB = 512 << 10
GROWTH = 2

# The ranges that are compared after every call. A new descriptor is the lowest free number. Python
# has no names for signals from 32 on, only their numbers.
DESCRIPTORS = 64
SIGNALS = range(1, 32)
ALL_SIGNALS = range(1, 65)


class Reset:
    """Puts a process back to its state before a call. A process has one."""

    def __init__(self, *, boxed: bool = False) -> None:
        self._boxed = boxed
        self.thorough = False
        self._saved = False
        self._audited = False
        self._limited = False
        self._collections = -1
        self.thorough = True
        """Whether the last call gave reason for the costly comparisons."""
        self._interpreter: tuple[Watch, ...] = ()
        self._library: tuple[Watch, ...] = ()

    def before(self) -> Context:
        """At the start of a call, return the context (contextvars) to run it in."""
        if not self._saved:
            self._save()
        self._began = monotonic()
        context = copy_context()
        if self._decimal is not None:
            # The context's copy would share the object that the variable holds.
            context.run(sys.modules["decimal"].setcontext, self._decimal.copy())
        return context

    def flush(self) -> None:
        """Flush `sys.stdout` and `sys.stderr`, which the program may have replaced."""
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105
                stream.flush()
            except BaseException:  # closed, or the program's own object
                pass

    def rebind(self) -> None:
        """Put back `builtins` and `sys` first, because all further work needs them."""
        rebind(self._interpreter)

    def after(
        self,
        program: Program | None,
        entries: list[str],
        payload: Sequence[bytes | memoryview],
    ) -> list[str]:
        """Put everything back after a call. Return what could not be, in words.

        `program` is the call's program; None: the call failed before it had one. `entries` are the
        call's own on `sys.path`. `payload` are the segments of its arguments and its result, which
        still take memory.
        """
        thorough = self._boxed or program is None or program.reaches_c or self._limited
        self.thorough = thorough = thorough or monotonic() - self._began > LONG
        self._limited = False
        _signal.set_wakeup_fd(-1)
        self._put_back_handlers(SIGNALS)
        if _thread._count() > self._threads:
            return ["a thread is left"]
        stayed, dropped, reasons = self._put_back_modules(entries)
        if program is not None and program.lingers:
            reasons.append(f"its source names {program.lingers}")
        thorough |= bool(stayed or dropped)
        self.thorough = thorough
        self._collect()

        # The program's finalisers have run, so none of its code runs from here on.
        sys.path[:] = self._path
        if thorough:
            self._put_back_handlers(ALL_SIGNALS)
        reasons += self._state.put_back(thorough)
        self._put_back_streams()
        self._interpreter = put_back(self._interpreter)
        self._library = put_back(self._library)
        self._put_back_loggers()
        self._put_back_time()
        reasons += self._put_back_values()
        self._put_back_caches()
        if dropped or program is None or program.seeds:
            generators.renew()

        if has_children():
            reasons += leftovers.end_children()
        reasons += self._check_descriptors(thorough, bool(stayed))
        if thorough and self._has_grown(payload):
            reasons.append("memory grew")
        if self._audited:
            reasons.append("an audit hook is left")
        if stayed and not reasons:
            # Objects that libraries made on import stay; later collections need not visit them.
            gc.freeze()
            self._save_python()
            self._memory_kb = leftovers.own_memory_kb()
        return reasons

    def resume(self) -> None:
        """Unblock signals, which `shield` blocked when the call ended, once all is put back."""
        self._state.unblock()

    def _save(self) -> None:
        cwd = search.working_directory()
        sys.path_importer_cache.pop(cwd, None)
        sys.modules.pop(NAME, None)
        self._watch_audit_hooks()
        self._watch_limits()
        gc.freeze()
        self._state = State()
        self._threads = _thread._count()
        self._handlers = tuple(map(_signal.getsignal, ALL_SIGNALS))
        self._streams: list[Any] = [sys.stdin, sys.stdout, sys.stderr]
        self._stream_fields = [dict(vars(stream)) if stream else {} for stream in self._streams]
        self._encodings = [
            (getattr(stream, "encoding", None), getattr(stream, "errors", None))
            for stream in self._streams
        ]
        self._path = list(sys.path)
        self._installed = search.installed()
        self._keep_descriptors(identities())
        self._decimal: Any = None
        for variable, value in copy_context().items():
            if variable.name == "decimal_context":
                self._decimal = value.copy()
        self._memory_kb = leftovers.own_memory_kb()
        self._save_python()
        self._collect()
        self._saved = True

    def _save_python(self) -> None:
        self._modules = dict(sys.modules)
        self._module_watch = (watch(sys.modules),)
        self._interpreter = tuple(interpreter())
        self._library = tuple(library())
        self._loggers = tuple(loggers())
        self._time = (names("time"),)
        self._saved_values = [saved for saved in SAVED_VALUES if saved.module in sys.modules]
        self._reads = [saved.read for saved in self._saved_values]
        self._values = [read() for read in self._reads]
        self._exits = atexit._ncallbacks()
        self._lines = frozenset(linecache.cache)
        self._importers = frozenset(sys.path_importer_cache)

    def _watch_audit_hooks(self) -> None:
        add = sys.addaudithook

        def addaudithook(hook: Any) -> None:
            self._audited = True
            add(hook)

        sys.addaudithook = addaudithook

    def _watch_limits(self) -> None:
        # Reading all limits after every call would take a tenth of a trivial call's time.
        def noting(change: Any) -> Any:
            @wraps(change)  # cloudpickle must find it by its name, like the original
            def noted(*arguments: Any) -> Any:
                self._limited = True
                return change(*arguments)

            return noted

        resource.setrlimit = noting(resource.setrlimit)
        resource.prlimit = noting(resource.prlimit)

    def _put_back_handlers(self, signals: range) -> None:
        now = list(map(_signal.getsignal, signals))
        saved = self._handlers[: len(signals)]
        if not changed(((now, saved, None),)):
            return
        # A signal of the program's timer, even a pending blocked one, must not meet the default
        # action. Ignoring the signal for a moment discards it.
        for timer in (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF):
            _signal.setitimer(timer, 0)
        for number, handler, was in zip(signals, now, saved, strict=True):
            if handler is not was and was is not None:
                _signal.signal(number, _signal.SIG_IGN)
                _signal.signal(number, was)

    def _put_back_modules(self, entries: list[str]) -> tuple[int, int, list[str]]:
        sys.modules.pop(NAME, None)
        if not changed(self._module_watch):
            return 0, 0, []
        stayed, dropped = search.tidy(self._modules, self._installed.difference(entries))
        self._module_watch = (watch(sys.modules),)
        for saved in SAVED_VALUES:
            new = saved not in self._saved_values and saved.module in sys.modules
            if new and saved.read() != saved.initial:
                saved.write(saved.initial)
        lasting = [
            name
            for name, module in dropped.items()
            if search.is_lasting(module) and sys.modules.get(module.__name__) is not module
        ]
        return stayed, len(dropped), [f"{name} cannot be imported again" for name in lasting]

    def _collect(self) -> None:
        # The call's objects are in the two young generations, unless a collection of the second
        # moved them on. The third generation's count shows such collections.
        if gc.get_count()[2] != self._collections:
            gc.collect()
        gc.collect(1)
        self._collections = gc.get_count()[2]

    def _put_back_streams(self) -> None:
        for fd, stream in enumerate(self._streams):
            if stream is not None and vars(stream) != self._stream_fields[fd]:
                vars(stream).clear()
                vars(stream).update(self._stream_fields[fd])
            try:
                if stream is None or not stream.closed:
                    continue
            except ValueError:  # the stream's buffer was detached
                pass
            encoding, errors = self._encodings[fd]
            if fd:
                new = printed.open_stream(fd, encoding, errors)
            else:
                new = open(fd, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
            name = ("stdin", "stdout", "stderr")[fd]
            setattr(sys, name, new)
            setattr(sys, f"__{name}__", new)
            self._streams[fd] = new
            self._stream_fields[fd] = dict(vars(new))
            self._interpreter = tuple(interpreter())

    def _put_back_loggers(self) -> None:
        before = self._loggers
        self._loggers = put_back(before)
        if self._loggers is not before:
            # Loggers cache which levels they pass on.
            sys.modules["logging"].getLogger().manager._clear_cache()

    def _put_back_time(self) -> None:
        # The environment is put back already, so tzset() sets the zone's names in `time`.
        if changed(self._time):
            tzset()
            self._time[0].put_back()
            tzset()
            self._time = (names("time"),)

    def _put_back_values(self) -> list[str]:
        now = [read() for read in self._reads]
        if now == self._values:
            return []
        reasons = []
        for saved, value, was in zip(self._saved_values, now, self._values, strict=True):
            if value != was:
                try:
                    saved.write(was)
                except Exception as error:
                    reasons.append(f"{saved.module}: {error}")
        return reasons

    def _put_back_caches(self) -> None:
        _forget(linecache.cache, self._lines)
        _forget(sys.path_importer_cache, self._importers)
        # Every module notes which warnings were shown; this invalidates the notes.
        warnings._filters_mutated()  # type: ignore[attr-defined]
        if atexit._ncallbacks() != self._exits:
            atexit._clear()  # a worker never calls them
            self._exits = 0
        faulthandler = sys.modules.get("faulthandler")
        if faulthandler is not None:
            faulthandler.cancel_dump_traceback_later()

    def _keep_descriptors(self, identities: dict[int, bytes]) -> None:
        self._descriptors = identities
        self._lowest = bytes(fd in identities for fd in range(DESCRIPTORS))

    def _check_descriptors(self, thorough: bool, adopt: bool) -> list[str]:
        if not thorough and descriptors(DESCRIPTORS) == self._lowest:
            return []
        if identities() == self._descriptors:
            return []
        gc.collect()  # an object in a reference cycle may own the descriptor
        now = identities()
        opened = now.keys() - self._descriptors.keys()
        if any(fd not in now for fd in self._descriptors):
            return ["a descriptor was closed"]
        if self._boxed and any(now[fd] != is_ for fd, is_ in self._descriptors.items()):
            return ["a descriptor is another"]
        # Do not close new descriptors: an owner would close the number again when it belongs to
        # something else. A library may keep what it opened if it was just imported, or if that is
        # a device. In a box the program may have opened it, for later calls to read.
        if self._boxed:
            adopt &= all(map(leftovers.is_harmless, opened))
        elif not adopt:
            adopt = any(map(leftovers.is_device, opened))
        if opened and not adopt:
            return [f"descriptor {min(opened)} was left open"]
        self._keep_descriptors(now)
        return []

    def _has_grown(self, payload: Sequence[bytes | memoryview]) -> bool:
        most = max(GROWTH * self._memory_kb, self._memory_kb + GROWTH_KB)
        if peak_kb() <= most:
            return False
        passing = sum(memoryview(segment).nbytes for segment in payload)
        return leftovers.own_memory_kb() - passing // 1024 > most


def _forget(cache: dict[str, Any], own: frozenset[str]) -> None:
    if cache.keys() != own:
        for key in [key for key in cache if key not in own]:
            del cache[key]

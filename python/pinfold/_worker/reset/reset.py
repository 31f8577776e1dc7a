"""What a call may change in a reused worker, and how it is put back.

What is watched stands in tables: values behind a getter and a setter in `settings`, lists and dicts
in `watch`, what the kernel and the C library keep in `kernel.c`, what may be left over in
`leftovers`. What cannot be put back ends the worker after its call: a thread, an audit hook, a
closed descriptor, a lowered hard limit. What is in no table is not undone: what installed libraries
keep inside, such as numpy's print options.

After each call everything is compared, by identity where that is possible, and only what differs is
touched. A few comparisons cost more than a trivial call. They are made when the call gave reason
to: it took long, or imported something, or set a limit, or its source names the way there; and in a
box always, for there a source may hide what it does.
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
from pinfold._worker.reset.saved_values import SETTINGS
from pinfold._worker.reset.watch import Watch, interpreter, library, loggers, names, put_back, watch

# Seconds. A call that took longer can afford the comparisons that cost more.
LONG = 0.001

# A worker whose own memory grew by so much, and to so many times what it was, is not used again.
GROWTH_KB = 512 << 10
GROWTH = 2

# What is looked at after every call. A new descriptor is the lowest that is free; Python has no
# names for the signals from 32 on but their numbers.
DESCRIPTORS = 64
SIGNALS = range(1, 32)
ALL_SIGNALS = range(1, 65)


class Reset:
    """Makes a process that ran a call what it was before. There is one in a process."""

    def __init__(self, *, boxed: bool = False) -> None:
        self._boxed = boxed
        self.thorough = False
        self._saved = False
        self._audited = False
        self._limited = False
        self._collections = -1
        self.thorough = True
        """Whether the last call gave reason to look at what costs more."""
        self._interpreter: tuple[Watch, ...] = ()
        self._library: tuple[Watch, ...] = ()

    def before(self) -> Context:
        """A call begins. Returns the context (contextvars) to run it in."""
        if not self._saved:
            self._save()
        self._began = monotonic()
        context = copy_context()
        if self._decimal is not None:
            # The variable is copied; the object that it holds would be shared.
            context.run(sys.modules["decimal"].setcontext, self._decimal.copy())
        return context

    def flush(self) -> None:
        """Write out what is in streams that the candidate put in place of its own."""
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105
                stream.flush()
            except BaseException:  # closed, or of the candidate's making
                pass

    def rebind(self) -> None:
        """The call is over: first make `builtins` and `sys` fit to work with."""
        rebind(self._interpreter)

    def after(
        self,
        program: Program | None,
        entries: list[str],
        payload: Sequence[bytes | memoryview],
    ) -> list[str]:
        """A call ended. Put everything back; returns what could not be, in words.

        `program` is what ran, if it came to that; `entries` are what the call put on `sys.path`;
        `payload` are the segments of its arguments and its result, which are still there.
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

        # The candidate's finalisers have run: from here on nothing changes any more.
        sys.path[:] = self._path
        if thorough:
            self._put_back_handlers(ALL_SIGNALS)
        reasons += self._state.put_back(thorough)
        self._put_back_streams()
        self._interpreter = put_back(self._interpreter)
        self._library = put_back(self._library)
        self._put_back_loggers()
        self._put_back_time()
        reasons += self._put_back_settings()
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
            # What libraries made on their import lives on; no collection has to look at it again.
            gc.freeze()
            self._save_python()
            self._memory_kb = leftovers.own_memory_kb()
        return reasons

    def resume(self) -> None:
        """All is put back: let signals through again, which were held up since the call ended."""
        self._state.unblock()

    def _save(self) -> None:
        cwd = search.working_directory()
        sys.path_importer_cache.pop(cwd, None)
        sys.modules.pop(NAME, None)
        self._guard_audit_hooks()
        self._guard_limits()
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
        self._settings = [setting for setting in SETTINGS if setting.module in sys.modules]
        self._reads = [setting.read for setting in self._settings]
        self._values = [read() for read in self._reads]
        self._exits = atexit._ncallbacks()
        self._lines = frozenset(linecache.cache)
        self._importers = frozenset(sys.path_importer_cache)

    def _guard_audit_hooks(self) -> None:
        add = sys.addaudithook

        def addaudithook(hook: Any) -> None:
            self._audited = True
            add(hook)

        sys.addaudithook = addaudithook

    def _guard_limits(self) -> None:
        # Reading all limits after every call would take a tenth of a trivial one's time.
        def noting(change: Any) -> Any:
            @wraps(change)  # cloudpickle finds it by its name, as it does the original
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
        # A signal of the candidate's timer must not meet the default action, not even one that is
        # blocked and pending: ignoring it for a moment discards that.
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
        for setting in SETTINGS:
            new = setting not in self._settings and setting.module in sys.modules
            if new and setting.read() != setting.initial:
                setting.write(setting.initial)
        lasting = [
            name
            for name, module in dropped.items()
            if search.is_lasting(module) and sys.modules.get(module.__name__) is not module
        ]
        return stayed, len(dropped), [f"{name} cannot be imported again" for name in lasting]

    def _collect(self) -> None:
        # What the call made is in the two young generations, unless a collection of the second one
        # moved it on. The third generation counts those.
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
            except ValueError:  # its buffer was detached
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
            # They keep in mind which levels they pass on.
            sys.modules["logging"].getLogger().manager._clear_cache()

    def _put_back_time(self) -> None:
        # tzset() renames what the module time knows of the zone; the environment is what it was.
        if changed(self._time):
            tzset()
            self._time[0].put_back()
            tzset()
            self._time = (names("time"),)

    def _put_back_settings(self) -> list[str]:
        now = [read() for read in self._reads]
        if now == self._values:
            return []
        reasons = []
        for setting, value, was in zip(self._settings, now, self._values, strict=True):
            if value != was:
                try:
                    setting.write(was)
                except Exception as error:
                    reasons.append(f"{setting.module}: {error}")
        return reasons

    def _put_back_caches(self) -> None:
        _forget(linecache.cache, self._lines)
        _forget(sys.path_importer_cache, self._importers)
        # Which warnings were shown is noted in every module; this makes all those notes void.
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
        gc.collect()  # an object in a cycle may own it
        now = identities()
        opened = now.keys() - self._descriptors.keys()
        if any(fd not in now for fd in self._descriptors):
            return ["a descriptor was closed"]
        if self._boxed and any(now[fd] != is_ for fd, is_ in self._descriptors.items()):
            return ["a descriptor is another"]
        # To close one is not for us: its owner, if it has one, would close the number once more
        # when it belongs to something else. A library that was just imported may keep what it
        # opened, and so may one that opened a device. In a box it may be the program that did, for
        # later calls to read.
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

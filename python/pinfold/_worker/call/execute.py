# SPDX-License-Identifier: Apache-2.0
"""Run one call in a worker: read the request's segments, call the function, write the result's."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import getpid
from types import CoroutineType
from typing import TYPE_CHECKING

from pinfold import codec as codecs
from pinfold._wire import (
    Failure,
    Index,
    Request,
    Segments,
    codec_of,
    pack_failure,
    pack_index,
    unpack_arguments,
    unpack_request,
)
from pinfold._worker.call import report
from pinfold._worker.call.rlimits import RLimits
from pinfold._worker.code import forms, lookup, search
from pinfold._worker.code.libraries import import_pickle
from pinfold._worker.code.program import FILE, SCRIPT, Program, Programs
from pinfold._worker.code.search import NO_SHADOWS, Shadows
from pinfold._worker.ext import _runtime
from pinfold._worker.ext._runtime import (
    PAYLOAD_ALIGN,
    RESULT_BAD,
    RESULT_ENDED,
    RESULT_EXCEPTION,
    RESULT_INTERNAL,
    RESULT_OK,
    RESULT_RETIRE,
    RESULT_TOO_LARGE,
)
from pinfold._worker.main import ending
from pinfold._worker.main.apart import Account, run_apart
from pinfold._worker.main.collect import collect
from pinfold._worker.main.directory import write_file, write_files
from pinfold._worker.main.revival import revive
from pinfold._worker.main.script import run_script
from pinfold._worker.main.streams import give_stdin
from pinfold._worker.reset._state import shield
from pinfold.codec import json_text  # noqa: F401  # once in the template, not in each worker

if TYPE_CHECKING:
    from pinfold._worker.box.box import Box
    from pinfold._worker.code.imports import Imports
    from pinfold._worker.code.source import Source
    from pinfold._worker.reset.reset import Reset

IDENTITY = ("PINFOLD_WORKER_ID", "PINFOLD_NODE_ID")

Outcome = tuple[int, Segments]

# Made at import, for programs that leave no memory to make it with.
_NO_REPORT = {name: pack_failure(report.without_report(), name) for name in codecs.CODECS}


class Executor:
    """Runs the calls of one worker, one after another."""

    def __init__(
        self,
        *,
        worker_id: str,
        node_id: str,
        isolation: str,
        identity: Sequence[str] = IDENTITY,
        python_path: Sequence[str] = (),
        shadows: Shadows = NO_SHADOWS,
        box: Box | None = None,
        imports: Imports | None = None,
        libraries: Sequence[str] = (),
        modules: Sequence[str] = (),
        source: Source | None = None,
        send_note: Callable[[bytes], None] = lambda text: None,
    ) -> None:
        """Make the process ready for its first call.

        `isolation` is "fresh", "reuse" or "spawn"; all but "fresh" put the process back after each
        call. `identity` has the names of the variables for the two ids, if any. `python_path` has
        resolved directories; on `sys.path`, only a call's own come before them. `shadows` are those
        of `python_path`. With `imports`, `note` reports after each call what it imported.
        `libraries` are directories for cloudpickle if this interpreter has none. `modules` are
        directories that end the path of calls with pickled arguments. `source` is the file of the
        calls' sources; None: there is none. `send_note` sends the caller a note at once.
        """
        for name, value in zip(identity, (worker_id, node_id), strict=False):
            os.environ[name] = value
        self._source = source
        self._programs = Programs(FILE if source is None else source.path)
        self._scripts: Programs | None = None
        self._send_note = send_note
        self._is_script = False
        self._entered = False
        """Whether the call's working directory is the source's, or in it."""
        self._collects = False
        self._reset: Reset | None = None
        if isolation != "fresh":
            from pinfold._worker.reset.reset import Reset

            self._reset = Reset(boxed=box is not None)
        self._program: Program | None = None
        self._python_path = python_path
        self._pools = self._shadows = shadows
        search.leave_no_byte_code()
        self._entries = search.prepend((), python_path)
        if source is not None:
            search.use_source(source.directory)
        self._cwd = search.working_directory()
        self._box = box
        self._imports = imports
        self._libraries = libraries
        self._modules = modules
        self.note = b""
        self.ended = 0
        """With RESULT_ENDED, the exit status of the last call."""
        self.codec = "data"
        self._limits = RLimits(lasting=isolation == "fresh")

    @property
    def bounds_files(self) -> bool:
        """Whether the limit that the last call set on the size of files still holds."""
        return self._limits.bounds("file_bytes")

    @property
    def looked_closely(self) -> bool:
        """Whether the last call gave reason for the comparisons that cost more than a call."""
        return self._reset is not None and self._reset.thorough

    def run(self, segments: tuple[memoryview, ...], result_max: int) -> tuple[int, Segments, int]:
        """Run one call and return (status, segments, flags) of its result (pinfold_worker.h).

        `result_max` is the largest payload accepted, in bytes; 0 for any. Never raises: every
        exception from the program becomes a result, wherever it surfaces.
        """
        self.codec = codec_of(segments)
        self.ended = 0
        reset = self._reset
        if reset is None:
            outcome, error = shield(self._call, segments, result_max)
        else:
            try:
                context = reset.before()
            except Exception as broken:  # a set-up broke what a call needs
                self._collects = collects(segments)
                return RESULT_INTERNAL, self._without_value(broken), RESULT_RETIRE
            pid = getpid()
            outcome, error = shield(context.run, self._call, segments, result_max)
            if getpid() != pid:  # a process that the call forked has returned to here
                return (outcome or (RESULT_EXCEPTION, None))[0], [], 0
            shield(reset.flush)
            reset.rebind()
            if self._is_script:
                shield(self._leave_script)
        if error is not None:
            # A signal handler or a trace function of the program raised in the runtime's code.
            failed, _ = shield(self._without_value, error)
            outcome = (RESULT_EXCEPTION, failed) if failed else None
        if self._imports is not None:
            self.note = shield(self._imports.note, self._entries)[0] or b""
        if outcome is None:
            no_report = _NO_REPORT.get(self.codec, [])
            outcome = RESULT_EXCEPTION, [*no_report, *self.without_files()]
        status, result = outcome
        flags = 0
        if reset is not None:
            shield(self._pools.end)
            _, unlimited = shield(self._limits.restore)
            payload = (*segments, *result)
            reasons, _ = shield(reset.after, self._program, self._entries, payload)
            unclean = None
            if self._source is not None:
                program = self._program
                self._source.touched = program is None or program.touches or reset.thorough
                if self._entered:
                    _, unclean = shield(self._source.clear)
            if self._box is not None and self._box.entered:
                _, unclean = shield(self._box.leave)
            # `reasons` is None if Reset.after itself failed. After RESULT_INTERNAL the worker
            # ends because the next call would probably fail, too.
            if unclean or unlimited or reasons != [] or status == RESULT_INTERNAL:
                flags = RESULT_RETIRE
            else:
                reset.resume()
        return status, result, flags

    def _call(self, segments: Sequence[memoryview], result_max: int) -> Outcome:
        self._program = None
        self._is_script = False
        self._entered = False
        self._collects = False
        try:
            request = unpack_request(segments)
            self.codec = request.codec
            self._collects = bool(request.collect)
            if request.codec == "pickle":  # before the call's own modules are on the path
                import_pickle(self._libraries)
            _set_environment(request.env)
            if request.is_program:
                self._is_script = True
                return self._run_program(request, result_max)
            if request.python_path:
                self._entries = search.prepend(request.python_path, self._python_path)
            else:  # sys.path is as it was made at the start, or put back
                self._entries = []
                sys.path_importer_cache.pop(self._cwd, None)
            if request.codec == "pickle":
                sys.path.extend(entry for entry in self._modules if entry not in sys.path)
            if self._box is not None:
                self._box.enter(self._entries)
                if request.files or request.collect:
                    self._enter_below()
            elif request.files or request.collect:
                self._enter_files()
            if request.files:
                write_files(request.files, request.contents)
            self._pools.begin()
            self._shadows = self._pools
            if self._entries:
                self._shadows = search.drop_shadowed(self._entries, self._pools)
            self._program = program = self._programs.get(request.code)
            if self._source is not None:
                self._source.put(program, last=self._reset is None)
            function = partial(self._run_function, request, program, result_max)
            return self._apart(function, request, result_max) if request.collect else function()
        except Exception as error:
            return RESULT_INTERNAL, self._without_value(error)

    def _run_function(self, request: Request, program: Program, result_max: int) -> Outcome:
        decoding = False
        try:
            self._limits.set(request.limits)
            self._compile(program, program.compile, request.compiled)
            try:
                function = lookup.find(program.execute(), request.function)
            except lookup.NotFound as error:
                return RESULT_EXCEPTION, self._failure(report.not_found(str(error)))
            decoding = True
            with self._own(request.codec):
                args, kwargs = unpack_arguments(request)
            decoding = False
            value = function(*args, **kwargs)
            if type(value) is CoroutineType:
                # A coroutine is of no use outside of this process.
                with self._shadows:
                    import asyncio
                value = asyncio.run(value)
        except BaseException as error:
            with self._shadows:
                failure = (report.undecodable if decoding else report.raised)(error, program)
                return RESULT_EXCEPTION, self._failure(failure)
        args = kwargs = function = None  # type: ignore[assignment]

        try:
            with self._own(request.codec):
                result = codecs.encode(value, request.codec)
        except BaseException as error:
            with self._shadows:
                return RESULT_BAD, self._failure(report.unencodable(error, program))
        size = payload_size(result)
        if result_max and size > result_max:
            return RESULT_TOO_LARGE, self._failure(report.too_large(size, result_max))
        return RESULT_OK, result

    def _run_program(self, request: Request, result_max: int) -> Outcome:
        try:
            give_stdin(request.arguments[0], anew=self._reset is not None)
            self._entries = search.resolved(request.python_path)
            directory = self._enter_script()
            self._program = program = self._place_script(request.code, directory)
            write_files(request.files, request.contents)
            search.use_script(directory, self._entries, self._python_path)
            self._pools.begin()
            self._shadows = self._pools
            if self._entries or request.files:
                first = [directory, *self._entries]
                self._shadows = search.drop_shadowed(first, self._pools)
            script = partial(self._run_script, request, program, directory)
            return self._apart(script, request, result_max) if request.collect else script()
        except Exception as error:
            return RESULT_INTERNAL, self._without_value(error)

    def _run_script(self, request: Request, program: Program, directory: str) -> Outcome:
        self._limits.set(request.limits)

        def compile_source() -> None:
            self._compile(program, program.compile_script, request.compiled)

        def explain(error: BaseException) -> Failure:
            with self._shadows:
                return report.raised(error, program)

        directories = (directory, *self._entries)
        if self._reset is None:
            gc.freeze()  # the collections at the program's end visit its own objects only
        else:
            ending.keep_exits()
        ended = run_script(program, request.argv, directories, compile_source, explain)
        if ended.status == 0:
            return RESULT_ENDED, [b""]
        failure = ended.account or report.unwritten()
        if ended.raised:
            return RESULT_EXCEPTION, self._failure(failure)
        self.ended = ended.status
        return RESULT_ENDED, self._failure(failure._replace(returncode=ended.status))

    def _apart(self, run: Callable[[], Outcome], request: Request, result_max: int) -> Outcome:
        """Run a call in a child, and bring its files back."""

        def account() -> Account:
            outcome, error = shield(run)
            if error is not None:
                outcome, _ = shield(self._interrupted, error)
            status, result = outcome or (RESULT_EXCEPTION, _NO_REPORT.get(self.codec, []))
            return Account(status, result, self.ended)

        (status, result, self.ended), stopped = run_apart(account, keeps=not request.is_program)
        most = max(1, result_max - payload_size(result)) if result_max else 0
        result = [*result, *collect(request.collect, most, hurry=stopped)]
        size = payload_size(result)
        if status == RESULT_OK and result_max and size > result_max:  # by the index alone
            failure = self._failure(report.too_large(size, result_max))
            return RESULT_TOO_LARGE, [*failure, *self.without_files()]
        return status, result

    def _without_value(self, error: BaseException) -> Segments:
        return [*self._failure(report.raised(error, None)), *self.without_files()]

    def without_files(self) -> Segments:
        """Return what follows the result of a call that collects files if it has none."""
        return pack_index(Index([], {})) if self._collects else []

    def _enter_script(self) -> str:
        """Go to the empty directory of a program. Return its path."""
        if self._box is not None:
            self._box.enter(self._entries)
            return self._enter_below()
        if self._source is None:
            raise RuntimeError("there is no directory for the program")
        self._entered = True
        os.chdir(self._source.directory)
        return self._source.directory

    def _enter_below(self) -> str:
        """Go to an empty directory in that of a box, which also has temporary files."""
        os.mkdir("main", 0o700)
        os.chdir("main")
        return os.getcwd()

    def _enter_files(self) -> None:
        """Go to an empty directory for the files of a call of a function."""
        if self._source is None:
            raise RuntimeError("there is no directory for the files")
        directory = f"{self._source.directory}/work"
        self._entered = True
        os.mkdir(directory, 0o700)
        os.chdir(directory)
        search.keep_importable(self._cwd)

    def _place_script(self, code: str, directory: str) -> Program:
        """Write the file of a program."""
        path = f"{directory}/{SCRIPT}"
        if self._scripts is None or self._scripts.file != path:
            self._scripts = Programs(path)
        program = self._scripts.get(code)
        if self._box is not None:
            write_file(SCRIPT, program.content())
        else:
            assert self._source is not None
            self._source.put_script(program, last=self._reset is None)
        return program

    def _compile(
        self, program: Program, compile_source: Callable[[], None], form: bytes | None
    ) -> None:
        kept = self._reset is not None
        forms.compile_with(program, compile_source, form, self._send_note, kept=kept)

    def _leave_script(self) -> None:
        """Put back what running a program changes in the runtime itself."""
        _runtime.exact_streams(False)
        _runtime.restore_streams()
        revive()

    def _failure(self, failure: Failure) -> Segments:
        return pack_failure(failure, self.codec)

    def _interrupted(self, error: BaseException) -> Outcome:
        return RESULT_EXCEPTION, self._failure(report.raised(error, None))

    def _own(self, codec: str) -> Shadows:
        """Return the context in which to read or write values. Pickled values need the call's own
        modules, so they get no context."""
        return NO_SHADOWS if codec == "pickle" else self._shadows


def collects(segments: Sequence[memoryview]) -> bool:
    """Return whether the request is that of a call that collects files."""
    try:
        return bool(unpack_request(segments).collect)
    except codecs.Malformed:
        return False


def _set_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in changes:
        time.tzset()


def payload_size(segments: Sequence[bytes | memoryview]) -> int:
    """Return the size of the payload in bytes, as payload_size() of lib/wire/payload.c does."""
    size = 8 + 8 * len(segments)
    for segment in segments:
        nbytes = segment.nbytes if isinstance(segment, memoryview) else len(segment)
        size += -size % PAYLOAD_ALIGN + nbytes
    return size

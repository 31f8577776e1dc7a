# SPDX-License-Identifier: Apache-2.0
"""Conversion of the library's result into the caller's `WorkerResult`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast

from pinfold import _wire
from pinfold import codec as codecs
from pinfold._common.check import shown
from pinfold.call import EncodedCall, ProgramCall, name_of
from pinfold.codec.refusals import is_shortage
from pinfold.codec.tags import USER_MODULE
from pinfold.result import ExecutionMetrics, Outcome, Phase, WorkerError, WorkerResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinfold._client.record import Origin, Record
    from pinfold._ext._pool import Result

# How far a call had come when its time passed, by the phase.
_WHEN = {
    "queue": " before a worker was free",
    "start": " before a worker had begun it",
    "run": "",
    "": "",
}

# The segments that collected files may take, with the index (_worker/main/collect.py).
_FILES_MOST = 10_001

# Outcomes of which the worker gives an account.
_ACCOUNTED = ("exception", "exited", "bad_result", "internal")

_CURRENT_THREAD = "Current thread "
_SOURCE_FRAME = re.compile(rf'  File "(?:.*/)?{USER_MODULE}\.py", line ([0-9]{{1,9}})\b')
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_RUNTIME_FRAME = f'  File "{_PACKAGE}/_worker/'

# The path of a call's source, whose directory means nothing to people (_worker/boot/base.py).
_SOURCE = re.compile(r'File "[^"\n]*/\.pinfold-box-[0-9a-f]{12}/[^"\n]*/user_code\.py"')


def result_of(raw: Result, record: Record, origin: Origin, *, runs: bool = False) -> WorkerResult:
    """Read the result of a call. An unreadable value or account of a failure is ``bad_result``, or
    ``internal`` if this process lacks memory or descriptors.

    Raises RunsCode for a value whose reading would run code, unless `runs` permits that.
    KeyboardInterrupt and other exceptions that are not an `Exception` pass through.
    """
    outcome = cast("Outcome", raw.outcome)
    value: object = None
    failure = None
    files: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    reason = raw.reason or outcome
    metrics = _metrics_of(raw, origin)
    if outcome == "timeout" and not (raw.is_spent and raw.phase == "start"):
        # The library knows only the rest of the deadline when it got the call.
        asked_ns = record.wall_ns if raw.is_spent else record.deadline_ns
        what = "time" if raw.is_spent else "deadline"
        seconds = 0 if asked_ns == 1 else asked_ns / 1e9  # 1: none was left
        reason = f"the {what} of {seconds:g} s passed{_WHEN[raw.phase]}"
    if outcome in ("timeout", "cancelled", "lost", "internal"):
        reason = f"call of {shown(name_of(record.call))}: {reason}"
    try:
        segments: Sequence[memoryview] = raw.segments(_FILES_MOST if record.call.collect else 0)
        if record.call.collect and segments:
            segments, files, refused = _collected(segments)
        if outcome == "ok":
            if isinstance(record.call, EncodedCall):
                value = tuple(segments)
            elif not isinstance(record.call, ProgramCall):
                read = codecs.decode if runs else codecs.decode_here
                value = read(segments, record.codec, record.result_bytes)
        elif outcome in _ACCOUNTED and segments:
            failure = _wire.unpack_failure(segments)
    except codecs.RunsCode:
        raise
    except Exception as error:
        what = "value" if outcome == "ok" else "account of its failure"
        outcome, reason = unreadable(error, what)
        if outcome == "internal":
            reason = f"call of {shown(name_of(record.call))}: {reason}"
    why = None if outcome == "ok" else _error_of(raw, outcome, failure, reason)
    return _result(raw, outcome, value, why, metrics, files, refused)


def unreadable(error: Exception, what: str = "value") -> tuple[Outcome, str]:
    """Return how a call ends whose value, or `what` else it sent, cannot be read, and why."""
    if isinstance(error, codecs.TooLarge):
        return ("output_limit" if what == "value" else "bad_result"), str(error)
    if is_shortage(error):
        shortage = "out of memory" if isinstance(error, MemoryError) else str(error)
        return "internal", f"its {what} cannot be read in this process: {shortage}"
    return "bad_result", f"the call's {what} cannot be read: {error}"


def _collected(
    segments: Sequence[memoryview],
) -> tuple[Sequence[memoryview], dict[str, bytes], dict[str, str]]:
    """Return the segments of the value or failure, the collected files, and the refused ones."""
    rest, index, first = _wire.split_collected(segments)
    contents = map(bytes, segments[first:-1])
    return rest, dict(zip(index.files, contents, strict=True)), index.refused


def _result(
    raw: Result,
    outcome: Outcome,
    value: object,
    error: WorkerError | None,
    metrics: ExecutionMetrics | None,
    files: dict[str, bytes],
    refused: dict[str, str],
) -> WorkerResult:
    return WorkerResult(
        outcome,
        value,
        error,
        metrics,
        raw.stdout,
        raw.stderr,
        raw.stdout_truncated,
        raw.stderr_truncated,
        raw.stdout_bytes,
        raw.stderr_bytes,
        files,
        refused,
    )


def late_result(raw: Result, record: Record, origin: Origin) -> WorkerResult:
    """Return the result of a call whose time passed while its value was read."""
    name = shown(name_of(record.call))
    reason = f"call of {name}: its time passed while its value was read in this process"
    error = _error_of(raw, "timeout", None, reason)
    return _result(raw, "timeout", None, error, _metrics_of(raw, origin), {}, {})


def failed(outcome: Outcome, sentence: str) -> WorkerResult:
    """Return the result of a call for which the library has none."""
    return WorkerResult(outcome, error=WorkerError(sentence, message=sentence))


def _metrics_of(raw: Result, origin: Origin) -> ExecutionMetrics | None:
    figures = raw.metrics()
    if figures is None:
        return None
    waits = raw.waits()
    return ExecutionMetrics(
        figures.peak_rss_kb,
        figures.wall_ns / 1e9,
        figures.user_ns / 1e9,
        figures.sys_ns / 1e9,
        figures.worker_pid,
        figures.worker_id,
        origin.node_id,
        figures.started_at_ns,
        figures.finished_at_ns,
        figures.queue_ns / 1e9,
        raw.call_id,
        origin.pool_id,
        figures.calls_before,
        figures.result_bytes,
        None if waits is None else waits.cpu_wait_ns / 1e9,
        None if waits is None else waits.preemptions,
    )


def _error_of(
    raw: Result, outcome: Outcome, failure: _wire.Failure | None, reason: str
) -> WorkerError:
    # A worker sent the value that cannot be read, so the phase is "run".
    phase = cast("Phase", "run" if raw.outcome == "ok" else raw.phase)
    if failure is not None:
        if not failure.compiled:
            phase = "compile"
        text = failure.text if failure.text.strip() else failure.message
        return WorkerError(
            (_printed(raw) + text).rstrip(),
            failure.returncode,
            failure.type,
            failure.message,
            phase=phase,
            line=failure.line or None,
        )
    signal = raw.signal or None
    stack = _own_frames(raw.stack)
    text = f"{reason}\n{stack}" if stack else reason
    if signal and not outcome.endswith("_limit"):
        returncode = -signal
    else:
        returncode = raw.exit_code if raw.exit_code >= 0 else 1
    return WorkerError(
        (_printed(raw) + text).rstrip(),
        returncode,
        "",
        reason,
        signal,
        stack,
        phase,
        _line_of(stack),
    )


def _own_frames(stack: str) -> str:
    """Return the stack without the runtime's frames, which are below the candidate's."""
    stack = _SOURCE.sub('File "user_code.py"', stack)
    return "".join(line for line in stack.splitlines(True) if not line.startswith(_RUNTIME_FRAME))


def _line_of(stack: str) -> int | None:
    """Return the innermost line of the source in a stack that faulthandler wrote: of the current
    thread, else of the first thread that runs the source."""
    _, _, current = stack.partition(_CURRENT_THREAD)
    for part in (current, stack):
        for line in part.splitlines():
            if found := _SOURCE_FRAME.match(line):
                return int(found[1])
    return None


def _printed(raw: Result) -> str:
    """Return the output of the call under headings, "" if it printed nothing."""
    parts = []
    for name, text, cut in (
        ("stdout", raw.stdout, raw.stdout_truncated),
        ("stderr", raw.stderr, raw.stderr_truncated),
    ):
        if text:
            end = "" if text.endswith("\n") else "\n"
            note = ", its middle dropped" if cut else ""
            parts.append(f"--- printed to {name}{note} ---\n{text}{end}")
    return "".join(parts) + "--- error ---\n" if parts else ""

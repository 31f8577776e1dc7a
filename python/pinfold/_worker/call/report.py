# SPDX-License-Identifier: Apache-2.0
"""The text that explains to a person why a call has no value.

The text is the traceback, followed by the source around the failing line. The caller's side puts
the output of the call before it, under a heading, because only the pool reads the worker's pipes.
Each text therefore stands on its own and starts on a new line.
"""

from __future__ import annotations

import os
import signal
from traceback import TracebackException, format_tb
from types import FrameType, TracebackType
from typing import Any

from pinfold._wire import Failure
from pinfold._worker.code.program import FILE, Program
from pinfold.codec.refusals import CannotDecode, NotCarried, name_of

# In characters. A longer text keeps its head and its tail, the most useful parts of a traceback.
TEXT_MAX = 1 << 20
MESSAGE_MAX = 1 << 16
LINE_MAX = 200

CONTEXT_LINES = 3

# The code between the worker and the program. Its frames at the top of a traceback are left out;
# further down, the program called it itself.
_HERE = os.path.abspath(f"{__file__}/../../..") + os.sep
_BETWEEN = ("asyncio", "cbor2", "cloudpickle", "pickle", "importlib")


def raised(error: BaseException, program: Program | None, heading: str = "") -> Failure:
    """Return the failure of a program that raised `error`. Never raises, whatever the methods of
    the exception do.

    `heading` is a sentence that goes before the traceback.
    """
    kind = _kind(error)
    message = _message(error)
    file = program.file if program is not None else FILE
    trace = _candidates(error, file)
    lines = program.lines if program is not None else []
    failing = _failing_line(error, trace, file)
    try:
        text = _text(error, trace, lines, file)
    except BaseException as second:
        # The exception's own code (__str__, __dir__, a property) raised.
        text = "".join(format_tb(trace)).replace(f'"{file}"', f'"{_name(file)}"') + (
            f"{kind}: {message}\n(telling it as usual raised {_kind(second)})\n"
        )
    text = cut(text, TEXT_MAX) + _context(failing, lines, _name(file))
    text = f"{heading}\n{text}" if heading else text
    compiled = program is None or program.compiled is not None
    return Failure(kind, message, text, _returncode(error), failing, compiled)


def briefly(error: BaseException) -> tuple[str, str]:
    """Return the type and the text of `error`."""
    return _kind(error), _message(error)


def not_found(message: str) -> Failure:
    """Return the failure of a call whose source has no such function."""
    message = cut(message, MESSAGE_MAX)
    return Failure("AttributeError", message, message, 1)


def undecodable(error: BaseException, program: Program) -> Failure:
    """Return the failure of a call whose arguments could not be read.

    `error` was raised by the codec, or by the arguments' own code.
    """
    if type(error) is CannotDecode and error.__cause__ is not None:
        error = error.__cause__
    return raised(error, program, "The arguments could not be decoded:")


def unencodable(error: BaseException, program: Program) -> Failure:
    """Return the failure of a call whose value could not be written.

    `error` was raised by the codec, or by the value's own code. The codec may have chained the
    latter's exception to its own.
    """
    if type(error) is not NotCarried:
        return raised(error, program, "The result could not be encoded:")
    message = _message(error)
    cause = error.__cause__
    if cause is None or not _failing_line(cause, _candidates(cause, program.file), program.file):
        return Failure(_kind(error), message, message, 1, 0)
    return raised(cause, program, message)._replace(type=_kind(error), message=message)


def too_large(size: int, most: int) -> Failure:
    """Return the failure of a call whose encoded value takes `size` bytes, more than `most`."""
    message = f"the result takes {size} bytes, and at most {most} are accepted"
    return Failure("OverflowError", message, message, 1, 0)


def unwritten() -> Failure:
    """Return the failure of a program that ended well, but whose output could not be written."""
    message = "the program's output could not be flushed when it ended"
    return Failure("OSError", message, message, 120, 0)


def without_report() -> Failure:
    """Return the failure to send when describing an exception raised another one."""
    message = "an exception was raised that cannot be reported"
    return Failure("BaseException", message, message, 1, 0)


def cut(text: str, most: int) -> str:
    """Return `text`, without its middle if it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters cut ...]\n{text[-half:]}"


def _text(error: BaseException, trace: TracebackType | None, lines: list[str], file: str) -> str:
    if issubclass(type(error), SyntaxError):
        _complete(error, lines, file)
    trace_text = TracebackException(type(error), error, trace, compact=True)
    if file != _name(file):
        _rename(trace_text, file)
    return "".join(trace_text.format())


def _name(file: str) -> str:
    return file.rpartition("/")[2]


def _rename(trace_text: TracebackException, file: str) -> None:
    """Show the source's file by its name alone, because its directory means nothing to people."""
    left, seen = [trace_text], set()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for frame in one.stack:
            if frame.filename == file:
                frame.filename = _name(file)
        if getattr(one, "filename", None) == file:
            one.filename = _name(file)
        others = [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
        left += [other for other in others if other is not None]


def _field(error: BaseException, kind: type[BaseException], name: str) -> Any:
    """Return the interpreter's own field of an exception, past what its class may override."""
    return kind.__dict__[name].__get__(error)


def _candidates(error: BaseException, own: str) -> TracebackType | None:
    trace: TracebackType | None = _field(error, BaseException, "__traceback__")
    while trace is not None and _between(trace.tb_frame, own):
        trace = trace.tb_next
    return trace


def _between(frame: FrameType, own: str) -> bool:
    file, module = frame.f_code.co_filename, frame.f_globals.get("__name__")
    if file == own or type(module) is not str:
        return False
    return file.startswith(_HERE) or module.partition(".")[0] in _BETWEEN


def _complete(error: BaseException, lines: list[str], own: str) -> None:
    # The compiler reads the text of some errors from the file, which may not exist.
    line = _line_of_syntax(error, own)
    if 0 < line <= len(lines) and _field(error, SyntaxError, "text") is None:
        SyntaxError.__dict__["text"].__set__(error, lines[line - 1])


def _line_of_syntax(error: BaseException, own: str) -> int:
    file, line = (_field(error, SyntaxError, name) for name in ("filename", "lineno"))
    return line if type(file) is str and file == own and type(line) is int else 0


def _failing_line(error: BaseException, trace: TracebackType | None, own: str) -> int:
    """Return the number of the innermost line of the source, from 1, or 0."""
    line = _line_of_syntax(error, own) if issubclass(type(error), SyntaxError) else 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == own:
            line = trace.tb_lineno or line
        trace = trace.tb_next
    return line


def _context(failing: int, lines: list[str], name: str) -> str:
    if not 0 < failing <= len(lines):
        return ""
    first = max(1, failing - CONTEXT_LINES)
    last = min(len(lines), failing + CONTEXT_LINES)
    width = len(str(last))
    text = [f"\n{name}, line {failing}:\n"]
    for number in range(first, last + 1):
        mark = ">" if number == failing else " "
        line = lines[number - 1].rstrip()
        if len(line) > LINE_MAX:
            line = line[:LINE_MAX] + " ..."
        text.append(f"{mark} {number:{width}} | {line}".rstrip() + "\n")
    return "".join(text)


def _kind(error: BaseException) -> str:
    return cut(name_of(type(error)), LINE_MAX)


def _message(error: BaseException) -> str:
    try:
        return cut(str.__str__(str(error)), MESSAGE_MAX)  # not a subclass of str
    except BaseException as second:
        return f"(its text raised {_kind(second)})"


def _returncode(error: BaseException) -> int:
    """Return the exit status of a Python that this exception ended, as subprocess reports it.

    Never 0, because there is no value.
    """
    if type(error) is KeyboardInterrupt:
        return -signal.SIGINT
    if not issubclass(type(error), SystemExit):
        return 1
    code = _field(error, SystemExit, "code")
    if not issubclass(type(code), int):
        return 1
    if int.bit_length(code) > 63:  # the interpreter exits with -1 for what does not fit a C long
        return 255
    return int.__and__(code, 0xFF) or 1

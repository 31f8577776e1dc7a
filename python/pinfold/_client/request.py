# SPDX-License-Identifier: Apache-2.0
"""Encoding of a call: the segments of its request, and the compiled form of its source.

A source that runs many times in `fresh` workers is compiled once. A worker that is asked compiles
it and sends the code object as a note before it runs any of the source, so the program has no part
in it. The library keeps a call's first note alone. Later calls of the same source carry the form to
their workers; this process never reads it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pinfold._common.check import program_check, shown
from pinfold._wire import pack_request
from pinfold.call import EncodedCall, ProgramCall
from pinfold.codec.refusals import NotCarried
from pinfold.errors import InvalidCall

if TYPE_CHECKING:
    from pinfold.call import Call, WorkerCall
    from pinfold.limits import Limits


_SOURCES_MOST = 128
_CHARACTERS_MOST = 4 << 20


class CompiledForms:
    """The compiled forms of the sources that a pool ran last. Any thread may use them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: a garbage collection may settle calls
        self._forms: dict[str, bytes | None] = {}
        self._characters = 0

    def find(self, code: str) -> bytes | None:
        """Return the form of a source. Empty: the worker is to send it. None: this call is the
        source's first."""
        with self._lock:
            if code in self._forms:
                form = self._forms[code] = self._forms.pop(code)  # the last used is the last kept
                return form or b""
            self._forms[code] = None
            self._characters += len(code)
            while self._characters > _CHARACTERS_MOST or len(self._forms) > _SOURCES_MOST:
                oldest = next(iter(self._forms))
                self._characters -= len(oldest)
                del self._forms[oldest]
            return None

    def keep(self, code: str, form: bytes) -> None:
        """Keep the form that a worker sent; an empty one is none."""
        with self._lock:
            if form and code in self._forms:
                self._forms[code] = form


def request_of(
    call: Call, codec: str, limits: Limits, compiled: bytes | None = None
) -> list[bytes | memoryview]:
    """Encode a call. `compiled` is as in a `Request`. Raises InvalidCall."""
    if isinstance(call, ProgramCall):
        return pack_request(
            code=call.code,
            function="",
            encoded=[program_check.content("stdin", call.stdin)],
            python_path=call.python_path,
            env=call.env,
            codec=codec,
            limits=limits.of_kernel(),
            argv=call.argv,
            files=call.files,
            collect=call.collect,
            compiled=compiled,
        )
    try:
        return pack_request(
            code=call.code,
            function=call.function_name,
            **_arguments_of(call),
            python_path=call.python_path,
            env=call.env,
            codec=codec,
            limits=limits.of_kernel(),
            files=call.files,
            collect=call.collect,
            compiled=compiled,
        )
    except Exception as error:
        raise refusal_of(error) from error


def _arguments_of(call: WorkerCall | EncodedCall) -> dict[str, Any]:
    if isinstance(call, EncodedCall):
        return {"encoded": call.arguments}
    return {"args": call.args, "kwargs": call.kwargs}


def refusal_of(error: Exception) -> InvalidCall:
    """Return the error of a `WorkerCall` whose arguments could not be encoded."""
    if isinstance(error, NotCarried):
        path = error.path.replace("arguments[0]", "args", 1).replace("arguments[1]", "kwargs", 1)
        return InvalidCall(
            f"WorkerCall: {NotCarried(path, error.type_name, error.codec, error.what)}"
        )
    # The classes of the arguments decide which exceptions pickling raises.
    return InvalidCall(
        f"WorkerCall: the arguments cannot be encoded: {type(error).__name__}: {shown(str(error))}"
    )

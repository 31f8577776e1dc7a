# SPDX-License-Identifier: Apache-2.0
"""Encoding of a call: the segments of its request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinfold._common.check import shown
from pinfold._wire import pack_request
from pinfold.codec.refusals import NotCarried
from pinfold.errors import InvalidCall

if TYPE_CHECKING:
    from pinfold.call import WorkerCall
    from pinfold.limits import Limits


def request_of(call: WorkerCall, codec: str, limits: Limits) -> list[bytes | memoryview]:
    """Encode a call. Raises InvalidCall."""
    try:
        return pack_request(
            code=call.code,
            function=call.function_name,
            args=call.args,  # type: ignore[arg-type]  # a list or a tuple
            kwargs=call.kwargs,
            python_path=call.python_path,
            env=call.env,
            codec=codec,
            limits=limits.of_kernel(),
        )
    except NotCarried as error:
        path = error.path.replace("arguments[0]", "args", 1).replace("arguments[1]", "kwargs", 1)
        refusal = NotCarried(path, error.type_name, error.codec, error.what)
        raise InvalidCall(f"WorkerCall: {refusal}") from error
    except Exception as error:
        # The classes of the arguments decide which exceptions pickling raises.
        raise InvalidCall(
            "WorkerCall: the arguments cannot be encoded:"
            f" {type(error).__name__}: {shown(str(error))}"
        ) from error

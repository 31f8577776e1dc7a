# SPDX-License-Identifier: Apache-2.0
"""The imports that calls need and that opening a pool does not.

A program starts its first pool before it imports this module: see `Submitting.prepare`.
"""

from __future__ import annotations

from pinfold import errors
from pinfold._client import future, outcome, request
from pinfold._common.log import log
from pinfold.codec import refusals


class Calls:
    """Names of other modules, for code that must not import them before the pool has started."""

    CallFuture = future.CallFuture
    CompiledForms = request.CompiledForms
    RunsCode = refusals.RunsCode
    cancelled_error = staticmethod(errors.cancelled_error)
    error_of = staticmethod(errors.error_of)
    failed = staticmethod(outcome.failed)
    log = log
    request_of = staticmethod(request.request_of)
    result_of = staticmethod(outcome.result_of)

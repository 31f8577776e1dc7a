# SPDX-License-Identifier: Apache-2.0
"""The comparisons by name, of outputs and of values, and those of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from pinfold import codec
from pinfold._common.check import Check, shown
from pinfold.errors import CallTypeError, InvalidCall
from pinfold.grading import text, values
from pinfold.grading.shown import shown as described
from pinfold.grading.verdict import Difference

How = Literal["exact", "lines", "tokens", "equal", "close"]

Compare: TypeAlias = "How | Callable[[Any, Any], bool]"

TEXTS: dict[str, Callable[[bytes, bytes], Difference | None]] = {
    "exact": text.exact,
    "lines": text.lines,
    "tokens": text.tokens,
}
VALUES: dict[str, Callable[[Any, Any], Difference | None]] = {
    "equal": values.equal,
    "close": values.close,
}

compare_check = Check("compare", InvalidCall, CallTypeError)


def compare(got: object, expected: object, how: Compare = "tokens") -> bool:
    """Return whether a result counts as the expected one. See `difference`."""
    return difference(got, expected, how) is None


def difference(got: object, expected: object, how: Compare = "tokens") -> Difference | None:
    """Return what differs first between a result and the expected one, or None.

    Args:
        got, expected: with ``exact``, ``lines`` and ``tokens``, outputs: bytes, a contiguous
            buffer, or text, which is encoded as UTF-8. Else values.
        how: ``"exact"``: byte for byte. ``"lines"``: white space at the end of each line, and blank
            lines at the end, are ignored. ``"tokens"``: what white space separates, as numbers or
            text. ``"equal"``: values of the same types and contents. ``"close"``: values, and
            numbers to 1e-6. A callable ``how(got, expected)`` returns True if they match.

    Raises:
        InvalidCall, CallTypeError: `how` is unknown, one side is not of the kind that it compares,
            or the callable returned something else than a bool. An exception of the callable's own
            propagates as it is.
    """
    check_how("how", how, (*TEXTS, *VALUES))
    if callable(how):
        return of_callable(how, got, expected)
    if how in TEXTS:
        return TEXTS[how](as_bytes("got", got), as_bytes("expected", expected))
    return VALUES[how](got, expected)


def check_how(name: str, how: object, names: tuple[str, ...]) -> None:
    """Check that `how` is one of the names, or a callable."""
    if callable(how):
        return
    wanted = f"one of {', '.join(map(repr, names))}, or a callable"
    if not isinstance(how, str):
        compare_check.wrong_type(name, how, wanted)
    if how not in names:
        compare_check.wrong_value(name, how, wanted)


def of_callable(
    how: Callable[[Any, Any], bool], got: object, expected: object
) -> Difference | None:
    """Ask a comparison of the caller's own."""
    answer = how(got, expected)
    if type(answer) is not bool and type(answer).__name__ not in ("bool", "bool_"):
        # The truth of a score, a text or an array is seldom what was meant.
        raise CallTypeError(f"compare: the callable must return a bool, not {shown(answer)}")
    return None if answer else Difference("", described(expected), described(got))


def as_bytes(name: str, value: object) -> bytes:
    """Return an output as bytes."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            part = value[error.start : error.end]
            compare_check.wrong_value(name, part, "without surrogates that stand for no byte")
    try:
        return bytes(memoryview(value).cast("B"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        compare_check.wrong_type(name, value, "a str, bytes or a contiguous buffer")


def as_carried(name: str, value: object) -> tuple[object, int]:
    """Return a value as it comes out of the codec `data`, and the size of its encoded form.

    Raises `CallTypeError` for a value that the codec does not carry: no result is equal to it.
    """
    try:
        segments = codec.encode(value, "data", name)
    except codec.NotCarried as error:
        raise CallTypeError(f"{error}; no result of a call is equal to it") from error
    views = [memoryview(bytearray(segment)) for segment in segments]
    return codec.decode(views, "data", trusted=True), sum(view.nbytes for view in views)

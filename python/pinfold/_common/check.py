"""Validation that names the field and the value."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pinfold.errors import (
    CallTypeError,
    ConfigTypeError,
    InvalidCall,
    InvalidConfig,
    PinfoldError,
)

_SHOWN = 200  # characters of a value that a message repeats
_MOST_SECONDS = sys.float_info.max
_BITS = 2048  # of an int; Python refuses to write out the largest (sys.set_int_max_str_digits)


def shown(value: object) -> str:
    """The value as a message shows it: on one line, cut when it is long."""
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"an int of {value.bit_length()} bits"
    text = ascii(value) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


class Check:
    """Validates the fields of one class; its errors start with that class's name."""

    __slots__ = ("of_type", "of_value", "owner")

    def __init__(
        self, owner: str, of_value: type[PinfoldError], of_type: type[PinfoldError]
    ) -> None:
        self.owner = owner
        self.of_value = of_value
        self.of_type = of_type

    def wrong_type(self, name: str, value: object, wanted: str) -> NoReturn:
        raise self.of_type(
            f"{self.owner}: {name} must be {wanted}, not {type(value).__name__}: {shown(value)}"
        )

    def wrong_value(self, name: str, value: object, wanted: str) -> NoReturn:
        raise self.of_value(f"{self.owner}: {name} must be {wanted}, not {shown(value)}")

    def whole(self, name: str, value: object, least: int, most: int, *, none: bool = False) -> None:
        """An int of least .. most; None too where that is allowed."""
        wanted = f"an int of {least} .. {most}" + (" or None" if none else "")
        if value is None and none:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong_type(name, value, wanted)
        if not least <= value <= most:
            self.wrong_value(name, value, wanted)

    def seconds(self, name: str, value: object) -> float:
        """A positive number of seconds; infinity is one."""
        wanted = "a positive number of seconds"
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong_type(name, value, wanted)
        try:
            value = float(value)
        except OverflowError:
            self.wrong_value(name, value, f"{wanted}, at most {_MOST_SECONDS:.2g} or infinite")
        if math.isnan(value) or value <= 0:
            self.wrong_value(name, value, wanted)
        return value

    def flag(self, name: str, value: object) -> None:
        if not isinstance(value, bool):
            self.wrong_type(name, value, "a bool")

    def text(self, name: str, value: object, *, empty: bool = True) -> str:
        """A str that can be written as UTF-8."""
        if not isinstance(value, str):
            self.wrong_type(name, value, "a str")
        if not (value or empty):
            self.wrong_value(name, value, "not empty")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                self.wrong_value(name, value[error.start : error.end], "text without surrogates")
        return value

    def plain(self, name: str, value: object, *, empty: bool = False) -> str:
        """A str that can be a C string."""
        text = self.text(name, value, empty=empty)
        if "\0" in text:
            self.wrong_value(name, value, "without a NUL character")
        return text

    def choice(self, name: str, value: object, choices: tuple[str, ...]) -> str:
        """One of these. Of a subclass of str, of an enumeration's say, what it is without it."""
        wanted = "one of " + ", ".join(map(repr, choices))
        if not isinstance(value, str):
            self.wrong_type(name, value, wanted)
        text = str.__str__(value)
        if text not in choices:
            self.wrong_value(name, value, wanted)
        return text

    def path(self, name: str, value: object) -> str:
        """A path of str, without a NUL and not empty."""
        if not isinstance(value, str | os.PathLike):
            self.wrong_type(name, value, "a str or a path")
        path = os.fspath(value)
        if not isinstance(path, str):
            self.wrong_type(name, value, "a str or a path of str")
        if not path or "\0" in path:
            self.wrong_value(name, path, "a path, not empty and without a NUL character")
        return path

    def paths(self, name: str, value: object) -> tuple[str, ...]:
        """Some paths, in their order."""
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            self.wrong_type(name, value, "a list of paths")
        return tuple(self.path(name, path) for path in value)

    def items(self, name: str, value: object) -> list[Any]:
        """The items of an iterable, in a list that is nobody else's. A text or bytes are taken for
        the mistake that they are."""
        wanted = "an iterable, but no str or bytes"
        if isinstance(value, str | bytes | bytearray):
            self.wrong_type(name, value, wanted)
        try:
            found = iter(value)  # type: ignore[call-overload]
        except TypeError:  # a numpy array without dimensions, too
            self.wrong_type(name, value, wanted)
        return list(found)

    def variables(self, name: str, value: object) -> tuple[str, ...]:
        """Some names of environment variables."""
        names = self.texts(name, value)
        for variable in names:
            if "=" in variable:
                self.wrong_value(name, variable, "names that hold no '='")
        return names

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        """Some strings; one string alone is taken for the mistake that it is."""
        wanted = "a collection of str"
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            self.wrong_type(name, value, wanted)
        texts = tuple(value)
        for text in texts:
            if not isinstance(text, str):
                self.wrong_type(name, text, wanted)
            self.plain(name, text)
        return texts


config_check = Check("WorkerConfig", InvalidConfig, ConfigTypeError)
limits_check = Check("Limits", InvalidConfig, ConfigTypeError)
call_check = Check("WorkerCall", InvalidCall, CallTypeError)

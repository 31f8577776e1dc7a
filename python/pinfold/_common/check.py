# SPDX-License-Identifier: Apache-2.0
"""Validate arguments. The errors name the field and show the value."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from pinfold.errors import (
    CallTypeError,
    ConfigTypeError,
    InvalidCall,
    InvalidConfig,
    PinfoldError,
)

_SHOWN = 200  # the most characters of a value that a message shows
FILES_MOST = 10_000  # of one call
PATTERNS_MOST = 100
_MOST_SECONDS = sys.float_info.max
_BITS = 2048  # of the largest int that a message shows: sys.set_int_max_str_digits bounds them


def shown(value: object) -> str:
    """Return the value as a message shows it: on one line, truncated when it is long."""
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
        """Check an int of least .. most, or None if `none` allows that."""
        wanted = f"an int of {least} .. {most}" + (" or None" if none else "")
        if value is None and none:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong_type(name, value, wanted)
        if not least <= value <= most:
            self.wrong_value(name, value, wanted)

    def seconds(self, name: str, value: object) -> float:
        """Return a positive number of seconds as a float; infinity is allowed."""
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
        """Return a str that can be written as UTF-8."""
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
        """Return a str that can be a C string."""
        text = self.text(name, value, empty=empty)
        if "\0" in text:
            self.wrong_value(name, value, "without a NUL character")
        return text

    def choice(self, name: str, value: object, choices: tuple[str, ...]) -> str:
        """Return one of the choices, as a plain str also for a subclass such as an enumeration."""
        wanted = "one of " + ", ".join(map(repr, choices))
        if not isinstance(value, str):
            self.wrong_type(name, value, wanted)
        text = str.__str__(value)
        if text not in choices:
            self.wrong_value(name, value, wanted)
        return text

    def path(self, name: str, value: object) -> str:
        """Return a path as a str that is not empty and has no NUL."""
        if not isinstance(value, str | os.PathLike):
            self.wrong_type(name, value, "a str or a path")
        path = os.fspath(value)
        if not isinstance(path, str):
            self.wrong_type(name, value, "a str or a path of str")
        if not path or "\0" in path:
            self.wrong_value(name, path, "a path, not empty and without a NUL character")
        return path

    def paths(self, name: str, value: object) -> tuple[str, ...]:
        """Return a sequence of paths as a tuple."""
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            self.wrong_type(name, value, "a list of paths")
        return tuple(self.path(name, path) for path in value)

    def items(self, name: str, value: object) -> list[Any]:
        """Return the items of an iterable in a new list. A str or bytes is an error."""
        wanted = "an iterable, but no str or bytes"
        if isinstance(value, str | bytes | bytearray):
            self.wrong_type(name, value, wanted)
        try:
            found = iter(value)  # type: ignore[call-overload]
        except TypeError:  # such as a numpy array without dimensions
            self.wrong_type(name, value, wanted)
        return list(found)

    def variables(self, name: str, value: object) -> tuple[str, ...]:
        """Return names of environment variables as a tuple."""
        names = self.texts(name, value)
        for variable in names:
            if "=" in variable:
                self.wrong_value(name, variable, "names that hold no '='")
        return names

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        """Return a collection of str as a tuple. A single str is an error."""
        wanted = "a collection of str"
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            self.wrong_type(name, value, wanted)
        texts = tuple(value)
        for text in texts:
            if not isinstance(text, str):
                self.wrong_type(name, text, wanted)
            self.plain(name, text)
        return texts

    def files(self, name: str, value: object) -> dict[str, bytes | memoryview]:
        """Return the names of files, with their contents as buffers."""
        if not isinstance(value, Mapping):
            self.wrong_type(name, value, "a dict of names and contents")
        if len(value) > FILES_MOST:
            self.wrong_value(name, len(value), f"at most {FILES_MOST} files")
        checked = {}
        for path, content in value.items():
            checked[self.inner_path(name, path)] = self.content(f"{name}[{shown(path)}]", content)
        for path in checked:
            while "/" in path:
                path = path.rpartition("/")[0]
                if path in checked:
                    self.wrong_value(name, path, "a file and a directory of the same name")
        return checked

    def content(self, name: str, value: object) -> bytes | memoryview:
        """Return the bytes of a file: text in UTF-8, or any contiguous buffer, which is not
        copied."""
        if isinstance(value, str):
            return self.text(name, value).encode()
        if type(value) is bytes:
            return value
        try:
            return memoryview(value).cast("B")  # type: ignore[arg-type]
        except (TypeError, ValueError):
            self.wrong_type(name, value, "bytes, a contiguous buffer, or a str")

    def patterns(self, name: str, value: object) -> tuple[str, ...]:
        """Return patterns of files as a tuple."""
        patterns = self.texts(name, value)
        if len(patterns) > PATTERNS_MOST:
            self.wrong_value(name, len(patterns), f"at most {PATTERNS_MOST} patterns")
        return tuple(self.inner_path(name, pattern) for pattern in patterns)

    def inner_path(self, name: str, value: object) -> str:
        """Return the path of a file below a directory, or a pattern of such paths."""
        from pinfold._wire.json_head import fault_of_path  # few calls have files

        path = str.__str__(self.text(name, value))
        if (fault := fault_of_path(path)) is not None:
            raise self.of_value(f"{self.owner}: {name} has the path {shown(path)}, which {fault}")
        return path


config_check = Check("WorkerConfig", InvalidConfig, ConfigTypeError)
limits_check = Check("Limits", InvalidConfig, ConfigTypeError)
call_check = Check("WorkerCall", InvalidCall, CallTypeError)
program_check = Check("ProgramCall", InvalidCall, CallTypeError)
encoded_check = Check("EncodedCall", InvalidCall, CallTypeError)

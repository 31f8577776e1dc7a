# SPDX-License-Identifier: Apache-2.0
"""JSON texts that would cost a careless reader much more than their size suggests."""

from __future__ import annotations

from collections.abc import Callable

# Items of an array, each repeated until the text has the size wanted.
DENSE: dict[str, str] = {
    "empty arrays": "[]",
    "empty objects": "{}",
    "arrays of an empty array": "[[]]",
    "objects of an empty array": '{"":[]}',
    "objects of an empty object": '{"":{}}',
    "objects of six": '{"":0,"a":0,"b":0,"c":0,"d":0,"e":0}',
    "small ints": "0",
    "ints": "-6",
    "ints of 19 digits": "9" * 19,
    "ints of the most digits": "9" * 4932,
    "floats": "1e9",
    "floats of the most digits": "0." + "123456789" * 547,
    "tiny floats of the most digits": "0." + "0" * 4920 + "1e4",
    "floats halfway between two": "9007199254740993." + "0" * 4900 + "1",
    "floats of a long exponent": "1e-" + "9" * 4900,
    "text": '"\u0141"',
    "text of one wide character": '"' + "a" * 19 + "\U0001f600" + '"',
    "escapes": r'"\n"',
    "escapes of wide characters": r'"\ud83d\ude00"',
    "text of escapes": '"' + r"\u0141" * 100 + '"',
    "words": "null",
    "white space": " 0 \n\t\r",
}


def dense(name: str, size: int) -> bytes:
    """Return an array of so many items that its text has some `size` bytes."""
    item = DENSE[name]
    return f"[{','.join([item] * (size // (len(item.encode()) + 1)))}]".encode()


def whole(size: int) -> dict[str, bytes]:
    """Return texts of `size` bytes that are one thing."""
    names = ",".join(f'"{i:x}":0' for i in range(size // 9))
    return {
        "white space": b" " * size + b"0",
        "one text": b'"' + b"a" * size + b'"',
        "one text with a wide end": b'"' + b"a" * size + "\U0001f600".encode() + b'"',
        "one text of escapes": b'"' + rb"\ud83d\ude00" * (size // 12) + b'"',
        "one object": f"{{{names}}}".encode(),
    }


# What the reader refuses: a piece of the error's text, and the text.
REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an int of very many digits": ("more than 4932 digits", lambda: b"9" * 5_000_000),
    "a negative int of many digits": ("more than 4932 digits", lambda: b"-" + b"9" * 4933),
    "a fraction of very many digits": ("more than 4932 digits", lambda: b"0." + b"1" * 5_000_000),
    "an exponent of very many digits": ("more than 4932 digits", lambda: b"1e" + b"9" * 5_000_000),
    "arrays in one another": ("more than 200 containers", lambda: b"[" * 5_000_000),
    "objects in one another": ("more than 200 containers", lambda: b'{"":' * 1_000_000),
    "a text without an end": ("ends too early", lambda: b'"' + b"a" * 5_000_000),
    "a text of backslashes": ("ends too early", lambda: b'"' + b"\\" * 5_000_001),
    "an object without an end": ("ends too early", lambda: b'{"a":0'),
    "one name very often": ("one name twice", lambda: b"{" + b'"":0,' * 1_000_000 + b'"":0}'),
    "names that are equal without escapes": ("one name twice", lambda: rb'{"a":1,"\u0061":2}'),
}

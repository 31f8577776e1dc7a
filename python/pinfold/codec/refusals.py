# SPDX-License-Identifier: Apache-2.0
"""The errors of codecs."""

from __future__ import annotations

import errno

# The codec that carries more than this one.
_NEXT = {"data": "pickle", "json": "data"}

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)


def is_shortage(error: BaseException) -> bool:
    """Return whether a value cannot be read because of this process, not because of the value.

    The process lacks memory or descriptors, or cannot load a module.
    """
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    return isinstance(error, (MemoryError, ImportError))


def name_of(kind: type) -> str:
    """Return the module-qualified name of a type, without the module for builtins.

    Bypasses the metaclass, so that no code of the value's author runs.
    """
    try:
        module = type.__dict__["__module__"].__get__(kind)
        qualname = type.__dict__["__qualname__"].__get__(kind)
    except AttributeError:  # a class may delete its __module__
        return "(a class without a name)"
    return str(qualname) if module == "builtins" else f"{module}.{qualname}"


class NotCarried(TypeError):
    """A value that the chosen codec cannot carry; nothing was sent.

    Attributes: `path`, an expression that leads from the root to the refused part, such as
    ``result['best'][3]`` (a dict's key is ``list(result)[0]``); `type_name`, its module-qualified
    type; `codec`; `what`, the type or a closer description. The message is one sentence, and
    suggests what to do instead.
    """

    def __init__(self, path: str, type_name: str, codec: str = "data", what: str = "") -> None:
        self.path = path
        self.type_name = type_name
        self.codec = codec
        self.what = what or f"{_article(type_name)} {type_name}"
        verb = "return" if path.replace("list(", "").startswith("result") else "pass"
        way = f"{verb} plain data"
        if codec in _NEXT:
            way += f', or use codec="{_NEXT[codec]}"'
        shown = path if len(path) <= 200 else f"{path[:120]}...{path[-60:]}"
        super().__init__(f"{shown} is {self.what}, which the {codec!r} codec does not carry; {way}")

    def __reduce__(self) -> tuple[type[NotCarried], tuple[str, str, str, str]]:
        return NotCarried, (self.path, self.type_name, self.codec, self.what)


class Malformed(ValueError):
    """Bytes that the reader of `data` or `json` refuses: damaged, hostile, or of another version.

    The message says what is wrong and, if known, at which byte of the stream.
    """


class TooLarge(Malformed):
    """A value of the codec `data` or `json` that takes more memory than allowed."""


class RunsCode(Exception):
    """Reading this value would run code that it names, so nothing was read."""


class CannotDecode(Exception):
    """Unpickling raised an exception, which is the ``__cause__``."""


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeio" else "a"  # a user_code.Node, a uuid.UUID

# SPDX-License-Identifier: Apache-2.0
"""The program's source as the module ``user_code``."""

from __future__ import annotations

import _imp
import linecache
import marshal
import re
import sys
import warnings
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType

from pinfold._worker.code.lines import BOM, lines_of
from pinfold.codec.tags import USER_MODULE

NAME = USER_MODULE
FILE = "user_code.py"
SCRIPT = "main.py"

_DECLARED = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)

# A reused worker keeps compiled sources in the order of their last use. Their number and their
# characters are bounded, because a code object takes a few times the memory of its source.
KEPT_SOURCES = 128
KEPT_CHARACTERS = 4 << 20


# Names whose effects cannot be put back, or cost more to detect than a new worker.
LINGERING = (
    *("free_tool_id", "set_local_events", "register_at_fork", "unshare", "setns", "reconfigure"),
    *("importer_cache", "environ._data", "addLevelName", "lastResort", "_set_running_loop"),
    *("main_thread", "faulthandler.register"),
)

# Names by which a source reaches state that is compared only for sources with such a name.
REACHING = ("ctypes", "cffi", "dup2", "closerange", "F_DUPFD", "fileno=", "fcntl(", "ionice")


class Program:
    """One source: its text, its lines and its code object."""

    __slots__ = ("compiled", "file", "lines", "lingers", "reaches_c", "seeds", "text", "touches")

    def __init__(self, text: str, file: str = FILE) -> None:
        """`file` is the file name of the code: the path of the source's file, if there is one."""
        self.text = text.removeprefix(BOM)  # a file may begin with it
        self.file = file
        self.lines = lines_of(self.text)
        self.compiled: CodeType | None = None
        # The further comparisons that a reused worker makes after the call.
        self.reaches_c = any(name in text for name in REACHING)
        self.lingers = next((name for name in LINGERING if name in text), None)
        self.touches = any(name in text for name in ("__file__", "user_code", "filename", "source"))
        self.seeds = "seed" in text or "setstate" in text or "set_state" in text

    def execute(self) -> ModuleType:
        """Compile the source, if it is not yet compiled, and run it as the module ``user_code``.

        The module is in sys.modules and its lines are in linecache before its first line runs,
        because dataclasses, inspect, pickle and tracebacks look there. Raises the source's own
        exceptions.
        """
        # Without a modification time, linecache never compares the entry with a file of that name.
        linecache.cache[self.file] = (len(self.text), None, self.lines, self.file)
        code = self._compile() if self.compiled is None else self.compiled
        module = ModuleType(NAME)
        loader = Loader(self.text, self.file)
        module.__file__ = self.file
        module.__loader__ = loader
        module.__package__ = ""
        module.__spec__ = ModuleSpec(NAME, loader, origin=self.file)
        sys.modules[NAME] = module
        exec(code, module.__dict__)
        # The source may have replaced its own module, as in an import.
        return sys.modules.get(NAME, module)

    def compile_script(self) -> CodeType:
        """Compile the source as a file would be, whose encoding its first lines may declare."""
        declares = "coding" in self.text[:1000]
        source = self.encoded() if declares else self.text
        if declares and isinstance(source, str):
            source = source.encode()
        self.compiled = compile(source, self.file, "exec", dont_inherit=True)
        return self.compiled

    def adopt(self, form: bytes) -> None:
        """Use a compiled form of this source that `form` of another worker made."""
        code: CodeType = marshal.loads(form)
        _imp._fix_co_filename(code, self.file)
        self.compiled = code

    def form(self, *, script: bool) -> bytes:
        """Compile the source, and return its compiled form; b"": there is none that does the same.

        A source that does not compile, or not without a warning, has none: each run of it reports
        that.
        """
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                code = self.compile_script() if script else self._compile()
            except Exception:
                code = None
        if code is None or warned:
            self.compiled = None
            return b""
        return marshal.dumps(code)

    def _compile(self) -> CodeType:
        # dont_inherit: this file's __future__ imports must not apply to the program.
        self.compiled = compile(self.text, self.file, "exec", dont_inherit=True)
        return self.compiled

    def encoded(self) -> str | bytes:
        """Return the contents for a file of the source; a str is to be written in UTF-8."""
        return encoded(self.text) if "coding" in self.text[:1000] else self.text


def encoded(text: str) -> str | bytes:
    """Return the text in the encoding that its first two lines declare (PEP 263), else as it is."""
    for line in lines_of(text[:1000])[:2]:
        declared = _DECLARED.match(line)
        if declared is not None:
            try:
                return text.encode(declared[1])
            except (LookupError, UnicodeError):
                break
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return text


class Loader(SourceFileLoader):
    """The loader of ``user_code``. It returns the call's source, whatever became of the file.

    Deriving from importlib.abc.InspectLoader would import tempfile and random, and random's at-fork
    hook costs every fork of the template a quarter of a millisecond.
    """

    def __init__(self, text: str, file: str) -> None:
        super().__init__(NAME, file)
        self._text = text

    def get_source(self, fullname: str) -> str:
        return self._text

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        pass


class Programs:
    """The most recently used programs, found by their text."""

    def __init__(self, file: str = FILE) -> None:
        """`file` as in `Program`."""
        self._file = file
        self._kept: dict[str, Program] = {}
        self._characters = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Program:
        program = self._kept.pop(text, None)
        if program is None:
            program = Program(text, self._file)
            self._characters += len(text)
        self._kept[text] = program
        while self._characters > KEPT_CHARACTERS or len(self._kept) > KEPT_SOURCES:
            oldest = next(iter(self._kept))
            self._characters -= len(oldest)
            del self._kept[oldest]
        return program

# SPDX-License-Identifier: Apache-2.0
"""The program's source as the module ``user_code``."""

from __future__ import annotations

import _imp
import linecache
import marshal
import re
import sys
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

    __slots__ = (
        *("compiled", "file", "lasts", "lines", "lingers", "marked", "reaches_c", "seeds"),
        *("text", "touches"),
    )

    def __init__(self, text: str, file: str = FILE) -> None:
        """`file` is the file name of the code: the path of the source's file, if there is one."""
        self.text = text.removeprefix(BOM)  # a file may begin with it
        self.marked = text.startswith(BOM)
        self.file = file
        self.lines = lines_of(self.text)
        self.compiled: CodeType | None = None
        self.lasts = True
        """Whether the code object serves later calls, too."""
        # The further comparisons that a reused worker makes after the call.
        self.reaches_c = any(name in text for name in REACHING)
        self.lingers = next((name for name in LINGERING if name in text), None)
        self.touches = any(name in text for name in ("__file__", "user_code", "filename", "source"))
        self.seeds = "seed" in text or "setstate" in text or "set_state" in text

    def execute(self) -> ModuleType:
        """Run the compiled source as the module ``user_code``.

        The module is in sys.modules and its lines are in linecache before its first line runs,
        because dataclasses, inspect, pickle and tracebacks look there. Raises the source's own
        exceptions.
        """
        assert self.compiled is not None
        module = ModuleType(NAME)
        loader = Loader(self.text, self.file)
        module.__file__ = self.file
        module.__loader__ = loader
        module.__package__ = ""
        module.__spec__ = ModuleSpec(NAME, loader, origin=self.file)
        sys.modules[NAME] = module
        exec(self.compiled, module.__dict__)
        # The source may have replaced its own module, as in an import.
        return sys.modules.get(NAME, module)

    def compile(self) -> None:
        """Compile the source. Raises its own exceptions, such as SyntaxError."""
        # Without a modification time, linecache never compares the entry with a file of that name.
        linecache.cache[self.file] = (len(self.text), None, self.lines, self.file)
        # dont_inherit: this file's __future__ imports must not apply to the program.
        self.compiled = compile(self.text, self.file, "exec", dont_inherit=True)

    def compile_script(self) -> None:
        """Compile the source as that of a file, whose first lines may declare its encoding."""
        whole = "coding" in self.text[:1000] or self.marked
        source = self.content() if whole else self.text
        self.compiled = compile(source, self.file, "exec", dont_inherit=True)

    def load(self, form: bytes | memoryview) -> None:
        """Take a compiled form instead of compiling the source (`form`)."""
        compiled = marshal.loads(form)
        _imp._fix_co_filename(compiled, self.file)  # type: ignore[attr-defined]  # that of the worker that compiled it
        self.compiled = compiled

    def form(self) -> bytes:
        """Return the compiled form."""
        return marshal.dumps(self.compiled)

    def content(self) -> bytes:
        """Return the content of the file of a script: the whole text in UTF-8, which is what a
        caller would write, whatever encoding its first lines declare."""
        text = BOM + self.text if self.marked else self.text
        return text.encode(errors="surrogatepass")

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
        self.file = file
        self._kept: dict[str, Program] = {}
        self._characters = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Program:
        program = self._kept.pop(text, None)
        if program is not None and not program.lasts:
            program.compiled = None
        if program is None:
            program = Program(text, self.file)
            self._characters += len(text)
        self._kept[text] = program
        while self._characters > KEPT_CHARACTERS or len(self._kept) > KEPT_SOURCES:
            oldest = next(iter(self._kept))
            self._characters -= len(oldest)
            del self._kept[oldest]
        return program

# SPDX-License-Identifier: Apache-2.0
"""Programs that look at themselves: ``__main__``, their file, directory, path and arguments."""

from __future__ import annotations

from corpus.entry import Case, program

SIBLING = {"sibling.py": b"VALUE = 7\ndef f(): return __name__, VALUE\n"}

PROGRAMS = [
    program("name_is_main", "if __name__ == '__main__':\n    print('main')\n", quick=True),
    program("module_globals", "print(sorted(globals()))\n", quick=True),
    program(
        "module_attributes",
        "import sys\nm = sys.modules['__main__']\nprint(m.__name__, m.__package__, m.__spec__, m.__doc__, m.__cached__)\nprint(type(m.__loader__).__name__, m.__dict__ is globals(), m.__builtins__)\n",
    ),
    program("module_repr", "import __main__\nprint(__main__)\n", quick=True),
    program(
        "loader",
        "print(__loader__.name, __loader__.is_package('__main__'), __loader__.get_source('__main__'), __loader__)\n",
        addresses=True,
    ),
    program(
        "file_and_paths",
        r"""
import os, sys
print(os.path.basename(__file__), os.path.isabs(__file__), sys.argv)
here = os.path.dirname(__file__)
print(sys.path[0] == here, os.getcwd() == here, os.path.samefile(".", here))
print(os.path.realpath(__file__) == os.path.join(os.path.realpath("."), "main.py"))
print(__file__ == os.path.abspath(sys.argv[0]))
""",
        quick=True,
    ),
    program(
        "reads_its_own_file",
        "print(open(__file__).read())\nprint(open('main.py', 'rb').read() == open(__file__, 'rb').read())\n# ü\n",
    ),
    program("reads_its_own_odd_file", "\ufeff# mark\r\nprint(open(__file__, 'rb').read())\r\n"),
    program("a_quine", "s = 's = %r\\nprint(s %% s)'\nprint(s % s)\n"),
    program(
        "lists_its_directory",
        "import os\nprint(sorted(os.listdir()))\nprint([e.name for e in os.scandir('.')])\n",
        quick=True,
    ),
    program(
        "walks_its_directory",
        "import os\nfor d, ds, fs in os.walk('.'):\n    ds.sort()\n    print(d, ds, sorted(fs))\n",
        Case(files={"a/b/c.txt": b"x", "a/d": b"", "e.bin": b"\0"}),
    ),
    program(
        "status_of_its_file",
        "import os, stat\ns = os.stat(__file__)\nprint(stat.filemode(s.st_mode), s.st_size, s.st_nlink, s.st_uid == os.getuid())\nprint(os.access(__file__, os.W_OK), os.access('.', os.W_OK))\n",
    ),
    program(
        "path_objects",
        "from pathlib import Path\np = Path(__file__)\nprint(p.name, p.stem, p.parent == Path.cwd(), p.read_text() != '', sorted(p.parent.iterdir()) == [p])\n",
    ),
    program(
        "writes_beside_itself",
        "import os\nopen('out.txt', 'w').write('x')\nos.makedirs('d/e')\nos.rename('out.txt', 'd/e/f')\nprint(sorted(os.listdir()), open('d/e/f').read())\n",
    ),
    program(
        "changes_directory",
        "import os, sys\nos.mkdir('sub')\nos.chdir('sub')\nprint(os.path.basename(os.getcwd()), os.listdir(), os.path.exists(__file__), sys.path[0] == os.path.dirname(__file__))\nimport json\n",
    ),
    program(
        "removes_its_directory",
        "import os, shutil\nshutil.rmtree(os.getcwd())\ntry:\n    os.getcwd()\nexcept FileNotFoundError as e:\n    print(e)\nimport colorsys\nprint('imported')\n",
    ),
    program(
        "import_sibling",
        "import sibling\nprint(sibling.f(), sibling.__file__ == __file__.replace('main', 'sibling'))\n",
        Case(files=SIBLING),
        quick=True,
    ),
    program(
        "import_sibling_leaves_a_cache",
        "import sibling, os\nprint(sorted(os.listdir()), sorted(os.listdir('__pycache__')) if os.path.exists('__pycache__') else None)\n",
        Case(files=SIBLING),
    ),
    program(
        "import_package",
        "import pack.inner as i, pack\nprint(i.__name__, i.__package__, pack.__path__ is not None, i.X)\nfrom pack import *\nprint(Y)\n",
        Case(
            files={
                "pack/__init__.py": b"__all__ = ['Y']\nY = 1\n",
                "pack/inner.py": b"from . import Y as X\n",
            }
        ),
    ),
    program(
        "import_namespace_package",
        "import space.inner\nprint(space.inner.X, space)\n",
        Case(files={"space/inner.py": b"X = 3\n"}),
        addresses=True,
    ),
    program("relative_import_fails", "from . import sibling\n", Case(files=SIBLING)),
    program("import_main", "import main\nprint('imported', __name__, main.__name__)\n"),
    program(
        "import_main_once_more",
        "print('running as', __name__)\nif __name__ == '__main__':\n    import main, sys\n    print(main is sys.modules['__main__'], main.__file__ == __file__)\n",
    ),
    program(
        "import_dunder_main",
        "import __main__\nx = 5\nprint(__main__.x, __main__.__name__)\n__main__.y = 6\nprint(y)\n",
        quick=True,
    ),
    program(
        "sibling_uses_main",
        "x = 9\nimport other\n",
        Case(
            files={
                "other.py": b"import __main__\nprint(__main__.x)\nfrom __main__ import x\nprint(x)\n"
            }
        ),
    ),
    program(
        "shadows_the_library",
        "import random\nprint(random.x)\n",
        Case(files={"random.py": b"x = 'mine'\n"}),
        quick=True,
    ),
    program(
        "shadows_what_is_loaded",
        "import json, string, collections\nprint(json.x, string.x, hasattr(collections, 'OrderedDict'))\n",
        Case(
            files={
                "json.py": b"x = 'mine'\n",
                "string/__init__.py": b"x = 'my package'\n",
                "collections.py": b"x = 1\n",
            }
        ),
    ),
    program(
        "shadows_a_builtin_module",
        "import sys, time, math\nprint(hasattr(sys, 'path'), hasattr(time, 'time'), hasattr(math, 'x'))\n",
        Case(files={"sys.py": b"x = 1\n", "time.py": b"x = 1\n", "math.py": b"x = 1\n"}),
    ),
    program(
        "shadows_numpy", "import numpy\nprint(numpy.x)\n", Case(files={"numpy.py": b"x = 'mine'\n"})
    ),
    program(
        "runs_a_file",
        "import runpy\nprint(sorted(k for k in runpy.run_path('sibling.py', run_name='x') if k[0] != '_'))\nrunpy.run_module('sibling', run_name='__main__')\nrunpy.run_path('bad.py')\n",
        Case(files={**SIBLING, "bad.py": b"1/0\n"}),
    ),
    program(
        "runs_a_module_as_main",
        "import runpy, sys\nsys.argv = ['x', '1 2']\nrunpy.run_module('ast_tool', run_name='__main__', alter_sys=True)\nprint(sys.argv)\n",
        Case(files={"ast_tool.py": b"import sys\nprint(__name__, sys.argv[1:])\n"}),
    ),
    program(
        "executes_a_file",
        "exec(open('part.py').read())\nprint(z)\nexec(compile(open('part.py').read(), 'part.py', 'exec'))\n",
        Case(files={"part.py": b"z = globals().get('z', 0) + 1\nif z > 1: 1/0\n"}),
    ),
    program(
        "import_by_importlib",
        "import importlib, importlib.util as u, sys\nm = importlib.import_module('sibling')\nspec = u.spec_from_file_location('other_name', 'sibling.py')\nn = u.module_from_spec(spec)\nspec.loader.exec_module(n)\nprint(m.f(), n.f(), 'other_name' in sys.modules)\nopen('sibling.py', 'a').write('VALUE = 800\\n')\nprint(importlib.reload(m).VALUE)\n",
        Case(files=SIBLING),
    ),
    program("reload_main_fails", "import importlib, __main__\nimportlib.reload(__main__)\n"),
    program(
        "import_of_a_written_module",
        "open('made.py', 'w').write('x = 1\\n')\nimport made\nprint(made.x)\n",
    ),
    program(
        "import_from_a_zip",
        "import sys, zipfile\nwith zipfile.ZipFile('z.zip', 'w') as z:\n    z.writestr('inzip.py', 'print(__name__); 1/0\\n')\nsys.path.insert(0, 'z.zip')\nimport inzip\n",
    ),
    program(
        "path_changed",
        "import sys\nsys.path.insert(0, 'lib')\nimport sibling\nprint(sibling.VALUE)\n",
        Case(files={"lib/sibling.py": b"VALUE = 'lib'\n"}),
    ),
    program(
        "sys_path_has_its_directory_first",
        "import sys, os\nprint(sys.path[0] == os.getcwd(), '' in sys.path, [p for p in sys.path if os.path.basename(p).startswith('pinfold')])\n",
    ),
    program(
        "sys_names",
        "import sys\nprint(sys.orig_argv[1:], os.path.basename(sys.executable) if 'os' in globals() else '', sys.flags, sys.dont_write_bytecode)\nprint(sys.warnoptions, sys._xoptions, sys.pycache_prefix)\n",
        Case(argv=("a",)),
    ),
    program(
        "interactive_names_are_missing",
        "import sys\nprint(hasattr(sys, 'ps1'), hasattr(sys, 'last_type'), hasattr(sys, 'tracebacklimit'))\n",
    ),
    program(
        "modules_of_the_runtime_are_hidden",
        "import sys\nprint(sorted(m for m in sys.modules if 'pinfold' in m))\n",
    ),
    program(
        "loaded_modules",
        "import sys\nprint('__main__' in sys.modules, 'main' in sys.modules, 'os' in sys.modules)\n",
    ),
    program(
        "get_source",
        r"""
import inspect

def f(x):
    # a comment
    return x + 1

class C:
    def g(self): pass

print(inspect.getsource(f))
print(inspect.getsource(C))
print(inspect.getsourcelines(C.g), inspect.getsourcefile(f) == __file__, inspect.getmodule(f))
print(inspect.signature(f), inspect.getcomments(f), inspect.getdoc(f))
""",
        quick=True,
    ),
    program(
        "stack_of_the_module",
        "import inspect\nprint([(s.function, s.lineno, s.code_context) for s in inspect.stack()])\n",
    ),
    program(
        "frames_below",
        "import sys\nf, names = sys._getframe(), []\nwhile f:\n    names.append(f.f_code.co_name)\n    f = f.f_back\nprint(names)\n",
        quick=True,
    ),
    program(
        "threads_of_the_process",
        "import threading, os\nprint(threading.active_count(), threading.current_thread().name, threading.main_thread() is threading.current_thread())\nprint(len(os.listdir('/proc/self/task')))\n",
    ),
    program(
        "pickles_its_classes",
        r"""
import pickle

class Node:
    def __init__(self, x): self.x = x
    def __eq__(self, o): return self.x == o.x

data = pickle.dumps([Node(1), Node])
print(b"__main__" in data, pickle.loads(data) == [Node(1), Node])
""",
        quick=True,
    ),
    program(
        "dataclasses_and_enums",
        r"""
from dataclasses import dataclass, field, asdict
from enum import Enum, auto
from typing import NamedTuple

class Color(Enum):
    RED = auto()
    BLUE = "b"

@dataclass(order=True)
class P:
    x: int
    y: "list[int]" = field(default_factory=list)

class T(NamedTuple):
    a: int
    b: str = "z"

print(Color.RED, repr(Color.BLUE), P(1), asdict(P(2, [3])), P(1) < P(2), T(5), Color, P)
P()
""",
    ),
    program(
        "exec_and_eval",
        "x = 1\nexec('x += 1; y = x')\nprint(x, y, eval('x + y'))\nexec('z = 1', {'__builtins__': {}})\ng = {}\nexec('import os; w = 5', g)\nprint(sorted(g))\neval('nope')\n",
    ),
    program(
        "builtins_patched",
        "import builtins\nold = print\nbuiltins.print = lambda *a, **k: old('patched', *a, **k)\nprint('x')\nbuiltins.answer = 42\nprint(answer)\ndel builtins.len\nlen([])\n",
    ),
    program(
        "globals_deleted",
        "del __name__, __file__\nprint(sorted(k for k in globals() if k != '__annotations__'))\nclass C: pass\n",
    ),
    program(
        "main_removed_from_modules",
        "import sys\ndel sys.modules['__main__']\nprint('goes on')\nclass C: pass\nprint(C)\n",
    ),
    program(
        "main_replaced_in_modules",
        "import sys, types\nnew = types.ModuleType('__main__')\nnew.x = 1\nsys.modules['__main__'] = new\nimport __main__\nprint(__main__.x, __name__)\n",
    ),
    program("modules_cleared", "import sys\nprint('x')\nsys.modules.clear()\nprint('y')\n"),
    program("sys_modules_none", "import sys\nsys.modules['json'] = None\nimport json\n"),
    program(
        "os_environment",
        "import os\nprint('PATH' in os.environ, os.environ.get('NOPE'), os.getenv('PYTHONHASHSEED'))\nos.environ['NEW'] = 'x'\nprint(os.popen('echo $NEW').read())\n",
    ),
    program(
        "user_and_groups",
        "import os, pwd\nprint(os.getuid() == os.geteuid(), os.umask(0o22) == 0o22)\n",
    ),
    program(
        "argv_changed",
        "import sys\nsys.argv.append('more')\nsys.argv[0] = 'renamed'\nprint(sys.argv)\n1/0\n",
        Case(argv=("-x",)),
    ),
    program(
        "argv_with_odd_bytes",
        "import sys\nprint([ascii(a) for a in sys.argv])\n",
        Case(argv=("caf\udce9", "日本", "a\nb", "-c", "--help", "-")),
    ),
]

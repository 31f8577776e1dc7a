# SPDX-License-Identifier: Apache-2.0
"""Programs that look at themselves: ``__main__``, their file, directory, path and arguments."""

from __future__ import annotations

from program_corpus.entry import NO_PROC_OF_ITS_OWN, Case, program

SIBLING = {"sibling.py": b"VALUE = 7\ndef f(): return __name__, VALUE\n"}

PROGRAMS = [
    program(
        "name_is_main",
        r"""
if __name__ == '__main__':
    print('main')
""",
        quick=True,
    ),
    program("module_globals", "print(sorted(globals()))\n", quick=True),
    program(
        "module_attributes",
        r"""
import sys
m = sys.modules['__main__']
print(m.__name__, m.__package__, m.__spec__, m.__doc__, m.__cached__)
print(type(m.__loader__).__name__, m.__dict__ is globals(), m.__builtins__)
""",
    ),
    program(
        "module_repr",
        r"""
import __main__
print(__main__)
""",
        quick=True,
    ),
    program(
        "loader",
        r"""
print(__loader__.name, __loader__.is_package('__main__'), __loader__.get_source('__main__'), __loader__)
""",
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
        r"""
print(open(__file__).read())
print(open('main.py', 'rb').read() == open(__file__, 'rb').read())
# ü
""",
    ),
    program("reads_its_own_odd_file", "\ufeff# mark\r\nprint(open(__file__, 'rb').read())\r\n"),
    program(
        "a_quine",
        r"""
s = 's = %r\nprint(s %% s)'
print(s % s)
""",
    ),
    program(
        "lists_its_directory",
        r"""
import os
print(sorted(os.listdir()))
print([e.name for e in os.scandir('.')])
""",
        quick=True,
    ),
    program(
        "walks_its_directory",
        r"""
import os
for d, ds, fs in os.walk('.'):
    ds.sort()
    print(d, ds, sorted(fs))
""",
        Case(files={"a/b/c.txt": b"x", "a/d": b"", "e.bin": b"\0"}),
    ),
    program(
        "status_of_its_file",
        r"""
import os, stat
s = os.stat(__file__)
print(stat.filemode(s.st_mode), s.st_size, s.st_nlink, s.st_uid == os.getuid())
print(os.access(__file__, os.W_OK), os.access('.', os.W_OK))
""",
    ),
    program(
        "path_objects",
        r"""
from pathlib import Path
p = Path(__file__)
print(p.name, p.stem, p.parent == Path.cwd(), p.read_text() != '', sorted(p.parent.iterdir()) == [p])
""",
    ),
    program(
        "writes_beside_itself",
        r"""
import os
open('out.txt', 'w').write('x')
os.makedirs('d/e')
os.rename('out.txt', 'd/e/f')
print(sorted(os.listdir()), open('d/e/f').read())
""",
    ),
    program(
        "changes_directory",
        r"""
import os, sys
os.mkdir('sub')
os.chdir('sub')
print(os.path.basename(os.getcwd()), os.listdir(), os.path.exists(__file__), sys.path[0] == os.path.dirname(__file__))
import json
""",
    ),
    program(
        "removes_its_directory",
        r"""
import os, shutil
shutil.rmtree(os.getcwd())
try:
    os.getcwd()
except FileNotFoundError as e:
    print(e)
import colorsys
print('imported')
""",
    ),
    program(
        "import_sibling",
        r"""
import sibling
print(sibling.f(), sibling.__file__ == __file__.replace('main', 'sibling'))
""",
        Case(files=SIBLING),
        quick=True,
    ),
    program(
        "import_sibling_leaves_a_cache",
        r"""
import sibling, os
print(sorted(os.listdir()), sorted(os.listdir('__pycache__')) if os.path.exists('__pycache__') else None)
""",
        Case(files=SIBLING),
    ),
    program(
        "import_package",
        r"""
import pack.inner as i, pack
print(i.__name__, i.__package__, pack.__path__ is not None, i.X)
from pack import *
print(Y)
""",
        Case(
            files={
                "pack/__init__.py": b"__all__ = ['Y']\nY = 1\n",
                "pack/inner.py": b"from . import Y as X\n",
            }
        ),
    ),
    program(
        "import_namespace_package",
        r"""
import space.inner
print(space.inner.X, space.__name__, space.__file__, len(space.__path__))
""",
        Case(files={"space/inner.py": b"X = 3\n"}),
        addresses=True,
    ),
    program("relative_import_fails", "from . import sibling\n", Case(files=SIBLING)),
    program(
        "import_main",
        r"""
import main
print('imported', __name__, main.__name__)
""",
    ),
    program(
        "import_main_once_more",
        r"""
print('running as', __name__)
if __name__ == '__main__':
    import main, sys
    print(main is sys.modules['__main__'], main.__file__ == __file__)
""",
    ),
    program(
        "import_dunder_main",
        r"""
import __main__
x = 5
print(__main__.x, __main__.__name__)
__main__.y = 6
print(y)
""",
        quick=True,
    ),
    program(
        "sibling_uses_main",
        r"""
x = 9
import other
""",
        Case(
            files={
                "other.py": b"import __main__\nprint(__main__.x)\nfrom __main__ import x\nprint(x)\n"
            }
        ),
    ),
    program(
        "shadows_the_library",
        r"""
import random
print(random.x)
""",
        Case(files={"random.py": b"x = 'mine'\n"}),
        quick=True,
    ),
    program(
        "shadows_what_is_loaded",
        r"""
import json, string, collections
print(json.x, string.x, hasattr(collections, 'OrderedDict'))
""",
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
        r"""
import sys, time, math
print(hasattr(sys, 'path'), hasattr(time, 'time'), hasattr(math, 'x'))
""",
        Case(files={"sys.py": b"x = 1\n", "time.py": b"x = 1\n", "math.py": b"x = 1\n"}),
    ),
    program(
        "shadows_numpy",
        r"""
import numpy
print(numpy.x)
""",
        Case(files={"numpy.py": b"x = 'mine'\n"}),
    ),
    program(
        "runs_a_file",
        r"""
import runpy
print(sorted(k for k in runpy.run_path('sibling.py', run_name='x') if k[0] != '_'))
runpy.run_module('sibling', run_name='__main__')
runpy.run_path('bad.py')
""",
        Case(files={**SIBLING, "bad.py": b"1/0\n"}),
    ),
    program(
        "runs_a_module_as_main",
        r"""
import runpy, sys
sys.argv = ['x', '1 2']
runpy.run_module('ast_tool', run_name='__main__', alter_sys=True)
print(sys.argv)
""",
        Case(files={"ast_tool.py": b"import sys\nprint(__name__, sys.argv[1:])\n"}),
    ),
    program(
        "executes_a_file",
        r"""
exec(open('part.py').read())
print(z)
exec(compile(open('part.py').read(), 'part.py', 'exec'))
""",
        Case(files={"part.py": b"z = globals().get('z', 0) + 1\nif z > 1: 1/0\n"}),
    ),
    program(
        "import_by_importlib",
        r"""
import importlib, importlib.util as u, sys
m = importlib.import_module('sibling')
spec = u.spec_from_file_location('other_name', 'sibling.py')
n = u.module_from_spec(spec)
spec.loader.exec_module(n)
print(m.f(), n.f(), 'other_name' in sys.modules)
open('sibling.py', 'a').write('VALUE = 800\n')
print(importlib.reload(m).VALUE)
""",
        Case(files=SIBLING),
    ),
    program(
        "reload_main_fails",
        r"""
import importlib, __main__
importlib.reload(__main__)
""",
    ),
    program(
        "import_of_a_written_module",
        r"""
open('made.py', 'w').write('x = 1\n')
import made
print(made.x)
""",
    ),
    program(
        "import_from_a_zip",
        r"""
import sys, zipfile
with zipfile.ZipFile('z.zip', 'w') as z:
    z.writestr('inzip.py', 'print(__name__); 1/0\n')
sys.path.insert(0, 'z.zip')
import inzip
""",
    ),
    program(
        "path_changed",
        r"""
import sys
sys.path.insert(0, 'lib')
import sibling
print(sibling.VALUE)
""",
        Case(files={"lib/sibling.py": b"VALUE = 'lib'\n"}),
    ),
    program(
        "sys_path_has_its_directory_first",
        r"""
import sys, os
print(sys.path[0] == os.getcwd(), '' in sys.path)
""",
    ),
    program(
        "sys_names",
        r"""
import sys
print(sys.orig_argv[1:], os.path.basename(sys.executable) if 'os' in globals() else '', sys.flags, sys.dont_write_bytecode)
print(sys.warnoptions, sys._xoptions, sys.pycache_prefix)
""",
        Case(argv=("a",)),
    ),
    program(
        "interactive_names_are_missing",
        r"""
import sys
print(hasattr(sys, 'ps1'), hasattr(sys, 'last_type'), hasattr(sys, 'tracebacklimit'))
""",
    ),
    program(
        "modules_of_the_runtime_are_hidden",
        r"""
import sys
print(sorted(m for m in sys.modules if 'pinfold' in m))
""",
    ),
    program(
        "loaded_modules",
        r"""
import sys
print('__main__' in sys.modules, 'main' in sys.modules, 'os' in sys.modules)
""",
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
        r"""
import inspect
print([(s.function, s.lineno, s.code_context) for s in inspect.stack()])
""",
    ),
    program(
        "frames_below",
        r"""
import sys
f, names = sys._getframe(), []
while f:
    names.append(f.f_code.co_name)
    f = f.f_back
print(names)
""",
        quick=True,
    ),
    program(
        "threads_of_the_process",
        r"""
import threading, os
print(threading.active_count(), threading.current_thread().name, threading.main_thread() is threading.current_thread())
print(len(os.listdir('/proc/self/task')))
""",
        differs={"collect standard": NO_PROC_OF_ITS_OWN},
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
        r"""
x = 1
exec('x += 1; y = x')
print(x, y, eval('x + y'))
exec('z = 1', {'__builtins__': {}})
g = {}
exec('import os; w = 5', g)
print(sorted(g))
eval('nope')
""",
    ),
    program(
        "builtins_patched",
        r"""
import builtins
old = print
builtins.print = lambda *a, **k: old('patched', *a, **k)
print('x')
builtins.answer = 42
print(answer)
del builtins.len
len([])
""",
    ),
    program(
        "globals_deleted",
        r"""
del __name__, __file__
print(sorted(k for k in globals() if k != '__annotations__'))
class C: pass
""",
    ),
    program(
        "main_removed_from_modules",
        r"""
import sys
del sys.modules['__main__']
print('goes on')
class C: pass
print(C)
""",
    ),
    program(
        "main_replaced_in_modules",
        r"""
import sys, types
new = types.ModuleType('__main__')
new.x = 1
sys.modules['__main__'] = new
import __main__
print(__main__.x, __name__)
""",
    ),
    program(
        "modules_cleared",
        r"""
import sys
print('x')
sys.modules.clear()
print('y')
""",
    ),
    program(
        "sys_modules_none",
        r"""
import sys
sys.modules['json'] = None
import json
""",
    ),
    program(
        "os_environment",
        r"""
import os
print('PATH' in os.environ, os.environ.get('NOPE'), os.getenv('PYTHONHASHSEED'))
os.environ['NEW'] = 'x'
print(os.popen('echo $NEW').read())
""",
    ),
    program(
        "user_and_groups",
        r"""
import os, pwd
print(os.getuid() == os.geteuid(), os.umask(0o22) == 0o22)
""",
    ),
    program(
        "argv_changed",
        r"""
import sys
sys.argv.append('more')
sys.argv[0] = 'renamed'
print(sys.argv)
1/0
""",
        Case(argv=("-x",)),
    ),
    program(
        "argv_with_odd_text",
        r"""
import sys
print([ascii(a) for a in sys.argv])
""",
        Case(argv=("café", "日本", "a\nb", "-c", "--help", "-")),
    ),
]

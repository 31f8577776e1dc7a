# SPDX-License-Identifier: Apache-2.0
"""Programs that read, print and end in the usual ways, and in unusual ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pinfold import ProgramCall


@dataclass(frozen=True)
class Script:
    code: str
    stdin: bytes = b""
    argv: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    def call(self) -> ProgramCall:
        return ProgramCall(self.code, argv=self.argv, stdin=self.stdin, files=self.files)


SCRIPTS: dict[str, Script] = {
    "input": Script("a, b = map(int, input().split())\nprint(a + b)\n", b"3 4\n"),
    "input_to_its_end": Script(
        "n = 0\ntry:\n    while True:\n        n += int(input())\nexcept EOFError:\n    print(n)\n",
        b"1\n2\n3",
    ),
    "input_prompts": Script("print(input('name? '), input())", b"x\ny\n"),
    "input_at_the_end": Script("input()"),
    "sys_stdin": Script(
        "import sys\nfor i, line in enumerate(sys.stdin): print(i, repr(line))", b"a\r\nb\rc\n\nd"
    ),
    "stdin_buffer": Script(
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])", bytes(range(256))
    ),
    "descriptor_0": Script(
        "import os\nwhile data := os.read(0, 7): os.write(1, data + b'|')", b"x" * 50
    ),
    "open_0": Script("print(sum(map(int, open(0).read().split())))", b"1 2\n3\n"),
    "stdin_is_a_file": Script(
        "import os, stat, sys\n"
        "status = os.fstat(0)\n"
        "print(stat.S_ISREG(status.st_mode), status.st_size, os.lseek(0, 0, 1), sys.stdin.seekable())\n"
        "print(sys.stdin.readline(), os.lseek(0, 0, 1), sys.stdin.fileno(), sys.stdin.isatty())\n"
        "sys.stdin.seek(0)\nprint(sys.stdin.read())\n",
        b"line\nrest\n",
    ),
    "stdin_no_utf8": Script(
        "import sys\ntext = sys.stdin.read()\nprint(ascii(text), len(text))", b"caf\xe9 \xff\xfe\n"
    ),
    "stdin_echo_no_utf8": Script("print(input())", b"caf\xe9\n"),
    "dev_stdin": Script("print(open('/dev/stdin').read(), end='')", b"a\nb\n"),
    "map_stdin": Script("import mmap\nprint(mmap.mmap(0, 0, prot=mmap.PROT_READ)[:])", b"mapped"),
    "child_reads_the_rest": Script(
        "import os, subprocess, sys\n"
        "print(os.read(0, 2))\nsys.stdout.flush()\nsubprocess.run(['cat'])\n",
        b"abcdef",
    ),
    "streams": Script(
        "import sys\n"
        "for s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s, s.buffer, s.buffer.raw, s.encoding, s.errors, s.mode, s.name, s.newlines,\n"
        "          s.line_buffering, s.write_through, s.fileno(), s.isatty(), s.closed,\n"
        "          s is getattr(sys, '__' + s.name[1:-1] + '__'))\n"
    ),
    "main": Script(
        "import sys\n"
        "print([(k, v) for k, v in globals().items() if k not in ('__loader__', 'sys')])\n"
        "print(list(globals()), type(__loader__), __loader__.name, __loader__.path, __builtins__)\n"
        "print(sys.modules['__main__'].__dict__ is globals(), sys.argv, sys.path[0], sys.orig_argv[1:])\n"
        "import __main__; print(__main__.__file__, sys.flags)\n"
        "print(sorted(vars(sys).keys() & {'last_type', 'ps1', 'last_exc'}))\n",
        argv=("-v", "two words", "", "é"),
    ),
    "path": Script("import sys, os; print(sys.path, os.getcwd(), os.listdir())"),
    "own_file": Script(
        "print(open(__file__).read(), open('main.py').read() == open(__file__).read())"
    ),
    "import_self": Script(
        "import sys\nprint(__name__)\nif __name__ == '__main__':\n    import main\n    print(main.__file__)\n"
    ),
    "files": Script(
        "import os, helper, pack.inner\n"
        "print(open('data/in.txt').read(), helper.x, pack.inner.y, sorted(set(os.listdir()) - {'__pycache__'}), helper.__file__)",
        files={
            "data/in.txt": b"given",
            "helper.py": b"x = 1",
            "pack/__init__.py": b"",
            "pack/inner.py": b"y = 2",
        },
    ),
    "shadow": Script("import random; print(random.x)", files={"random.py": b"x = 'mine'"}),
    "argparse": Script(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\np.add_argument('-q', action='store_true')\n"
        "print(p.parse_args())\n",
        argv=("5", "-q"),
    ),
    "argparse_fails": Script(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\np.parse_args()\n",
        argv=("x",),
    ),
    "argparse_help": Script(
        "import argparse\nargparse.ArgumentParser(description='d').parse_args()", argv=("-h",)
    ),
    "getopt_frames": Script(
        "import sys, traceback, inspect\ntraceback.print_stack()\nprint(len(inspect.stack()))\n"
        "def f():\n    traceback.print_stack()\n    return sys._getframe(2)\n"
        "try:\n    f()\nexcept ValueError as error:\n    print(error)\n"
    ),
    "recursion": Script(
        "import sys\ndeepest = 0\n"
        "def f(n):\n    global deepest\n    deepest = n\n    f(n + 1)\n"
        "try:\n    f(1)\nexcept RecursionError as error:\n    print(deepest, error)\n"
        "sys.setrecursionlimit(5000)\n"
        "try:\n    f(1)\nexcept RecursionError as error:\n    print(deepest, error)\n"
        "print(sys.getrecursionlimit())\n"
    ),
    "deep_recursion": Script(
        "import sys, threading\nsys.setrecursionlimit(1 << 20)\nthreading.stack_size(256 << 20)\n"
        "def f(n): return n and 1 + f(n - 1)\n"
        "t = threading.Thread(target=lambda: print(f(30000)))\nt.start()\nt.join()\n"
    ),
    "uncaught_recursion": Script("def f(): f()\nf()"),
    "nested_lists": Script(
        "x = []\nfor _ in range(100000): x = [x]\ntry:\n    repr(x)\nexcept RecursionError as e:\n    print(e)\nprint(1)"
    ),
    "generators": Script(
        "def g():\n    try:\n        yield 1\n        yield 2\n    finally:\n        print('closed')\n"
        "it = g()\nprint(next(it))\n"
    ),
    "asyncio": Script(
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print('in', await asyncio.gather(*(f(i) for i in range(3))))\n"
        "async def f(i): return i * i\nasyncio.run(main())\n"
    ),
    "dataclass_pickle": Script(
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: int\nprint(pickle.loads(pickle.dumps(A(3))), A.__module__)\n"
    ),
    "annotations": Script("x: int = 1\nprint(__annotations__)"),
    "doc": Script("'''Doc.'''\nprint(__doc__)"),
    "future": Script(
        "from __future__ import annotations\ndef f(x: Undefined): pass\nprint(f.__annotations__)"
    ),
    "empty": Script(""),
    "only_comment": Script("# nothing"),
    "large_output": Script("for i in range(20000): print('line', i)"),
    "one_large_write": Script("import sys; sys.stdout.write('x' * 300000)"),
    "unicode": Script("print('é ü 漢字 \U0001f600 \\u2028')"),
    "surrogate_out": Script("print('\\udcff')\nprint('\\ud800')"),
    "surrogate_err": Script("import sys\nsys.stderr.write('\\ud800 é\\n')"),
    # ---- how it ends
    "exit": Script("import sys; print(1); sys.exit()"),
    "exit_0": Script("raise SystemExit(0)"),
    "exit_3": Script("import sys; print('out'); sys.exit(3)"),
    "exit_256": Script("import sys; sys.exit(256 + 5)"),
    "exit_minus_1": Script("import sys; sys.exit(-1)"),
    "exit_huge": Script("import sys; sys.exit(1 << 80)"),
    "exit_true": Script("import sys; sys.exit(True)"),
    "exit_text": Script("import sys; sys.exit('why')"),
    "exit_float": Script("import sys; sys.exit(1.5)"),
    "exit_tuple": Script("import sys; sys.exit((1, 2))"),
    "exit_list": Script("import sys; sys.exit([])"),
    "exit_two": Script("raise SystemExit(1, 2)"),
    "exit_object": Script("class A:\n    def __str__(self): return 'an A'\nraise SystemExit(A())"),
    "exit_bad_object": Script("class A:\n    def __str__(self): 1/0\nraise SystemExit(A())"),
    "exit_closed_stderr": Script("import sys; sys.stderr.close(); sys.exit('x')"),
    "exit_no_stderr": Script("import sys; sys.stderr = None; sys.exit('x')"),
    "exit_subclass": Script("class E(SystemExit): pass\nraise E(7)"),
    "exit_builtin": Script("print(1); exit(2)"),
    "quit_builtin": Script("quit()"),
    "exit_in_function": Script(
        "def f():\n    try:\n        raise SystemExit(4)\n    finally:\n        print('finally')\nf()"
    ),
    "exit_caught": Script(
        "import sys\ntry:\n    sys.exit(3)\nexcept SystemExit as e:\n    print(e.code)"
    ),
    "exit_in_thread": Script(
        "import sys, threading\nthreading.Thread(target=lambda: sys.exit(5)).start()"
    ),
    "exit_in_import": Script("import helper", files={"helper.py": b"import sys; sys.exit(9)"}),
    "exit_in_exec": Script("exec('raise SystemExit(8)')"),
    "exit_in_del": Script("import sys\nclass A:\n    def __del__(self): sys.exit(3)\na = A()"),
    "exit_in_atexit": Script("import atexit, sys\natexit.register(sys.exit, 3)"),
    "exit_while_handling": Script(
        "import sys\ntry:\n    1/0\nexcept ZeroDivisionError:\n    sys.exit('no')"
    ),
    "os_exit_0": Script("import os; print('lost'); os._exit(0)"),
    "os_exit_3": Script(
        "import os, sys; print('kept', flush=True); sys.stderr.write('err'); os._exit(3)"
    ),
    "error": Script("def f(x):\n    return 1 / x\n\nprint('before')\nf(0)\nprint('not')"),
    "error_at_top": Script("1/0"),
    "error_chain": Script(
        "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('bad') from e"
    ),
    "error_context": Script("try:\n    {}['k']\nexcept KeyError:\n    raise ValueError('bad')"),
    "error_in_import": Script(
        "import helper", files={"helper.py": b"def f():\n    raise OSError(2, 'x')\nf()"}
    ),
    "error_own_class": Script("class MyError(Exception):\n    pass\nraise MyError('text', 3)"),
    "error_multiline": Script("raise ValueError('a\\nb')"),
    "error_bad_str": Script("class E(Exception):\n    def __str__(self): 1/0\nraise E"),
    "error_group": Script(
        "import sys\nif sys.version_info >= (3, 11):\n    raise ExceptionGroup('g', [ValueError(1), TypeError(2)])"
    ),
    "error_note": Script(
        "e = ValueError(1)\nif hasattr(e, 'add_note'): e.add_note('note')\nraise e"
    ),
    "error_assert": Script("assert 1 == 2, 'no'"),
    "error_name": Script("print(undefined)"),
    "error_attribute": Script("import os; os.getcwdd"),
    "error_base": Script("raise BaseException('b')"),
    "error_generator": Script("def g():\n    yield 1\n    raise KeyError('x')\nlist(g())"),
    "error_generator_exit": Script("raise GeneratorExit"),
    "error_eof": Script("int(input())\ninput()", b"5"),
    "error_memory": Script("raise MemoryError"),
    "error_unicode": Script("raise ValueError('é \\ud800')"),
    "error_closed_stderr": Script("import sys\nsys.stderr.close()\n1/0"),
    "error_no_stderr": Script("import sys\nsys.stderr = None\n1/0"),
    "error_in_thread": Script(
        "import threading\nt = threading.Thread(target=lambda: 1/0, name='t')\nt.start()\nt.join()\nprint('on')"
    ),
    "keyboard_interrupt": Script("print(1)\nraise KeyboardInterrupt"),
    "keyboard_interrupt_text": Script("raise KeyboardInterrupt('x')"),
    "keyboard_subclass": Script("class K(KeyboardInterrupt): pass\nraise K"),
    "sigint": Script("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"),
    "sigterm": Script(
        "import os, signal\nprint('lost')\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass"
    ),
    "abort": Script("import os\nprint('kept', flush=True)\nprint('lost')\nos.abort()"),
    "sigkill": Script(
        "import os\nprint('kept', flush=True)\nprint('lost')\nos.kill(os.getpid(), 9)"
    ),
    "syntax": Script("print(1)\nx = = 2\n"),
    "syntax_indent": Script("def f():\nreturn 1\n"),
    "syntax_tab": Script("if 1:\n\tx = 1\n        y = 2\n"),
    "syntax_eof": Script("print((1, 2"),
    "syntax_string": Script("x = 'abc\nprint(1)"),
    "syntax_triple": Script("x = '''abc\nprint(1)\n"),
    "syntax_null": Script("x = 1\0\n"),
    "syntax_unicode": Script("x = ‘a’\n"),
    "syntax_return": Script("return 5"),
    "syntax_await": Script("await x"),
    "syntax_no_newline": Script("if True:"),
    "syntax_long": Script("x = 1 +\n" + "y = 2\n" * 50),
    "syntax_in_import": Script("import helper", files={"helper.py": b"x = ="}),
    "syntax_in_exec": Script("exec('x = =')"),
    "coding": Script("# -*- coding: latin-1 -*-\nprint('caf\\xe9')"),
    "coding_unknown": Script("# -*- coding: klingon -*-\nprint(1)"),
    "crlf": Script("print(1)\r\nif 1:\r\n    print('''a\r\nb''')\r\n"),
    "form_feed": Script("\x0cprint(1)\n\x0c1/0"),
    "syntax_warning": Script("x = 1\nif x is 1: print('is')\n'\\d'\n"),
    "excepthook": Script(
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[1], a[2].tb_lineno)\n1/0"
    ),
    "excepthook_fails": Script(
        "import sys\ndef hook(*a):\n    {}['x']\nsys.excepthook = hook\n1/0"
    ),
    "excepthook_exits": Script(
        "import sys\ndef hook(*a):\n    sys.exit(6)\nsys.excepthook = hook\n1/0"
    ),
    "excepthook_missing": Script("import sys\ndel sys.excepthook\n1/0"),
    "excepthook_state": Script(
        "import sys\ndef hook(*a):\n    print(sys.exc_info(), sys.last_type, sys.last_value, '__file__' in globals())\nsys.excepthook = hook\n1/0"
    ),
    "exception_and_atexit": Script(
        "import atexit, sys\n@atexit.register\ndef f():\n    print(sys.last_type, '__file__' in globals(), '__cached__' in globals())\n1/0"
    ),
    "exit_and_atexit": Script(
        "import atexit, sys\n@atexit.register\ndef f():\n    print(getattr(sys, 'last_type', None), '__file__' in globals())\nsys.exit(2)"
    ),
    # ---- the end
    "atexit": Script("import atexit\nfor i in range(3): atexit.register(print, i)\nprint('end')"),
    "atexit_fails": Script(
        "import atexit\n@atexit.register\ndef bad(): 1/0\natexit.register(print, 'first')"
    ),
    "atexit_registers": Script(
        "import atexit\natexit.register(lambda: atexit.register(print, 'late'))"
    ),
    "atexit_unregister": Script(
        "import atexit\natexit.register(print, 'no')\natexit.unregister(print)"
    ),
    "atexit_exit": Script("import atexit, os\natexit.register(os._exit, 4)\nprint('kept?')"),
    "threads": Script(
        "import threading, time\n"
        "def f():\n    time.sleep(0.05)\n    print('thread', threading.main_thread().is_alive())\n"
        "threading.Thread(target=f).start()\nimport atexit; atexit.register(print, 'atexit')\nprint('main')\n"
    ),
    "thread_waits_for_main": Script(
        "import threading, time\n"
        "def f():\n    while threading.main_thread().is_alive(): time.sleep(0.001)\n    print('main is over')\n"
        "threading.Thread(target=f).start()\n"
    ),
    "thread_starts_thread": Script(
        "import threading, time\n"
        "def g(): print('second')\n"
        "def f():\n    time.sleep(0.02)\n    threading.Thread(target=g).start()\n"
        "threading.Thread(target=f).start()\n"
    ),
    "daemon": Script(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('end')"
    ),
    "busy_daemon": Script(
        "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f, daemon=True).start()\nprint('end')"
    ),
    "thread_pool": Script(
        "from concurrent.futures import ThreadPoolExecutor\nimport time\n"
        "pool = ThreadPoolExecutor(2)\nfor i in range(3): pool.submit(lambda i=i: (time.sleep(0.01 * i + 0.02), print('task', i)))\nprint('main')\n"
    ),
    "timer": Script(
        "import threading\nthreading.Timer(0.02, print, ['timer']).start()\nprint('main')"
    ),
    "del": Script(
        "class A:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('del', self.n, __name__)\na = A(1)\nb = A(2)\nprint('end')"
    ),
    "del_in_cycle": Script(
        "import gc\ngc.collect()\nclass A:\n    def __del__(self): print('del', A)\na = A()\na.me = a\ndel a\nprint('end')"
    ),
    "del_no_functions": Script(
        "import io\nclass A(list):\n    __del__ = print\nx = A([1])\ny = A([2])"
    ),
    "del_uses_modules": Script(
        "import os, sys, json\nclass A:\n    def __del__(self):\n        print(json.dumps({'a': os.path.join('x', 'y')}), flush=True)\n        sys.stderr.write('err\\n')\na = A()"
    ),
    "del_fails": Script("class A:\n    def __del__(self): 1/0\na = A()"),
    "del_of_module": Script(
        "import helper\nprint('end')",
        files={"helper.py": b"class A:\n    def __del__(self): print('del', A is None)\na = A()\n"},
    ),
    "del_with_handler": Script(
        "import signal\nclass A:\n    def __del__(self): print('del')\na = A()\ndef handler(*a): print(a)\nsignal.signal(signal.SIGUSR1, handler)\n"
    ),
    "del_replaced_stdout": Script(
        "import io, sys\nclass A:\n    def __del__(self): print('del')\na = A()\nsys.stdout = io.StringIO()\nprint('not shown')\n"
    ),
    "weakref_finalize": Script(
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'finalized')\nprint('end')"
    ),
    "temporary_directory": Script(
        "import tempfile\nd = tempfile.TemporaryDirectory(dir='.')\nprint('end')"
    ),
    "unclosed_file": Script(
        "f = open(1, 'w', closefd=False)\nf.write('unclosed\\n')\nprint('end')"
    ),
    "open_1": Script("print('a')\nopen(1, 'w').write('written\\n')\n"),
    "open_1_kept": Script("f = open(1, 'w')\nf.write('written\\n')\nprint('printed')\n"),
    "logging": Script(
        "import logging, logging.handlers\nlogging.basicConfig(level='INFO', format='%(levelname)s:%(name)s:%(message)s')\nlogging.info('x')\n"
        "h = logging.handlers.MemoryHandler(100, target=logging.StreamHandler())\nlogging.getLogger('m').addHandler(h)\nlogging.getLogger('m').info('buffered')\n"
    ),
    "warnings": Script(
        "import warnings\nwarnings.warn('w')\ndef f(): warnings.warn('two', DeprecationWarning, stacklevel=2)\nf()\n"
    ),
    "stdout_closed": Script("import sys\nprint('a')\nsys.stdout.close()"),
    "descriptor_1_closed": Script("import os\nprint('a')\nos.close(1)"),
    "descriptor_1_closed_and_error": Script("import os\nprint('a')\nos.close(1)\n1/0"),
    "descriptor_1_closed_and_exit": Script("import os, sys\nprint('a')\nos.close(1)\nsys.exit(3)"),
    "descriptor_2_closed": Script("import os, sys\nsys.stderr.write('part')\nos.close(2)"),
    "stdout_detached": Script("import sys\nsys.stdout.detach()"),
    "stdout_none": Script("import sys\nprint('a')\nsys.stdout = None\nprint('b')"),
    "stdout_rewrapped": Script(
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1')\nprint('é')"
    ),
    "stdout_redirected": Script("import os\nprint('a', flush=True)\nos.dup2(2, 1)\nprint('b')"),
    "stdout_bad_object": Script(
        "import sys\nclass W:\n    def write(self, s): sys.__stdout__.write(s.upper())\n    def flush(self): raise OSError('no')\nsys.stdout = W()\nprint('text')"
    ),
    "stdout_full": Script("import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('a')"),
    "reconfigure": Script(
        "import sys\nsys.stdout.reconfigure(encoding='latin-1', line_buffering=True)\nprint('é')\nprint(sys.stdout.line_buffering)"
    ),
    # ---- buffering
    "order_of_buffer": Script(
        "import sys\nprint('text')\nsys.stdout.buffer.write(b'bytes\\n')\nprint('more')"
    ),
    "order_of_descriptor": Script(
        "import os\nprint('text')\nos.write(1, b'bytes\\n')\nprint('more')"
    ),
    "order_of_child": Script(
        "import os, subprocess\nprint('text')\nsubprocess.run(['echo', 'child'])\nos.system('echo shell')\nprint('more')"
    ),
    "order_of_large": Script(
        "import os\nfor i in range(1500):\n    print('x' * (i % 37))\n    if i % 50 == 0: os.write(1, b'<%d>' % i)\n"
    ),
    "order_of_large_buffer": Script(
        "import os, sys\nfor i in range(1500):\n    sys.stdout.buffer.write(b'x' * (i % 37))\n    if i % 50 == 0: os.write(1, b'<%d>' % i)\n    if i % 11 == 0: print('t', i)\n"
    ),
    "order_of_pieces": Script(
        "import os\nfor n in (1, 4095, 4096, 4097, 8191, 8192, 8193, 1, 12288, 20000, 3):\n    print('y' * n, end='')\n    os.write(1, b'|')\n"
    ),
    "order_of_buffer_pieces": Script(
        "import os, sys\nfor n in (1, 4095, 4096, 4097, 8191, 8192, 8193, 1, 12288, 20000, 3):\n    sys.stdout.buffer.write(b'y' * n)\n    os.write(1, b'|')\n"
    ),
    "lost_by_os_exit": Script("import os\nfor i in range(1900): print('line', i)\nos._exit(0)"),
    "err_order": Script(
        "import os, sys\nsys.stderr.write('part')\nos.write(2, b'|')\nsys.stderr.write('line\\n')\nos.write(2, b'|')\nsys.stderr.write('\\r')\nos.write(2, b'|')"
    ),
    "fork": Script(
        "import os\nprint('before')\nif os.fork() == 0:\n    print('child')\nelse:\n    os.wait()\n    print('parent')\n"
    ),
    "fork_exits": Script(
        "import os, sys\nprint('before', flush=True)\npid = os.fork()\nif pid == 0:\n    sys.exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    ),
    "fork_fails": Script(
        "import os, sys\nimport atexit; atexit.register(print, 'atexit')\npid = os.fork()\nif pid == 0:\n    1/0\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    ),
    "fork_os_exit": Script("import os\nprint('twice?')\nif os.fork() == 0: os._exit(0)\nos.wait()"),
    "exec": Script(
        "import os, sys\nprint('lost')\nos.execv(sys.executable, [sys.executable, '-c', 'print(5); raise SystemExit(3)'])"
    ),
    "exec_late": Script(
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(0.4); raise SystemExit(3)'])"
    ),
    "descriptors_closed": Script("import os\nos.closerange(3, 1 << 16)\nprint('on')"),
    "descriptors_closed_and_exit": Script(
        "import os\nos.closerange(3, 1 << 16)\nraise SystemExit(4)"
    ),
    "descriptors_closed_and_error": Script("import os\nos.closerange(3, 1 << 16)\n1/0"),
    "exec_ok": Script("import os\nos.execvp('echo', ['echo', 'x'])"),
    "multiprocessing_fork": Script(
        "import multiprocessing as m\ndef f(x):\n    print('child', x, flush=True)\n    return x * x\n"
        "if __name__ == '__main__':\n    c = m.get_context('fork')\n    p = c.Process(target=f, args=(3,))\n    p.start()\n    p.join()\n    print(p.exitcode)\n    with c.Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n"
    ),
    "multiprocessing_left": Script(
        "import multiprocessing as m, time\ndef f():\n    time.sleep(0.1)\n    print('child')\n"
        "if __name__ == '__main__':\n    m.get_context('fork').Process(target=f).start()\n    print('main')\n"
    ),
    "multiprocessing_spawn": Script(
        "import multiprocessing as m\nprint('top', __name__, flush=True)\ndef f(x): return x * x, __name__\n"
        "if __name__ == '__main__':\n    with m.get_context('spawn').Pool(1) as pool: print(pool.map(f, [1, 2]))\n"
    ),
    "multiprocessing_spawned_process": Script(
        "import multiprocessing as m, sys\ndef f(x):\n    print(x, __name__, sys.argv, __file__[-8:], flush=True)\n    sys.exit(3)\n"
        "if __name__ == '__main__':\n    p = m.get_context('spawn').Process(target=f, args=(7,))\n    p.start()\n    p.join()\n    print(p.exitcode)\n",
        argv=("-a",),
    ),
    "multiprocessing_forkserver": Script(
        "import multiprocessing as m\nfrom helper import g\n"
        "if __name__ == '__main__':\n    c = m.get_context('forkserver')\n    p = c.Process(target=g, args=(2,))\n    p.start()\n    p.join()\n    print(p.exitcode)\n",
        files={"helper.py": b"def g(x): print(x, __name__, flush=True)\n"},
    ),
    "multiprocessing_pipe": Script(
        "import multiprocessing as m\nclass A:\n    def __init__(self, x): self.x = x\ndef f(c): c.send(A(c.recv().x + 1))\n"
        "if __name__ == '__main__':\n    a, b = m.Pipe()\n    p = m.get_context('spawn').Process(target=f, args=(b,))\n    p.start()\n    a.send(A(1))\n    print(a.recv().x)\n    p.join()\n"
    ),
    "multiprocessing_manager": Script(
        "import multiprocessing as m\ndef f(d): d['k'] = 1\n"
        "if __name__ == '__main__':\n    with m.get_context('fork').Manager() as manager:\n        d = manager.dict()\n        p = m.get_context('fork').Process(target=f, args=(d,))\n        p.start()\n        p.join()\n        print(dict(d))\n"
    ),
    "shared_memory": Script(
        "from multiprocessing import shared_memory\ns = shared_memory.SharedMemory(create=True, size=10)\ns.buf[0] = 5\nprint(s.buf[0])\ns.close()\ns.unlink()\n"
    ),
    "runpy": Script(
        "import runpy\nif __name__ == '__main__': print(sorted(runpy.run_path(__file__, run_name='x'))[:3])"
    ),
    "code_of_main": Script(
        "import inspect, sys\ndef f():\n    return 1\nprint(inspect.getsource(f), inspect.getsourcefile(f)[-8:], inspect.getmodule(f))"
    ),
    "multiprocessing_queue": Script(
        "import multiprocessing as m\ndef f(q): q.put('x' * 100000)\n"
        "if __name__ == '__main__':\n    c = m.get_context('fork')\n    q = c.Queue()\n    p = c.Process(target=f, args=(q,))\n    p.start()\n    print(len(q.get()))\n    p.join()\n"
    ),
    "process_pool": Script(
        "from concurrent.futures import ProcessPoolExecutor\ndef f(x): return x + 1\n"
        "if __name__ == '__main__':\n    pool = ProcessPoolExecutor(1)\n    print(list(pool.map(f, range(3))))\n"
    ),
    "subprocess": Script(
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(input())'], input='in', text=True, capture_output=True))"
    ),
    "settrace": Script(
        "import sys\nseen = []\nsys.settrace(lambda f, e, a: seen.append(f.f_code.co_name))\ndef g(): pass\ng()\nsys.settrace(None)\nprint(seen)"
    ),
    "gc_disabled": Script(
        "import gc\ngc.disable()\nclass A:\n    def __del__(self): print('del')\na = A()\na.me = a\ndel a\nb = A()\nprint('end')"
    ),
    "locale": Script(
        "import locale, sys\nprint(locale.getpreferredencoding(), sys.getfilesystemencoding(), sys.getdefaultencoding())"
    ),
    "turtle_of_fractions": Script(
        "from fractions import Fraction as F\nfrom decimal import Decimal as D\nprint(F(1, 3) + 2, D('1.10') / 3)"
    ),
    "chdir": Script(
        "import os, sys\nos.mkdir('d')\nos.chdir('d')\nimport helper\nprint(os.listdir('..') and helper.x)",
        files={"helper.py": b"x = 4"},
    ),
}

# SPDX-License-Identifier: Apache-2.0
"""Programs that end early, or by an exit status of their own."""

from __future__ import annotations

from program_corpus.entry import Case, program

STATUSES = (
    "", "None", "0", "1", "3", "255", "256", "257", "-1", "-256", "2**31", "2**63", "-2**70", "True",
    "False", "3.7", "'a message'", "''", "'ünïcode \\ud800'", "b'bytes'", "(1, 2)", "[3]", "{}",
    "Exception('x')", "object",
)  # fmt: skip

EACH = "import sys\nprint('before')\nsys.exit({})\n"

PROGRAMS = [
    *(
        program(f"sys_exit_of_{n}", EACH.format(status), quick=n % 4 == 0)
        for n, status in enumerate(STATUSES)
    ),
    program(
        "raise_system_exit_class",
        r"""
print(1)
raise SystemExit
""",
        quick=True,
    ),
    program("raise_system_exit_instance", "raise SystemExit(7)\n"),
    program("raise_system_exit_of_two", "raise SystemExit(1, 2)\n"),
    program(
        "raise_system_exit_message",
        r"""
print('x')
raise SystemExit('stop here')
""",
    ),
    program(
        "exit_builtin",
        r"""
print('x')
exit()
""",
    ),
    program(
        "quit_builtin",
        r"""
print('x')
quit(4)
""",
        quick=True,
    ),
    program(
        "exit_closes_stdin",
        r"""
import sys
try:
    exit(5)
finally:
    print(sys.stdin.closed)
""",
    ),
    program("exit_of_text", "exit('failed')\n"),
    program(
        "names_of_site",
        r"""
print(exit, quit)
print(copyright is not None, credits, license)
""",
    ),
    program(
        "system_exit_subclass",
        r"""
class Stop(SystemExit):
    pass
raise Stop(9)
""",
    ),
    program(
        "system_exit_with_its_own_code",
        r"""
e = SystemExit(1)
e.code = 'changed'
raise e
""",
    ),
    program(
        "system_exit_of_broken_str",
        r"""
class C:
    def __str__(self): 1/0
import sys
sys.exit(C())
""",
    ),
    program(
        "exit_in_a_function",
        r"""
import sys
def f(n):
    if not n: sys.exit(n + 2)
    f(n - 1)
f(20)
""",
    ),
    program(
        "exit_in_a_with",
        r"""
import contextlib, sys

@contextlib.contextmanager
def noisy():
    print("enter")
    try:
        yield
    finally:
        print("leave")

with noisy():
    sys.exit(3)
""",
    ),
    program(
        "exit_in_finally",
        r"""
import sys
try:
    1/0
finally:
    sys.exit(6)
""",
    ),
    program(
        "exit_caught",
        r"""
import sys
try:
    sys.exit(3)
except SystemExit as e:
    print('caught', e.code)
""",
    ),
    program(
        "exit_not_caught_by_exception",
        r"""
import sys
try:
    sys.exit(3)
except Exception:
    print('no')
finally:
    print('yes')
""",
    ),
    program(
        "exit_by_bare_except",
        r"""
import sys
try:
    sys.exit(3)
except:
    print('swallowed')
print('goes on')
""",
    ),
    program(
        "exit_while_handling",
        r"""
import sys
try:
    1/0
except ZeroDivisionError as e:
    sys.exit(str(e))
""",
    ),
    program(
        "exit_in_a_generator",
        r"""
import sys
def g():
    yield 1
    sys.exit(2)
for x in g():
    print(x)
""",
    ),
    program(
        "exit_in_a_comprehension",
        r"""
import sys
[sys.exit(8) for _ in 'ab']
""",
    ),
    program(
        "exit_in_a_class_body",
        r"""
import sys
class C:
    print('body')
    sys.exit(4)
""",
    ),
    program(
        "exit_in_del",
        r"""
import sys
class C:
    def __del__(self): sys.exit(3)
C()
print('goes on')
""",
        addresses=True,
    ),
    program(
        "exit_in_repr_of_an_error",
        r"""
import sys
class E(Exception):
    def __str__(self): sys.exit(3)
raise E
""",
        outcome="exception",
    ),
    program(
        "os_exit_0",
        r"""
import os
print('flushed', flush=True)
print('lost')
os._exit(0)
""",
        quick=True,
    ),
    program(
        "os_exit_of_statuses",
        r"""
import os, sys
sys.stderr.write('e')
os._exit(int(input()))
""",
        "1",
        "2",
        "42",
        "120",
        "137",
        "255",
        "256",
        "300",
        "-1",
    ),
    program(
        "os_exit_in_a_thread",
        r"""
import os, threading, time
print('x', flush=True)
threading.Thread(target=os._exit, args=(5,)).start()
time.sleep(60)
""",
    ),
    program(
        "os_exit_in_atexit",
        r"""
import atexit, os
atexit.register(os._exit, 4)
print('lost?')
""",
    ),
    program(
        "os_exit_in_finally",
        r"""
import os
try:
    raise ValueError
finally:
    os._exit(9)
""",
    ),
    program(
        "os_exit_is_not_caught",
        r"""
import os, atexit
atexit.register(print, 'never')
try:
    os._exit(2)
finally:
    print('never')
""",
    ),
    program(
        "os_abort",
        r"""
import os
print('lost')
os.abort()
""",
    ),
    program(
        "exit_status_names",
        r"""
import os, sys
sys.exit(os.EX_USAGE)
""",
    ),
    program(
        "exit_from_main",
        r"""
import sys

def main(argv):
    n = int(input())
    print(n)
    return n % 256

if __name__ == "__main__":
    sys.exit(main(sys.argv))
""",
        "0",
        "5",
        "250",
        "x",
        quick=True,
    ),
    program(
        "exit_in_a_thread",
        r"""
import sys, threading
t = threading.Thread(target=sys.exit, args=(3,))
t.start()
t.join()
print('goes on')
""",
    ),
    program(
        "exit_from_atexit",
        r"""
import atexit, sys
atexit.register(sys.exit, 5)
atexit.register(print, 'first')
print('main')
""",
    ),
    program(
        "exit_in_excepthook",
        r"""
import sys
sys.excepthook = lambda *a: sys.exit(5)
1/0
""",
    ),
    program(
        "exit_in_a_signal_handler",
        r"""
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *a: sys.exit(11))
os.kill(os.getpid(), signal.SIGUSR1)
for _ in range(10): pass
print('never')
""",
    ),
    program(
        "exit_in_import", "import other\n", Case(files={"other.py": b"import sys\nsys.exit(3)\n"})
    ),
    program(
        "keyboard_interrupt",
        r"""
print('before')
raise KeyboardInterrupt
""",
        quick=True,
    ),
    program("keyboard_interrupt_with_text", "raise KeyboardInterrupt('stopped')\n"),
    program(
        "keyboard_interrupt_subclass",
        r"""
class K(KeyboardInterrupt):
    pass
raise K('x')
""",
    ),
    program(
        "keyboard_interrupt_at_exit",
        r"""
import atexit
def f(): raise KeyboardInterrupt
atexit.register(f)
print('x')
""",
        addresses=True,
    ),
    program(
        "keyboard_interrupt_caught",
        r"""
try:
    raise KeyboardInterrupt
except KeyboardInterrupt:
    print('bye')
    raise SystemExit(130)
""",
    ),
    program(
        "keyboard_interrupt_runs_atexit",
        r"""
import atexit
atexit.register(print, 'at exit')
raise KeyboardInterrupt
""",
    ),
    program("base_exception", "raise BaseException('base')\n"),
    program("generator_exit", "raise GeneratorExit\n"),
    program("stop_iteration", "raise StopIteration('top')\n"),
    program(
        "exec_another_program",
        r"""
import os, sys
print('lost')
os.execv('/bin/sh', ['sh', '-c', 'echo from sh; exit 3'])
""",
    ),
    program(
        "exec_itself_once",
        r"""
import os, sys
print("run", len(sys.argv), flush=True)
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "main.py", "again"])
sys.exit(6)
""",
    ),
]

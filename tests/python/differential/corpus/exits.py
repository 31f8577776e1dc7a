# SPDX-License-Identifier: Apache-2.0
"""Programs that end early, or by an exit status of their own."""

from __future__ import annotations

from corpus.entry import Case, program

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
    program("raise_system_exit_class", "print(1)\nraise SystemExit\n", quick=True),
    program("raise_system_exit_instance", "raise SystemExit(7)\n"),
    program("raise_system_exit_of_two", "raise SystemExit(1, 2)\n"),
    program("raise_system_exit_message", "print('x')\nraise SystemExit('stop here')\n"),
    program("exit_builtin", "print('x')\nexit()\n"),
    program("quit_builtin", "print('x')\nquit(4)\n", quick=True),
    program(
        "exit_closes_stdin",
        "import sys\ntry:\n    exit(5)\nfinally:\n    print(sys.stdin.closed)\n",
    ),
    program("exit_of_text", "exit('failed')\n"),
    program("names_of_site", "print(exit, quit)\nprint(copyright is not None, credits, license)\n"),
    program("system_exit_subclass", "class Stop(SystemExit):\n    pass\nraise Stop(9)\n"),
    program(
        "system_exit_with_its_own_code",
        "e = SystemExit(1)\ne.code = 'changed'\nraise e\n",
    ),
    program(
        "system_exit_of_broken_str",
        "class C:\n    def __str__(self): 1/0\nimport sys\nsys.exit(C())\n",
    ),
    program(
        "exit_in_a_function",
        "import sys\ndef f(n):\n    if not n: sys.exit(n + 2)\n    f(n - 1)\nf(20)\n",
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
    program("exit_in_finally", "import sys\ntry:\n    1/0\nfinally:\n    sys.exit(6)\n"),
    program(
        "exit_caught",
        "import sys\ntry:\n    sys.exit(3)\nexcept SystemExit as e:\n    print('caught', e.code)\n",
    ),
    program(
        "exit_not_caught_by_exception",
        "import sys\ntry:\n    sys.exit(3)\nexcept Exception:\n    print('no')\nfinally:\n    print('yes')\n",
    ),
    program(
        "exit_by_bare_except",
        "import sys\ntry:\n    sys.exit(3)\nexcept:\n    print('swallowed')\nprint('goes on')\n",
    ),
    program(
        "exit_while_handling",
        "import sys\ntry:\n    1/0\nexcept ZeroDivisionError as e:\n    sys.exit(str(e))\n",
    ),
    program(
        "exit_in_a_generator",
        "import sys\ndef g():\n    yield 1\n    sys.exit(2)\nfor x in g():\n    print(x)\n",
    ),
    program("exit_in_a_comprehension", "import sys\n[sys.exit(8) for _ in 'ab']\n"),
    program("exit_in_a_class_body", "import sys\nclass C:\n    print('body')\n    sys.exit(4)\n"),
    program(
        "exit_in_del",
        "import sys\nclass C:\n    def __del__(self): sys.exit(3)\nC()\nprint('goes on')\n",
        addresses=True,
    ),
    program(
        "exit_in_repr_of_an_error",
        "import sys\nclass E(Exception):\n    def __str__(self): sys.exit(3)\nraise E\n",
        outcome="exception",
    ),
    program(
        "os_exit_0",
        "import os\nprint('flushed', flush=True)\nprint('lost')\nos._exit(0)\n",
        quick=True,
    ),
    program(
        "os_exit_of_statuses",
        "import os, sys\nsys.stderr.write('e')\nos._exit(int(input()))\n",
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
        "import os, threading, time\nprint('x', flush=True)\n"
        "threading.Thread(target=os._exit, args=(5,)).start()\ntime.sleep(60)\n",
    ),
    program(
        "os_exit_in_atexit", "import atexit, os\natexit.register(os._exit, 4)\nprint('lost?')\n"
    ),
    program(
        "os_exit_in_finally", "import os\ntry:\n    raise ValueError\nfinally:\n    os._exit(9)\n"
    ),
    program(
        "os_exit_is_not_caught",
        "import os, atexit\natexit.register(print, 'never')\ntry:\n    os._exit(2)\nfinally:\n    print('never')\n",
    ),
    program("os_abort", "import os\nprint('lost')\nos.abort()\n"),
    program("exit_status_names", "import os, sys\nsys.exit(os.EX_USAGE)\n"),
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
        "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start()\nt.join()\nprint('goes on')\n",
    ),
    program(
        "exit_from_atexit",
        "import atexit, sys\natexit.register(sys.exit, 5)\natexit.register(print, 'first')\nprint('main')\n",
    ),
    program("exit_in_excepthook", "import sys\nsys.excepthook = lambda *a: sys.exit(5)\n1/0\n"),
    program(
        "exit_in_a_signal_handler",
        "import os, signal, sys\nsignal.signal(signal.SIGUSR1, lambda *a: sys.exit(11))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\nfor _ in range(10): pass\nprint('never')\n",
    ),
    program(
        "exit_in_import", "import other\n", Case(files={"other.py": b"import sys\nsys.exit(3)\n"})
    ),
    program("keyboard_interrupt", "print('before')\nraise KeyboardInterrupt\n", quick=True),
    program("keyboard_interrupt_with_text", "raise KeyboardInterrupt('stopped')\n"),
    program("keyboard_interrupt_subclass", "class K(KeyboardInterrupt):\n    pass\nraise K('x')\n"),
    program(
        "keyboard_interrupt_at_exit",
        "import atexit\ndef f(): raise KeyboardInterrupt\natexit.register(f)\nprint('x')\n",
        addresses=True,
    ),
    program(
        "keyboard_interrupt_caught",
        "try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    print('bye')\n    raise SystemExit(130)\n",
    ),
    program(
        "keyboard_interrupt_runs_atexit",
        "import atexit\natexit.register(print, 'at exit')\nraise KeyboardInterrupt\n",
    ),
    program("base_exception", "raise BaseException('base')\n"),
    program("generator_exit", "raise GeneratorExit\n"),
    program("stop_iteration", "raise StopIteration('top')\n"),
    program(
        "exec_another_program",
        "import os, sys\nprint('lost')\nos.execv('/bin/sh', ['sh', '-c', 'echo from sh; exit 3'])\n",
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

# SPDX-License-Identifier: Apache-2.0
"""Programs whose end is the point: threads, atexit, finalizers, flushes."""

from __future__ import annotations

from program_corpus.entry import ALWAYS, KEPT_BY_A_MODULE, NOT_TAKEN_APART, Case, program

PROGRAMS = [
    program(
        "atexit_order",
        r"""
import atexit
for i in range(4):
    atexit.register(print, 'exit', i)
print('main')
""",
        quick=True,
    ),
    program(
        "atexit_unregister",
        r"""
import atexit
def f(): print('f')
def g(): print('g')
atexit.register(f)
atexit.register(g)
atexit.register(f)
atexit.unregister(f)
print(atexit._ncallbacks() >= 1)
""",
    ),
    program(
        "atexit_that_fails",
        r"""
import atexit
class F:
    def __call__(self): raise ValueError('at exit')
    def __repr__(self): return 'F()'
atexit.register(print, 'still runs')
atexit.register(F())
print('main')
""",
        quick=True,
    ),
    program(
        "atexit_registers_more",
        r"""
import atexit
def f():
    print('f')
    atexit.register(print, 'late')
atexit.register(f)
""",
    ),
    program(
        "atexit_after_an_exception",
        r"""
import atexit
atexit.register(print, 'at exit')
1/0
""",
        quick=True,
    ),
    program(
        "atexit_after_a_syntax_error_in_eval",
        r"""
import atexit
atexit.register(print, 'at exit')
eval('1 +')
""",
    ),
    program(
        "atexit_decorator",
        r"""
import atexit
@atexit.register
def bye():
    print('bye', len(globals()) > 3)
    import json
    print(json.dumps([1]))
""",
    ),
    program(
        "atexit_that_prints_much",
        r"""
import atexit
atexit.register(lambda: [print(i) for i in range(20_000)])
""",
    ),
    program(
        "atexit_changes_stdout",
        r"""
import atexit, io, sys
def f():
    sys.stdout = io.StringIO()
atexit.register(f)
print('kept')
""",
    ),
    program(
        "atexit_is_cleared",
        r"""
import atexit
atexit.register(print, 'never')
atexit._clear()
""",
    ),
    program(
        "atexit_run_early",
        r"""
import atexit
atexit.register(print, 'once')
atexit._run_exitfuncs()
print('main')
""",
    ),
    program(
        "del_at_the_end",
        r"""
class C:
    def __del__(self): print('del')
x = C()
print('main')
""",
        quick=True,
    ),
    program(
        "del_order_of_globals",
        r"""
class C:
    def __init__(self, n): self.n = n
    def __del__(self): print('del', self.n)
a = C('a')
_b = C('_b')
c = C('c')
_d = C('_d')
print('main')
""",
        quick=True,
    ),
    program(
        "del_in_a_cycle",
        r"""
class C:
    def __del__(self): print('del', self.n)
a, b = C(), C()
a.n, b.n, a.o, b.o = 1, 2, b, a
del a, b
print('main')
""",
    ),
    program(
        "del_in_a_cycle_collected",
        r"""
import gc
class C:
    def __del__(self): print('del')
a = C()
a.me = a
del a
print('before')
print(gc.collect() > 0)
""",
    ),
    program(
        "del_of_what_is_returned",
        r"""
class C:
    def __del__(self): print('del')
def f():
    c = C()
    print('in f')
f()
print('after f')
C()
print('end')
""",
    ),
    program(
        "del_after_an_exception",
        r"""
class C:
    def __del__(self): print('del')
def f():
    c = C()
    1/0
f()
""",
    ),
    program(
        "del_after_sys_exit",
        r"""
import sys
class C:
    def __del__(self): print('del')
x = C()
def f():
    y = C()
    sys.exit(4)
f()
""",
    ),
    program(
        "del_that_fails_at_the_end",
        r"""
class C:
    def __del__(self): raise ValueError('in del')
x = C()
print('main')
""",
        addresses=True,
    ),
    program(
        "del_uses_globals",
        r"""
import os
value = 5
class C:
    def __del__(self): print('del', value, os is not None, len('abc'))
x = C()
""",
    ),
    program(
        "del_imports_at_the_end",
        r"""
class C:
    def __del__(self):
        import json, colorsys
        print(json.dumps({}), colorsys.__name__)
x = C()
""",
        addresses=True,
    ),
    program(
        "del_in_builtins",
        r"""
import builtins
class C:
    def __del__(self): print('del', print.__name__)
builtins.kept = C()
""",
        differs=dict.fromkeys(("fresh", "collect"), NOT_TAKEN_APART),
    ),
    program(
        "del_in_sys",
        r"""
import sys
class C:
    def __del__(self): print('del in sys')
sys.kept = C()
""",
        differs=dict.fromkeys(("reuse", "spawn"), KEPT_BY_A_MODULE),
    ),
    program(
        "del_in_a_module",
        r"""
import kept
print(1)
""",
        Case(files={"kept.py": b"class C:\n    def __del__(self): print(2, __name__)\nx = C()\n"}),
    ),
    program(
        "del_in_another_module",
        r"""
import json
class C:
    def __del__(self): print('del in json')
json.kept = C()
""",
        differs=dict.fromkeys(ALWAYS, NOT_TAKEN_APART),
    ),
    program(
        "del_in_a_class_attribute",
        r"""
class D:
    def __del__(self): print('del D')
class C:
    d = D()
c = C()
""",
    ),
    program(
        "del_in_a_default_argument",
        r"""
class D:
    def __del__(self): print('del default')
def f(x=D()): return x
""",
    ),
    program(
        "del_in_a_closure",
        r"""
class D:
    def __del__(self): print('del closure')
def outer():
    d = D()
    def inner(): return d
    return inner
f = outer()
""",
    ),
    program(
        "del_in_a_thread_local",
        r"""
import threading
class D:
    def __del__(self): print('del local')
l = threading.local()
l.d = D()
def f():
    l.d = D()
    print('thread')
t = threading.Thread(target=f)
t.start()
t.join()
print('main')
""",
    ),
    program(
        "del_in_a_context_variable",
        r"""
import contextvars
class D:
    def __del__(self): print('del var')
v = contextvars.ContextVar('v')
v.set(D())
""",
        differs=dict.fromkeys(("reuse", "spawn"), KEPT_BY_A_MODULE),
    ),
    program(
        "del_in_the_argument_vector",
        r"""
import sys
class D(str):
    def __del__(self): print('del argv')
sys.argv.append(D())
""",
        differs=dict.fromkeys(("fresh", "collect"), NOT_TAKEN_APART),
    ),
    program(
        "del_of_a_replaced_stdout",
        r"""
import io, sys
class Out(io.TextIOWrapper):
    def __del__(self): sys.__stdout__.write('out goes\n')
sys.stdout = Out(sys.stdout.buffer)
print('x')
""",
    ),
    program(
        "del_of_a_meta_class",
        r"""
class M(type):
    def __del__(cls): print('class goes', cls.__name__)
class C(metaclass=M): pass
print('main')
""",
    ),
    program(
        "del_resurrects",
        r"""
kept = []
class C:
    def __del__(self):
        print('del')
        kept.append(self)
C()
print(len(kept))
""",
    ),
    program(
        "weakref_finalize",
        r"""
import weakref
class C: pass
a, b = C(), C()
weakref.finalize(a, print, 'a gone')
f = weakref.finalize(b, print, 'b gone')
del a
print(f.alive, 'main')
weakref.finalize(b, print, 'no').atexit = False
""",
        quick=True,
    ),
    program(
        "weakref_callback_at_the_end",
        r"""
import weakref
class C: pass
a = C()
r = weakref.ref(a, lambda r: print('callback'))
print(r() is a)
""",
    ),
    program(
        "weak_dictionary",
        r"""
import weakref
class C:
    def __init__(self, n): self.n = n
d = weakref.WeakValueDictionary()
a, b = C(1), C(2)
d['a'], d['b'] = a, b
del a
print(sorted(d))
""",
    ),
    program(
        "generator_left_open",
        r"""
def g():
    try:
        yield 1
        yield 2
    finally:
        print('closed')
x = g()
print(next(x))
""",
        quick=True,
    ),
    program(
        "generator_left_open_in_a_function",
        r"""
def g():
    try:
        yield 1
    except GeneratorExit:
        print('exit')
        raise
def f():
    return next(g())
print(f())
""",
    ),
    program(
        "generator_ignores_its_end",
        r"""
def g():
    while True:
        try:
            yield 1
        except GeneratorExit:
            print('ignored')
x = g()
next(x)
""",
        addresses=True,
    ),
    program(
        "context_manager_left_open",
        r"""
import contextlib
@contextlib.contextmanager
def m():
    print('enter')
    yield
    print('leave')
c = m()
c.__enter__()
print('main')
""",
    ),
    program(
        "unclosed_files_are_flushed",
        r"""
import atexit
f = open('out.txt', 'w')
f.write('data')
atexit.register(lambda: print(repr(open('out.txt').read())))
class C:
    def __del__(self): print(repr(open('out.txt').read()))
last = C()
""",
        addresses=True,
        differs=dict.fromkeys(ALWAYS, NOT_TAKEN_APART),
    ),
    program(
        "unclosed_files_in_functions",
        r"""
def f():
    g = open('a.txt', 'w')
    g.write('x')
f()
print(open('a.txt').read())
""",
    ),
    program(
        "temporary_files_are_removed",
        r"""
import atexit, os, tempfile
d = tempfile.TemporaryDirectory(dir='.')
f = tempfile.NamedTemporaryFile(dir='.')
atexit.register(lambda: print(len(os.listdir())))
""",
        addresses=True,
    ),
    program(
        "thread_is_joined_at_the_end",
        r"""
import threading, time
printed = threading.Event()
def f():
    printed.wait()
    time.sleep(0.05)
    print('thread')
threading.Thread(target=f).start()
print('main')
printed.set()
""",
        quick=True,
    ),
    program(
        "threads_start_threads",
        r"""
import threading, time

last = threading.Event()

def f(n):
    print("thread", n)
    if n:
        threading.Thread(target=f, args=(n - 1,)).start()
    else:
        last.set()
        time.sleep(0.05)
        print("last")

threading.Thread(target=f, args=(5,)).start()
last.wait()
""",
    ),
    program(
        "daemon_thread_is_dropped",
        r"""
import threading, time
def f():
    time.sleep(60)
    print('never')
threading.Thread(target=f, daemon=True).start()
print('main')
""",
        quick=True,
    ),
    program(
        "daemon_thread_in_an_endless_loop",
        r"""
import threading
def f():
    while True: pass
threading.Thread(target=f, daemon=True).start()
print('main')
""",
    ),
    program(
        "daemon_thread_holds_a_lock",
        r"""
import threading
l = threading.Lock()
ready = threading.Event()
def f():
    with l:
        ready.set()
        threading.Event().wait()
threading.Thread(target=f, daemon=True).start()
ready.wait()
print(l.locked())
""",
    ),
    program(
        "thread_before_atexit",
        r"""
import atexit, threading, time
atexit.register(print, 'atexit')
printed = threading.Event()
def f():
    printed.wait()
    time.sleep(0.05)
    print('thread')
threading.Thread(target=f).start()
print('main')
printed.set()
""",
    ),
    program(
        "thread_after_an_exception",
        r"""
import threading, time
def f():
    time.sleep(0.05)
    print('thread ends')
threading.Thread(target=f).start()
1/0
""",
        quick=True,
    ),
    program(
        "thread_after_sys_exit",
        r"""
import sys, threading, time
def f():
    time.sleep(0.05)
    print('thread ends')
threading.Thread(target=f).start()
sys.exit(3)
""",
    ),
    program(
        "thread_waits_for_the_main_thread",
        r"""
import threading
def f():
    threading.main_thread().join()
    print('main has ended')
threading.Thread(target=f).start()
print('main')
""",
    ),
    program(
        "timer_at_the_end",
        r"""
import threading
timer = threading.Timer(0.05, print, args=('timer',))
print('main')
timer.start()
""",
    ),
    program(
        "pool_of_threads_at_the_end",
        r"""
from concurrent.futures import ThreadPoolExecutor
import threading
printed = threading.Event()
ex = ThreadPoolExecutor(1)
for i in range(3): ex.submit(lambda i=i: (printed.wait(), print('task', i)))
print('main')
printed.set()
""",
    ),
    program(
        "register_atexit_of_threading",
        r"""
import threading
threading._register_atexit(print, 'threading atexit')
import atexit
atexit.register(print, 'atexit')
print('main')
""",
    ),
    program(
        "order_of_everything",
        r"""
import atexit
import sys
import threading
import time
import weakref


class C:
    def __init__(self, n):
        self.n = n

    def __del__(self):
        sys.stdout.write(f"del {self.n}\n")


printed = threading.Event()


def thread():
    printed.wait()
    time.sleep(0.05)
    print("thread")


def gen():
    try:
        yield
    finally:
        print("generator")


g = gen()
next(g)
a, b = C("a"), C("b")
cycle = C("cycle")
cycle.me = cycle
weakref.finalize(b, print, "finalize")
atexit.register(print, "atexit")
threading.Thread(target=thread).start()
out = open(1, "w", closefd=False)
out.write("unflushed file\n")
print("main")
printed.set()
""",
        quick=True,
    ),
    program(
        "async_generator_left_open",
        r"""
import asyncio
async def g():
    try:
        yield 1
    finally:
        print('closed')
async def main():
    async for x in g():
        print(x)
        break
    print('main')
asyncio.run(main())
""",
    ),
    program(
        "gc_at_the_end",
        r"""
import gc
print(gc.isenabled(), gc.get_threshold(), gc.get_debug())
gc.disable()
class C:
    def __del__(self): print('del')
x = C()
x.x = x
""",
    ),
    program(
        "gc_callbacks",
        r"""
import gc
print(gc.callbacks, gc.garbage)
count = 0
def f(phase, info):
    global count
    count += phase == 'stop'
gc.callbacks.append(f)
gc.collect()
gc.callbacks.remove(f)
print(count)
""",
    ),
    program(
        "gc_finds_the_programs_objects",
        r"""
import gc
class C: pass
x = [C() for _ in range(3)]
print(sum(isinstance(o, C) for o in gc.get_objects()), len(gc.get_referrers(C)) >= 3)
""",
    ),
    program(
        "gc_frozen",
        r"""
import gc
gc.freeze()
print(gc.get_freeze_count() > 0)
""",
    ),
    program(
        "print_in_del_while_stdout_goes",
        r"""
import sys
class C:
    def __init__(self): self.out = sys.stdout
    def __del__(self): self.out.write('written\n')
sys.kept = C()
sys.stdout = None
""",
        differs=dict.fromkeys(("fresh", "collect"), NOT_TAKEN_APART),
    ),
    program(
        "flush_fails_in_the_program",
        r"""
import io, sys
class Bad(io.StringIO):
    def flush(self): raise OSError('no flush')
sys.stdout = Bad()
print('x')
""",
        addresses=True,
    ),
    program(
        "stdout_without_flush",
        r"""
import sys
class Out:
    def write(self, s): sys.__stdout__.write(s.upper())
sys.stdout = Out()
print('x')
""",
        addresses=True,
    ),
    program(
        "exit_status_of_failing_finalizers",
        r"""
import sys
class C:
    def __del__(self): sys.exit(9)
x = C()
sys.exit(2)
""",
        addresses=True,
    ),
    program(
        "unraisable_in_a_generator",
        r"""
def g():
    try:
        yield
    finally:
        raise ValueError('in finally')
x = g()
next(x)
del x
print('goes on')
""",
        addresses=True,
    ),
    program(
        "large_structure_at_the_end",
        r"""
class N: __slots__ = ('next',)
head = None
for _ in range(200_000):
    n = N()
    n.next = head
    head = n
print('built')
""",
    ),
    program(
        "deep_list_at_the_end",
        r"""
x = []
for _ in range(100_000): x = [x]
print('built')
""",
    ),
    program(
        "finalizing_flag",
        r"""
import sys
print(sys.is_finalizing())
class C:
    def __del__(self, f=sys.is_finalizing): print(f())
x = C()
""",
        differs=dict.fromkeys(ALWAYS, NOT_TAKEN_APART),
    ),
    program(
        "import_at_the_end_of_atexit",
        r"""
import atexit
def f():
    import threading
    t = threading.Thread(target=print, args=('thread in atexit',))
    t.start()
    t.join()
atexit.register(f)
""",
        addresses=True,
    ),
    program(
        "logging_at_the_end",
        r"""
import atexit, logging
logging.basicConfig(level=logging.INFO, format='%(levelname)s %(message)s')
atexit.register(logging.info, 'at exit')
logging.warning('main')
class C:
    def __del__(self): logging.error('in del')
x = C()
""",
        quick=True,
    ),
]

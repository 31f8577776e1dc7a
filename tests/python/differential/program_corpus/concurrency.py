# SPDX-License-Identifier: Apache-2.0
"""Programs with threads, asyncio and signals."""

from __future__ import annotations

from program_corpus.entry import NO_NAMED_SOCKETS, program

PROGRAMS = [
    program(
        "thread_with_a_large_stack",
        r"""
import sys
import threading

def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)

def main():
    print(depth(int(input())))

sys.setrecursionlimit(1 << 20)
threading.stack_size(64 * 1024 * 1024)
t = threading.Thread(target=main)
t.start()
t.join()
""",
        "50000",
        "10",
        quick=True,
    ),
    program(
        "threads_and_a_queue",
        r"""
import queue
import threading

q, done = queue.Queue(), queue.PriorityQueue()

def work():
    while (n := q.get()) is not None:
        done.put((n, n * n))
        q.task_done()

threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads:
    t.start()
for n in range(50):
    q.put(n)
q.join()
for t in threads:
    q.put(None)
for t in threads:
    t.join()
print([done.get()[1] for _ in range(50)])
""",
        quick=True,
    ),
    program(
        "thread_raises",
        r"""
import threading
def f(): 1/0
t = threading.Thread(target=f, name='worker-x')
t.start()
t.join()
print('goes on')
""",
        quick=True,
    ),
    program(
        "thread_raises_system_exit",
        r"""
import sys, threading
t = threading.Thread(target=lambda: sys.exit('silent'))
t.start()
t.join()
print('goes on')
""",
    ),
    program(
        "thread_names",
        r"""
import threading
ts = [threading.Thread(target=print) for _ in range(2)]
print([t.name for t in ts])
def work(): pass
print(threading.Thread(target=work).name, threading.Timer(1, work).name)
""",
    ),
    program(
        "locks_and_conditions",
        r"""
import threading
turn, c, out = 0, threading.Condition(), []
def f(me):
    global turn
    for _ in range(5):
        with c:
            c.wait_for(lambda: turn % 3 == me)
            out.append(me)
            turn += 1
            c.notify_all()
ts = [threading.Thread(target=f, args=(i,)) for i in range(3)]
[t.start() for t in ts]
[t.join() for t in ts]
print(out)
""",
    ),
    program(
        "barrier_and_semaphore",
        r"""
import threading
b = threading.Barrier(3)
s = threading.BoundedSemaphore(1)
n = []
def f():
    i = b.wait()
    with s: n.append(i)
ts = [threading.Thread(target=f) for _ in range(3)]
[t.start() for t in ts]
[t.join() for t in ts]
print(sorted(n))
s.release()
""",
    ),
    program(
        "thread_excepthook",
        r"""
import threading
threading.excepthook = lambda a: print('hook', a.exc_type.__name__, a.exc_value, a.thread.name)
t = threading.Thread(target=lambda: {}['k'], name='T')
t.start()
t.join()
""",
    ),
    program(
        "thread_excepthook_that_fails",
        r"""
import threading
def hook(a): raise ValueError('in hook')
threading.excepthook = hook
t = threading.Thread(target=lambda: 1/0, name='T')
t.start()
t.join()
print('end')
""",
    ),
    program(
        "thread_pool",
        r"""
from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(4) as ex:
    print(list(ex.map(lambda x: x * x, range(20))))
    fs = [ex.submit(pow, 2, i) for i in range(5)]
    print(sorted(f.result() for f in as_completed(fs)))
    ex.submit(lambda: 1/0).result()
""",
        quick=True,
    ),
    program(
        "thread_local",
        r"""
import threading
l = threading.local()
l.x = 1
def f(): print(hasattr(l, 'x'))
t = threading.Thread(target=f)
t.start()
t.join()
print(l.x)
""",
    ),
    program(
        "low_level_threads",
        r"""
import _thread, time
done = _thread.allocate_lock()
done.acquire()
def f():
    print('low')
    done.release()
_thread.start_new_thread(f, ())
done.acquire()
def g():
    done.release()
    raise ValueError('low')
_thread.start_new_thread(g, ())
done.acquire()
while _thread._count():
    time.sleep(0.01)
""",
        addresses=True,
    ),
    program(
        "many_threads",
        r"""
import threading
n = 0
l = threading.Lock()
def f():
    global n
    with l: n += 1
ts = [threading.Thread(target=f) for _ in range(100)]
[t.start() for t in ts]
[t.join() for t in ts]
print(n, threading.active_count())
""",
    ),
    program(
        "interrupt_main",
        r"""
import _thread, time
try:
    _thread.interrupt_main()
    time.sleep(5)
except KeyboardInterrupt:
    print('interrupted')
_thread.interrupt_main()
time.sleep(5)
""",
    ),
    program(
        "asyncio_run",
        r"""
import asyncio

async def work(n):
    await asyncio.sleep(0.001 * (5 - n))
    return n * n

async def main():
    print(await asyncio.gather(*(work(n) for n in range(5))))
    async with asyncio.Lock():
        print("locked")
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    except asyncio.TimeoutError:
        print("timeout")
    return "done"

print(asyncio.run(main()))
""",
        quick=True,
    ),
    program(
        "asyncio_raises",
        r"""
import asyncio
async def f():
    await asyncio.sleep(0)
    raise ValueError('in a coroutine')
asyncio.run(f())
""",
    ),
    program(
        "asyncio_group_raises",
        r"""
import asyncio
async def f(n):
    raise ValueError(n)
async def main():
    async with asyncio.TaskGroup() as g:
        g.create_task(f(1))
        g.create_task(f(2))
asyncio.run(main())
""",
    ),
    program(
        "asyncio_task_never_retrieved",
        r"""
import asyncio
async def f(): 1/0
async def main():
    t = asyncio.create_task(f(), name='T')
    await asyncio.sleep(0.01)
    del t
asyncio.run(main())
print('end')
""",
    ),
    program(
        "asyncio_task_destroyed_pending",
        r"""
import asyncio
loop = asyncio.new_event_loop()
async def f(): await loop.create_future()
t = loop.create_task(f(), name='T')
loop.run_until_complete(asyncio.sleep(0))
print('end')
""",
        addresses=True,
    ),
    program(
        "asyncio_queue",
        r"""
import asyncio
async def main():
    q = asyncio.Queue()
    async def put():
        for i in range(5):
            await q.put(i)
        await q.put(None)
    asyncio.create_task(put())
    while (x := await q.get()) is not None: print(x)
asyncio.run(main())
""",
    ),
    program(
        "asyncio_in_threads",
        r"""
import asyncio
async def main():
    print(await asyncio.to_thread(sum, range(10)))
    print(await asyncio.get_running_loop().run_in_executor(None, input))
asyncio.run(main())
""",
        "line\n",
    ),
    program(
        "asyncio_subprocess",
        r"""
import asyncio
async def main():
    p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
    print(await p.communicate(b'x'), p.returncode)
asyncio.run(main())
""",
    ),
    program(
        "asyncio_streams",
        r"""
import asyncio
async def main():
    async def serve(r, w):
        w.write((await r.readline()).upper())
        w.close()
    s = await asyncio.start_unix_server(serve, 'sock')
    r, w = await asyncio.open_unix_connection('sock')
    w.write(b'hello\n')
    print(await r.read())
    w.close()
    s.close()
asyncio.run(main())
""",
        differs={"standard": NO_NAMED_SOCKETS},
    ),
    program(
        "asyncio_signal_handler",
        r"""
import asyncio, os, signal
async def main():
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await got.wait()
    print('signal')
asyncio.run(main())
""",
    ),
    program(
        "asyncio_stdin_reader_is_refused",
        r"""
import asyncio, sys
async def main():
    r = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(r), sys.stdin)
asyncio.run(main())
""",
        "x\n",
    ),
    program(
        "asyncio_old_style",
        r"""
import asyncio
async def f(): return 5
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print(loop.run_until_complete(f()))
loop.close()
asyncio.run(f(), debug=True)
asyncio.get_running_loop()
""",
    ),
    program(
        "asyncio_interrupted",
        r"""
import asyncio, os, signal
async def main():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(5)
    finally:
        print('cleaned')
asyncio.run(main())
""",
    ),
    program(
        "async_generators_and_contexts",
        r"""
import asyncio, contextlib
@contextlib.asynccontextmanager
async def m():
    print('in')
    yield 1
    print('out')
async def g():
    for i in range(3):
        yield i
async def main():
    async with m() as x: print(x, [i async for i in g()])
asyncio.run(main())
""",
    ),
    program(
        "context_variables",
        r"""
import asyncio, contextvars
v = contextvars.ContextVar('v', default=0)
async def f(n):
    v.set(n)
    await asyncio.sleep(0)
    return v.get()
async def main(): print(await asyncio.gather(*map(f, range(4))), v.get())
asyncio.run(main())
print(len(contextvars.copy_context()))
""",
    ),
    program(
        "coroutine_by_hand",
        r"""
async def f():
    return 3
c = f()
try:
    c.send(None)
except StopIteration as e:
    print(e.value)
""",
    ),
    *(
        program(
            f"killed_by_{name}",
            f"import os, signal\nprint('flushed', flush=True)\nprint('lost')\nos.kill(os.getpid(), signal.{name})\nprint('after')\n",
            quick=name in ("SIGTERM", "SIGKILL", "SIGSEGV"),
        )
        for name in "SIGTERM SIGKILL SIGSEGV SIGABRT SIGHUP SIGQUIT SIGBUS SIGFPE SIGILL SIGALRM SIGUSR1 SIGUSR2 SIGVTALRM SIGTRAP SIGSYS SIGXCPU".split()
    ),
    *(
        program(
            f"ignores_{name}",
            f"import os, signal\nos.kill(os.getpid(), signal.{name})\nprint('goes on')\n",
        )
        for name in "SIGCHLD SIGURG SIGWINCH SIGCONT SIGPIPE SIGXFSZ".split()
    ),
    program(
        "sigint_to_itself",
        r"""
import os, signal, time
print('x')
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
""",
        quick=True,
    ),
    program(
        "sigint_ignored",
        r"""
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGINT)
print('goes on')
""",
    ),
    program(
        "sigint_default",
        r"""
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print('x', flush=True)
os.kill(os.getpid(), signal.SIGINT)
""",
        outcome="signalled",
    ),
    program(
        "sigpipe_default",
        r"""
import os, signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
r, w = os.pipe()
os.close(r)
print('x', flush=True)
os.write(w, b'x')
""",
    ),
    program(
        "signal_handlers_at_the_start",
        r"""
import signal
for s in sorted(signal.valid_signals()):
    h = signal.getsignal(s)
    print(int(s), getattr(h, '__name__', h))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending(), signal.getitimer(signal.ITIMER_REAL))
""",
        quick=True,
    ),
    program(
        "signal_handler",
        r"""
import os, signal
def f(n, frame): print('got', signal.Signals(n).name, frame.f_code.co_name, frame.f_lineno)
for s in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    print(signal.signal(s, f))
    os.kill(os.getpid(), s)
print('end')
""",
    ),
    program(
        "signal_handler_raises",
        r"""
import os, signal
class Stop(Exception): pass
def f(*a): raise Stop('by a signal')
signal.signal(signal.SIGTERM, f)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(10): pass
except Stop as e:
    print(e)
os.kill(os.getpid(), signal.SIGTERM)
for _ in range(10): pass
""",
    ),
    program(
        "alarm",
        r"""
import signal, time
signal.signal(signal.SIGALRM, lambda *a: print('alarm'))
signal.setitimer(signal.ITIMER_REAL, 0.02)
signal.pause()
print('end')
""",
    ),
    program(
        "alarm_as_a_timeout",
        r"""
import signal
class TooLong(Exception): pass
def f(*a): raise TooLong
signal.signal(signal.SIGALRM, f)
signal.setitimer(signal.ITIMER_REAL, 0.02)
n = 0
try:
    while True: n += 1
except TooLong:
    print('too long')
""",
    ),
    program(
        "alarm_kills",
        r"""
import signal, time
print('x', flush=True)
signal.setitimer(signal.ITIMER_REAL, 0.02)
time.sleep(20)
""",
    ),
    program(
        "blocked_signals",
        r"""
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
print(signal.sigpending(), signal.sigwait([signal.SIGUSR1]))
""",
    ),
    program(
        "signal_wakeup",
        r"""
import os, signal
r, w = os.pipe()
os.set_blocking(w, False)
print(signal.set_wakeup_fd(w))
signal.signal(signal.SIGUSR1, lambda *a: None)
signal.raise_signal(signal.SIGUSR1)
print(os.read(r, 5))
""",
    ),
    program(
        "stopped_and_continued",
        r"""
import os, signal, time
pid = os.fork()
if pid == 0:
    time.sleep(60)
os.kill(pid, signal.SIGSTOP)
print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))
os.kill(pid, signal.SIGKILL)
print(os.WTERMSIG(os.waitpid(pid, 0)[1]))
""",
    ),
    program(
        "segmentation_fault",
        r"""
import ctypes
print('x', flush=True)
ctypes.string_at(0)
""",
    ),
    program(
        "segmentation_fault_with_faulthandler",
        r"""
import ctypes, faulthandler
faulthandler.enable()
print('x', flush=True)
ctypes.string_at(0)
""",
        addresses=True,
    ),
    program(
        "faulthandler_states",
        r"""
import faulthandler, sys
print(faulthandler.is_enabled())
faulthandler.dump_traceback(all_threads=False)
""",
        addresses=True,
    ),
    program(
        "faulthandler_by_signal",
        r"""
import faulthandler, os, signal
faulthandler.register(signal.SIGUSR1, all_threads=False)
os.kill(os.getpid(), signal.SIGUSR1)
print('end')
""",
    ),
    program(
        "faulthandler_later",
        r"""
import faulthandler, time
faulthandler.dump_traceback_later(0.05, exit=True)
time.sleep(30)
""",
        addresses=True,
    ),
    program(
        "kills_its_group",
        r"""
import os, signal
print('x', flush=True)
os.killpg(os.getpgid(0), signal.SIGTERM)
""",
    ),
    program(
        "session_and_group",
        r"""
import os
print(os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid())
os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None
""",
    ),
]

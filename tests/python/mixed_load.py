# SPDX-License-Identifier: Apache-2.0
"""A caller with a mixed load, to be killed: python mixed_load.py SPILL_DIR ISOLATION SANDBOX.

Prints a line when calls run, then continues for ever with short calls, sleepers, daemons that leave
their session, large arguments and results, crashes, and files in a scratch directory.
"""

from __future__ import annotations

import itertools
import sys

import pinfold
from programs import LEAVE_FILES

SOURCE = """
import os, signal, time

def short(i):
    return i

def sleeper(i):
    time.sleep(3600)

def daemon(i):
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(3600)
            os._exit(0)
    return i

def large(data):
    return data + data

def crash(i):
    os.abort()

def write(i):
    leave_files()
    time.sleep(i % 12 / 50)
"""
SOURCE += LEAVE_FILES


def main() -> None:
    spill_dir, isolation, sandbox = sys.argv[1:]
    config = pinfold.WorkerConfig(
        max_workers=4,
        spill_dir=spill_dir,
        isolation=isolation,  # type: ignore[arg-type]
        sandbox=sandbox,  # type: ignore[arg-type]
    )
    backend = pinfold.LocalBackend(config)

    def calls() -> itertools.chain[pinfold.WorkerCall]:
        for i in itertools.count():
            name = ("short", "daemon", "large", "sleeper", "crash", "write")[i % 6]
            yield pinfold.WorkerCall(SOURCE, name, args=[b"x" * 300_000 if name == "large" else i])

    for n, _ in enumerate(backend.map(calls(), deadline_s=0.2)):
        if n == 0:
            print("running", flush=True)


main()

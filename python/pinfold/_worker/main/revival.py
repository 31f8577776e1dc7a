# SPDX-License-Identifier: Apache-2.0
"""What the end of a program shuts down, and the next call in the same process needs."""

from __future__ import annotations

import sys
import weakref
from typing import Any

# The names that exit handlers set when they have run.
_OVER = (
    ("concurrent.futures.thread", "_shutdown"),
    ("concurrent.futures.process", "_global_shutdown"),
    ("joblib.externals.loky.process_executor", "_global_shutdown"),
    ("loky.process_executor", "_global_shutdown"),
    ("multiprocessing.util", "_exiting"),
    ("threading", "_SHUTTING_DOWN"),
)


def revive() -> None:
    """Undo what the interpreter's end does to the modules that stay."""
    for name, over in _OVER:
        module = sys.modules.get(name)
        if hasattr(module, over):
            setattr(module, over, False)
    weakref.finalize._shutdown = False  # type: ignore[attr-defined]
    threading = sys.modules.get("threading")
    if hasattr(threading, "_main_thread"):
        _start_main_thread(threading)


def _start_main_thread(threading: Any) -> None:
    """Mark the main thread as alive, which threading._shutdown() marked as ended."""
    main = threading._main_thread
    if sys.version_info >= (3, 13):
        main._handle = threading._make_thread_handle(main._ident)
    elif main._is_stopped:
        main._tstate_lock = threading._set_sentinel()
        main._tstate_lock.acquire()
        main._is_stopped = False

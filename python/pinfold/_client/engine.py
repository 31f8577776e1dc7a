# SPDX-License-Identifier: Apache-2.0
"""The engine of a backend: one pool of the library, the calls in it, and their waiting callers.

Each part of the engine is a layer that uses only the layers below:

    close.py    drain and tear down                             Closing
    submit.py   open the pool, hand calls to it                 Submitting
    settle.py   take results, deliver them to their callers     Settling
    events.py   deliver the events of workers to handlers       Events
    tables.py   hold the state that all layers share            Tables
"""

from __future__ import annotations

from pinfold._client.close import Closing


class Engine(Closing):
    """One pool and its calls. Any thread may use it. No method needs an event loop."""

"""The engine of a backend: one pool of the library, the calls in it, and who waits for them.

Each part of it is a layer that uses only the layers below:

    close.py    the end: drain, tear down                       Closing
    submit.py   open the pool, hand calls to it                 Submitting
    settle.py   take results, deliver them to their callers     Settling
    events.py   deliver what happens to workers to handlers     Events
    tables.py   the state that all of them share                Tables
"""

from __future__ import annotations

from pinfold._client.close import Closing


class Engine(Closing):
    """One pool and its calls. Any thread may use it; none of its methods needs an event loop."""

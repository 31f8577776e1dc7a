# SPDX-License-Identifier: Apache-2.0
"""Log lines, with the candidate's text escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinfold.call import name_of

if TYPE_CHECKING:
    from pinfold._client.record import Origin
    from pinfold.call import Call
    from pinfold.result import WorkerResult


def escaped(text: str, most: int = 200) -> str:
    """Return the first `most` characters of the text on one line. Control characters and characters
    outside ASCII become escapes."""
    cut = text if len(text) <= most else text[:most] + "..."
    return ascii(cut)[1:-1]


def call_line(origin: Origin, call: Call, result: WorkerResult) -> str:
    """Return the log line of one call."""
    metrics = result.metrics
    start = (
        f"pool={escaped(origin.pool_id)} node={escaped(origin.node_id)}"
        f" function={escaped(name_of(call))} outcome={result.outcome}"
    )
    if metrics is None:
        return start
    return (
        f"{start} worker={metrics.worker_id} pid={metrics.worker_pid}"
        f" wall={metrics.wall_time_s:.6f}s"
        f" cpu={metrics.user_time_s + metrics.sys_time_s:.6f}s peak={metrics.peak_rss_kb}KiB"
    )

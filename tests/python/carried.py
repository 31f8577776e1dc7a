# SPDX-License-Identifier: Apache-2.0
"""A backend whose calls and results travel as payloads, to a `LocalBackend` of this process."""

from __future__ import annotations

from typing import Any

from pinfold import EncodedCall, Limits, LocalBackend, PinfoldError, ProgramCall, WorkerConfig
from pinfold._carry.backend import RemoteBackend, RemoteFuture, failed
from pinfold._carry.calls import pack_call, read_call
from pinfold._carry.payload import pack, split
from pinfold._carry.results import decoded, pack_result, read_result


class PayloadBackend(RemoteBackend):
    """Carries every call as the bytes of a payload, and its result likewise."""

    def __init__(self, config: WorkerConfig) -> None:
        super().__init__(Limits())
        self.local = LocalBackend(config)
        self._under_way: dict[RemoteFuture, Any] = {}

    def stats(self) -> Any:
        return self.local.stats()

    def _open(self) -> None:
        self.local.__enter__()

    def _end(self) -> None:
        self.local.close()

    def _send(self, future: RemoteFuture, deadline_s: float | None) -> None:
        codec = future.call.codec or self.local.config.codec
        segments = pack_call(future.call, codec, self.local.config.limits, deadline_s)
        read = read_call(split(bytearray(b"".join(map(bytes, pack(segments))))))
        there = self.local.submit(read.call, deadline_s=read.deadline_s)
        self._under_way[future] = there

        def ended(_: object) -> None:
            self._under_way.pop(future, None)
            if there.cancelled():
                return
            try:
                payload = bytearray(b"".join(map(bytes, pack(pack_result(there.result())))))
                result = read_result(split(payload)).result
                if not isinstance(future.call, ProgramCall | EncodedCall):
                    most = (future.call.limits or self.local.config.limits).result_bytes or 0
                    result = decoded(result, codec, most)
            except PinfoldError as error:
                result = failed("internal", str(error))
            self.settle(future, result)

        there.add_done_callback(ended)

    def _call_off(self, future: RemoteFuture) -> None:
        there = self._under_way.get(future)
        if there is not None:
            there.cancel()

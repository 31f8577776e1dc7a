# SPDX-License-Identifier: Apache-2.0
"""Fuzz how the runtimes of a worker and a template receive what the pool sends: frames, with the
payload inside or in a spill. The request in the payload comes from the caller, and is trusted.

Input: a byte, then the message. Bit 0: send it to a template that waits for its set-up, not to a
worker; 1: with a descriptor; 2: of a file with what follows byte 40 of the message; 3: correct the
frame's head and the size of its payload; 4: what follows byte 40 are segments, as `replay.split`
finds them: lay them out as a payload.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import tempfile

import replay

from pinfold._worker.ext import _runtime
from template_driver import payload

_SPILLS = tempfile.gettempdir()

_HEAD = struct.Struct("<HBBIQ")
_CALL, _SETUP = 9, 1
_SPILLED = 40  # bytes of a CALL without a tail


def _worker() -> socket.socket:
    """Make this process a worker. Return the peer of its channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _runtime.open_worker(theirs.detach(), 0, _SPILLS)
    return ours


_pool = _worker()
_channel = _runtime.open_channel(False)


def _send(to: socket.socket, data: bytes, template: bool) -> None:
    how, message = data[0], bytearray(data[1:])
    fds = []
    if how & 16:
        message[_SPILLED:] = payload(replay.split(bytes(message[_SPILLED:])))
    spilled = how & 6 == 6
    if spilled:
        fds = [os.memfd_create("fuzz")]
        os.write(fds[0], message[_SPILLED:])
        size = len(message) - _SPILLED
        del message[_SPILLED:]
    elif how & 2:
        fds = [os.open("/dev/null", os.O_RDONLY)]
    if how & 8 and len(message) >= _HEAD.size:
        kind = _SETUP if template else _CALL
        message[: _HEAD.size] = _HEAD.pack(0x4650, 2, kind, len(message), 7)
        if not template and len(message) >= _SPILLED:
            size = max(size, 0) if spilled else len(message) - _SPILLED
            message[16:24] = struct.pack("<Q", size)
            message[32] = spilled
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    to.sendmsg([message], rights)
    for fd in fds:
        os.close(fd)


def _set_up(data: bytes) -> bool:
    global _pool
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _send(ours, data, True)
    try:
        isolation, flags, path = _runtime.open_template(theirs.detach())
    except OSError:
        return False
    finally:
        ours.close()
        _pool.close()
        _pool = _worker()  # the reserved descriptors were taken again
    assert 0 <= isolation < 1 << 32 and 0 <= flags < 1 << 32 and os.path.isdir(path)
    return True


def one_input(data: bytes) -> bool:
    """Return whether the message was a set-up or a call."""
    if not data or len(data) > 60_000:
        return False
    if data[0] & 1:
        return _set_up(data)
    _send(_pool, data, False)
    try:
        received = _channel.receive()
    except OSError:
        return False
    assert received is not None and received[0] == _channel.call
    for segment in received[1]:
        assert not segment.readonly
        bytes(segment)
    return True


if __name__ == "__main__":
    replay.main(one_input)

# SPDX-License-Identifier: Apache-2.0
"""The `data` codec: one CBOR item (RFC 8949).

It carries None, bool, int of any size, float (each NaN with its sign and payload), complex, str
(lone surrogates too), bytes, bytearray, list, tuple, set, frozenset, dict (any key that it
carries; the order is kept), range, slice (of ints and None), Ellipsis; datetime, date, time,
timedelta, timezone, zoneinfo.ZoneInfo (by name); Decimal, Fraction, UUID; pathlib.PosixPath and
PurePosixPath; numpy arrays and numpy scalars of every dtype but object, StringDType and
user-defined ones.

Some values arrive as the plain type. Subclasses of dict, list, tuple, int, float and str
(OrderedDict, namedtuple, IntEnum) do, as in `json.dumps`. A deque and a dict's view arrive as
lists, a memmap and a recarray as plain arrays, and other exporters of a buffer (array.array,
memoryview, mmap) as arrays. Other subclasses (pandas' Timestamp, a masked array) are refused,
because their plain part is another value.

An array keeps dtype, shape and C or Fortran order, but is always writable, and loses a dtype's
metadata. Both sides check the bits of arrays with bools or characters; the memory of all others
stays untouched. A dtype whose fields overlap is refused.

Values are trees: two references to one list arrive as two lists, and a cycle is refused. Both
sides accept at most `tags.MAX_DEPTH` (200) containers inside one another.

cbor2 writes; `reader.c` reads. The reader accepts the tags of `tags` and no others, no indefinite
lengths, no undefined or other simple values, and only text as a map's keys, each once. The size of
the bytes bounds a value's memory (`MEMORY_A_BYTE` of `reader.h`) and time. The time also counts the
steps of hash tables (a sender chooses the hashes of numbers) and the size of numbers in keys and
ranges.
"""

from __future__ import annotations

from pinfold.codec.reading import decode
from pinfold.codec.writing import encode

__all__ = ["decode", "encode"]

"""The `data` codec: one CBOR item (RFC 8949).

It carries None, bool, int of any size, float (each NaN with its sign and payload), complex, str
(lone surrogates too), bytes, bytearray, list, tuple, set, frozenset, dict (any key that it
carries; the order is kept), range, slice (of ints and None), Ellipsis; datetime, date, time,
timedelta, timezone, zoneinfo.ZoneInfo (by name); Decimal, Fraction, UUID; pathlib.PosixPath and
PurePosixPath; numpy arrays and numpy scalars of every dtype but object, numpy.str's StringDType
and user-defined ones.

What `json.dumps` takes, it takes as well, as the plain type: subclasses of dict, list, tuple, int,
float and str (OrderedDict, namedtuple, IntEnum). A deque and a dict's view arrive as lists; what
exports a buffer (array.array, memoryview, mmap), as an array; a memmap and a recarray, as plain
arrays. Other subclasses (pandas' Timestamp, a masked array) are refused, because their plain part
is another value.

An array keeps dtype, shape and C or Fortran order, but is always writable, and loses a dtype's
metadata. Arrays with bools or characters are looked through on both sides, since not all bits are
one; the memory of all others stays untouched. A dtype whose fields overlap is refused.

Values are trees: two references to one list arrive as two lists, and a cycle is refused. At most
`wire.MAX_DEPTH` (200) containers inside one another, on both sides.

cbor2 writes; `reader.c` reads. It knows the tags of `wire` and no others, no indefinite lengths,
no undefined and simple values, and of a map only text as keys, each once. The size of the bytes
bounds what a value may cost: its memory, by `MEMORY_A_BYTE`; its time, by what a byte may cost, by
the steps that tables of keys take (a sender chooses the hashes of numbers), and by the size of
numbers in keys and ranges.
"""

from __future__ import annotations

from pinfold.codec.reading import decode
from pinfold.codec.writing import encode

__all__ = ["decode", "encode"]

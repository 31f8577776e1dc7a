"""The `data` codec: one CBOR item (RFC 8949, written and read by cbor2's compiled code).

It carries None, bool, int of any size, float (each NaN with its sign and payload), complex, str
(lone surrogates too), bytes, bytearray, list, tuple, set, frozenset, dict (any key that it
carries; the order is kept), range, slice (of ints and None), Ellipsis; datetime, date, time,
timedelta, timezone, zoneinfo.ZoneInfo (by name); Decimal, Fraction, UUID; pathlib.PosixPath and
PurePosixPath; numpy arrays and numpy scalars of every dtype but object, numpy.str's StringDType
and user-defined ones.

Exactly these types: a subclass (IntEnum, namedtuple, OrderedDict, a masked array, pandas'
Timestamp) is refused, because its plain part is another value. One exception: numpy.memmap comes
back as a plain array, since the file is its storage, not its value. An array keeps dtype, shape and
C or Fortran order, but is always writable, and loses a dtype's metadata. Arrays with bools or
characters are looked through on both sides, since not all bits are one; the memory of all others
stays untouched.

Values are trees: two references to one list arrive as two lists, and a cycle is refused. At most
`wire.MAX_DEPTH` (200) containers inside one another, on both sides.

The reader knows the tags of `wire` and no others: cbor2 asks the mapping of `semantic_decoders`
before its own switch (cbor2 documentation, "Customizing encoding and decoding"), and the one here
answers for every number. So cbor2 never builds a pattern, a message, an address, a shared or a
string reference. Indefinite lengths and duplicate keys are off; keys of CBOR maps are text or
bytes, so that nothing is ever built as an immutable stand-in. The rest (CBOR's undefined and simple
values, for which cbor2 has no switch) is found by a look over the result.
"""

from __future__ import annotations

from pinfold.codec.reading import decode
from pinfold.codec.writing import encode

__all__ = ["decode", "encode"]

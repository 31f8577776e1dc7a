# SPDX-License-Identifier: Apache-2.0
"""Programs whose result costs the caller too much processor time or memory in the read. Each sends
bytes that it has made itself; `sent` is their number, which bounds the costs."""

from __future__ import annotations

from typing import Any

from hostile_base import MIB, Program
from pinfold import Limits, WorkerResult

P = "P = (1 << 61) - 1\n"  # hash(n) is n % P


def fine(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether the error cannot be printed; the program may send any value."""
    try:
        repr(result.error)
    except ValueError:
        return True
    return False


def stream(name: str, tries: str, item: str, sent: int, **more: Any) -> Program:
    """Return a program that sends `item`, an expression of a CBOR item."""
    status = more.pop("status", 0)
    more.setdefault("kind", "H")
    return Program(
        name, tries, f"{P}deliver(payload({item}), {status})\nos._exit(0)", sent=sent, check=fine, **more
    )


def failure(name: str, tries: str, item: str, sent: int, **more: Any) -> Program:
    """Return a program that sends it as the account of a failure."""
    return stream(name, tries, item, sent, status=1, **more)


ACCOUNT = "head(5, 4) + text('type') + {type} + text('message') + {message} + text('text') + {text} + text('returncode') + {code}"


def account(type: str = "text('E')", message: str = "text('m')", text: str = "text('t')", code: str = "integer(1)") -> str:  # noqa: A002
    return ACCOUNT.format(type=type, message=message, text=text, code=code)


PROGRAMS: list[Program] = [
    # ---- more than was sent -----------------------------------------------------------------
    Program(
        "hole_in_segment",
        "sends a segment that is a hole of 200 MiB, as bytes",
        """
item = tag(OURS + 4, integer(1))
table = struct.pack("<IIQQ", 0x4C504650, 2, len(item), 200 << 20).ljust(64, b"\\0") + item.ljust(64, b"\\0")
fd = open_like(w, ".", os.O_TMPFILE | os.O_RDWR)
os.write(fd, table)
os.ftruncate(fd, 128 + (200 << 20))
reader = reader_of(fd)
os.close(fd)
send_spill(reader, 128 + (200 << 20))
os._exit(0)
""",
        kind="H",
        sent=4096,
        check=fine,
    ),
    Program(
        "hole_in_memfd",
        "the same in a sealed memfd",
        """
item = tag(OURS + 4, integer(1))
table = struct.pack("<IIQQ", 0x4C504650, 2, len(item), 200 << 20).ljust(64, b"\\0") + item.ljust(64, b"\\0")
fd = os.memfd_create("planted", 3)
os.write(fd, table)
os.ftruncate(fd, 128 + (200 << 20))
fcntl.fcntl(fd, 1033, 15)
send_spill(fd, 128 + (200 << 20))
os._exit(0)
""",
        kind="H",
        sent=4096,
        check=fine,
    ),
    Program(
        "holes_beside_data",
        "the same, with a page of data in every MiB",
        """
item = tag(OURS + 4, integer(1))
table = struct.pack("<IIQQ", 0x4C504650, 2, len(item), 200 << 20).ljust(64, b"\\0") + item.ljust(64, b"\\0")
fd = os.memfd_create("planted", 3)
os.write(fd, table)
os.ftruncate(fd, 128 + (200 << 20))
for at in range(200): os.pwrite(fd, b"x", at << 20)
fcntl.fcntl(fd, 1033, 15)
send_spill(fd, 128 + (200 << 20))
os._exit(0)
""",
        kind="H",
        sent=200 * 4096,
        check=fine,
    ),
    Program(
        "one_hole_many_times",
        "refers to one segment many times",
        "item = items([tag(OURS + 4, integer(1))] * 1000)\ndeliver(laid_out([item, bytes(100000)]))\nos._exit(0)",
        kind="H",
        sent=120_000,
        check=fine,
    ),
    stream("empty_maps", "sends maps of an empty text and an empty list", "items([b'\\xa1\\x60\\x80'] * 300000)", 900_000, limits=Limits(result_bytes=2 * MIB)),
    stream("empty_lists", "sends a list of empty lists", "items([b'\\x80'] * 900000)", 900_000, limits=Limits(result_bytes=2 * MIB)),
    stream("empty_sets", "sends a list of empty sets", "items([tag(258, b'\\x80')] * 200000)", 800_000, limits=Limits(result_bytes=2 * MIB)),
    stream("empty_arrays", "sends arrays without elements", "items([tag(OURS + 19, b'\\x84\\x62u1\\x81\\x00\\xf4\\x40'.replace(b'\\x62u1', text('|u1')))] * 60000)", 840_000, limits=Limits(result_bytes=2 * MIB)),
    stream("empty_bytearrays", "sends empty bytearrays", "items([tag(OURS + 3, b'\\x40')] * 150000)", 900_000, limits=Limits(result_bytes=2 * MIB)),
    stream("empty_paths", "sends empty paths", "items([tag(OURS + 17, b'\\x60')] * 150000)", 900_000, limits=Limits(result_bytes=2 * MIB)),
    stream("small_floats", "sends floats of half precision", "items([b'\\xf9\\x3c\\x01'] * 300000)", 900_000, limits=Limits(result_bytes=2 * MIB)),
    stream("nested_singles", "sends lists of one, 200 deep, many of them", "items([(b'\\x81' * 150) + b'\\x80'] * 6000)", 906_000, limits=Limits(result_bytes=2 * MIB)),
    Program("empty_segments", "sends 2^17 empty segments", "deliver(laid_out([items([tag(OURS + 4, integer(n)) for n in range(1, 1 << 17)])] + [b''] * ((1 << 17) - 1)))\nos._exit(0)", Limits(result_bytes=4 * MIB), kind="H", sent=2 * MIB, check=fine),
    Program("unused_segments", "sends 2^17 empty segments that nothing refers to", "deliver(laid_out([b'\\x80'] + [b''] * ((1 << 17) - 1)))\nos._exit(0)", Limits(result_bytes=4 * MIB), kind="H", sent=1 * MIB, check=fine),
    # ---- failures ---------------------------------------------------------------------------
    failure("failure_of_maps", "sends maps as the account of a failure, which no limit of results bounds", "items([b'\\xa1\\x60\\x80'] * 1000000)", 300_000),
    failure("failure_text_large", "sends an error text of 60 MB", account(text="text('x' * 60000000)"), 200_000),
    failure("failure_message_large", "sends an error message of 60 MB", account(message="text('x' * 60000000)"), 200_000),
    failure("failure_type_large", "sends a type's name of 60 MB", account(type="text('x' * 60000000)"), 200_000),
    failure("failure_code_huge", "sends a returncode of 2^100000", account(code="integer(1 << 100000)"), 20_000, times=1),
    failure("failure_code_negative", "sends a returncode of -2^63", account(code="b'\\x3b' + b'\\xff' * 8"), 20_000),
    failure("failure_of_other_types", "sends an account whose fields are no text", account(message="b'\\xf6'", text="integer(7)", type="b'\\x80'"), 20_000),
    failure("failure_with_more_fields", "sends an account with many fields more", "head(5, 100000) + b''.join(text('%d' % n) + b'\\x80' for n in range(100000))", 20_000),
    stream("failure_by_status", "sends a value under each other status", "items([b'\\xa1\\x60\\x80'] * 1000000)", 300_000, status=2),
    stream("failure_by_status_3", "sends a value as one that is too large", "items([b'\\xa1\\x60\\x80'] * 1000000)", 300_000, status=3),
    stream("failure_by_status_4", "sends a value as the runtime's own failure", "items([b'\\xa1\\x60\\x80'] * 1000000)", 300_000, status=4),
    Program("failure_in_segments", "sends an account in many segments", "deliver(laid_out([b'\\x80'] + [b''] * (1 << 17)), 1)\nos._exit(0)", kind="H", sent=300_000, check=fine),
    Program("failure_stack_large", "sends stacks without end", "c = channel()\nframe = struct.pack('<HBBIQ', 0x4650, 2, 11, 65000, my_call()) + b'x' * 64984\nfor _ in range(3000): c.send(frame)\nos._exit(3)", kind="H", sent=300_000, check=fine),
    # ---- hashes -----------------------------------------------------------------------------
    stream("colliding_ints", "sends a set of ints of one hash", "tag(258, items([integer(n * P) for n in range(1, 12000)]))", 360_000),
    stream("colliding_keys", "sends a dict whose keys have one hash", "tag(OURS + 2, items([items([integer(n * P) for n in range(1, 10000)]), items([b'\\x00'] * 9999)]))", 260_000),
    stream("colliding_frozenset", "sends a frozenset of ints of one hash", "tag(OURS + 1, items([integer(n * P) for n in range(1, 12000)]))", 360_000),
    stream("colliding_negative_ints", "sends a set of negative ints of one hash", "tag(258, items([tag(3, (lambda b: head(2, len(b)) + b)((n * P - 1).to_bytes(12, 'big'))) for n in range(1, 10000)]))", 350_000),
    stream("colliding_uuids", "sends a set of UUIDs of one hash", "tag(258, items([tag(37, head(2, 16) + (n * P).to_bytes(16, 'big')) for n in range(1, 3000)]))", 300_000),
    stream("colliding_decimals", "sends a set of Decimals of one hash", "tag(258, items([tag(OURS + 16, text(str(n * P))) for n in range(1, 6000)]))", 320_000),
    stream("colliding_fractions", "sends a set of Fractions of one hash", "tag(258, items([tag(30, items([integer(1 + n * P), integer(1)])) for n in range(1, 1500)]))", 240_000),
    stream("colliding_complex", "sends a set of complex numbers of one hash", "tag(258, items([tag(43000, items([b'\\xfb' + struct.pack('>d', -1000003.0 * n), b'\\xfb' + struct.pack('>d', 1.0 * n)])) for n in range(1, 8000)]))", 330_000),
    stream("colliding_tuples", "sends a set of tuples of ints of one hash", "tag(258, items([tag(OURS + 0, items([integer(n * P), integer(m * P)])) for n in range(1, 110) for m in range(1, 110)]))", 350_000),
    stream("colliding_timedeltas", "sends a set of times at one hash", "tag(258, items([tag(OURS + 15, text('UTC'))] + [tag(OURS + 13, items([integer(n), integer(0), integer(0)])) for n in range(20000)]))", 260_000),
    stream("colliding_ranges", "sends a set of ranges of one hash", "tag(258, items([tag(OURS + 7 + 1, items([integer(0), integer(n * P), integer(n * P)])) for n in range(1, 6000)]))", 350_000),
    stream("colliding_scalars", "sends a set of numpy scalars beside ints of their hash", "tag(258, items([integer(n * P) for n in range(1, 15000)] + [tag(OURS + 20, items([text('<f8'), head(2, 8) + struct.pack('<d', float(n))])) for n in range(5000)]))", 300_000),
    stream("colliding_in_twos", "sends sets of ints of 300 hashes", "tag(258, items([integer(m + n * P) for n in range(1, 100) for m in range(300)]))", 360_000),
    stream("colliding_below", "sends many small sets of ints of one hash", "items([tag(258, items([integer(n * P) for n in range(1, 120)]))] * 250)", 330_000),
    stream("close_ints", "sends a set of ints whose low bits are one", "tag(258, items([integer(n << 44) for n in range(1, 40000)]))", 360_000),
    # ---- numbers ----------------------------------------------------------------------------
    stream("decimal_beside_large_int", "sends a set of a Decimal and a large int of its hash", "tag(258, items([tag(OURS + 16, text(str((1 << 2400000) % P))), tag(2, head(2, 300001) + b'\\1' + bytes(300000))]))", 300_000),
    stream("decimal_beside_fraction", "sends a set of a Decimal and a large Fraction of its hash", "(lambda d: tag(258, items([tag(OURS + 16, text(str((1 << 1600000) * pow(d, -1, P) % P))), tag(30, items([tag(2, head(2, 200001) + b'\\1' + bytes(200000)), integer(d)]))])))(3)", 200_000),
    stream("decimal_beside_float", "sends a set of Decimals of huge exponents beside floats", "tag(258, items([tag(OURS + 16, text('1E%d' % (61 * n))) for n in range(1, 10000)] + [b'\\xfb' + struct.pack('>d', 2.0 ** (n % 1000)) for n in range(0, 1000)]))", 200_000),
    stream("decimals_of_huge_exponents", "sends a set of Decimals with exponents of 18 digits", "tag(258, items([tag(OURS + 16, text('1E%d' % (999999999999999999 - n))) for n in range(9000)]))", 250_000),
    stream("decimal_of_many_digits", "sends Decimals of many digits in a set", "tag(258, items([tag(OURS + 16, text('9' * 100000 + str(n))) for n in range(4)]))", 400_000),
    stream("large_fraction", "sends Fractions of large parts", "items([tag(30, items([tag(2, head(2, 8000) + b'\\xff' * 8000), tag(2, head(2, 7999) + b'\\xfe' * 7998 + b'\\xfd')]))] * 24)", 380_000),
    stream("large_fractions_in_set", "sends a set of large Fractions", "tag(258, items([tag(30, items([tag(2, head(2, 30000) + b'\\xff' * 29996 + n.to_bytes(4, 'big')), tag(2, head(2, 30000) + b'\\xfe' * 29999 + b'\\xfd')])) for n in range(6)]))", 360_000),
    stream("large_int", "sends an int of 3 million bits", "tag(2, head(2, 400000) + b'\\xff' * 400000)", 400_000),
    stream("large_ints_in_range", "sends ranges of large ints", "items([tag(OURS + 8, items([tag(2, head(2, 60000) + b'\\xff' * 60000), tag(2, head(2, 60000) + b'\\xfe' * 60000), tag(2, head(2, 30000) + b'\\xfd' * 30000)]))] * 2)", 300_000),
    stream("large_ranges_in_set", "sends a set of ranges of large ints", "tag(258, items([tag(OURS + 8, items([integer(0), tag(2, head(2, 60000) + b'\\xff' * 60000), tag(2, head(2, 30000) + b'\\xfd' * 29999 + bytes([n]))])) for n in range(1, 4)]))", 280_000),
    stream("many_fractions", "sends many small Fractions", "items([tag(30, items([integer(1), integer(3)]))] * 80000)", 400_000),
    stream("many_decimals", "sends many small Decimals", "items([tag(OURS + 16, text('1'))] * 60000)", 420_000),
    stream("many_dates", "sends many dates", "items([tag(OURS + 11, items([integer(1), integer(1), integer(1)]))] * 45000)", 400_000),
    stream("many_datetimes", "sends many times with zones", "items([tag(OURS + 10, items([integer(1)] * 3 + [integer(0)] * 5 + [tag(OURS + 15, text('UTC'))]))] * 16000)", 370_000),
    stream("many_zones", "sends many time zones", "items([tag(OURS + 15, text('Etc/GMT+%d' % (n % 12))) for n in range(25000)])", 400_000),
    stream("many_uuids", "sends many UUIDs", "items([tag(37, head(2, 16) + bytes(16))] * 20000)", 380_000),
    stream("many_scalars", "sends many numpy scalars", "items([tag(OURS + 20, items([text('|u1'), b'\\x41\\x01']))] * 35000)", 420_000),
    stream("many_dtypes", "sends arrays of many different dtypes", "items([tag(OURS + 19, items([text('<M8[%dus]' % n), items([integer(0)]), b'\\xf4', b'\\x40'])) for n in range(1, 15000)])", 400_000),
    stream("many_nans", "sends many NaNs with payloads", "items([tag(OURS + 6, b'\\x48\\x7f\\xf8' + bytes(5) + b'\\1')] * 28000)", 400_000),
    # ---- dtypes -----------------------------------------------------------------------------
    stream("overlapping_fields", "sends a dtype of 20,000 fields at one offset", "(lambda fields: tag(OURS + 19, items([items([integer(0), integer(4), items(fields)]), items([integer(1)]), b'\\xf4', b'\\x44' + bytes(4)])))([items([text('f%d' % n), b'\\xf6', integer(0), text('<u4'), b'\\xf6']) for n in range(20000)])", 380_000),
    stream("overlapping_structs", "sends structures at one offset, inside one another", "(lambda inner: tag(OURS + 19, items([items([integer(0), integer(4), items([items([text('g%d' % n), b'\\xf6', integer(0), inner, b'\\xf6']) for n in range(40)])]), items([integer(1)]), b'\\xf4', b'\\x44' + bytes(4)])))(items([integer(0), integer(4), items([items([text('f%d' % n), b'\\xf6', integer(0), text('<u4'), b'\\xf6']) for n in range(400)])]))", 280_000),
    stream("many_fields", "sends a dtype of 20,000 fields", "(lambda fields: tag(OURS + 19, items([items([integer(0), integer(80000), items(fields)]), items([integer(0)]), b'\\xf4', b'\\x40'])))([items([text('f%d' % n), b'\\xf6', integer(4 * n), text('<u4'), b'\\xf6']) for n in range(20000)])", 400_000),
    stream("fields_without_size", "sends a dtype of fields that take no room", "(lambda fields: tag(OURS + 19, items([items([integer(0), integer(4), items(fields)]), items([integer(1)]), b'\\xf4', b'\\x44' + bytes(4)])))([items([text('f%d' % n), b'\\xf6', integer(0), text('|V0'), b'\\xf6']) for n in range(16000)])", 300_000),
    stream("checked_fields", "sends a structure of bools with many elements, which are looked through one field at a time", "(lambda fields: tag(OURS + 19, items([items([integer(0), integer(4), items(fields)]), items([integer(60000)]), b'\\xf4', head(2, 240000) + bytes(240000)])))([items([text('f%d' % n), b'\\xf6', integer(n % 4), text('|b1'), b'\\xf6']) for n in range(3000)])", 300_000),
    stream("repeated_dtype", "sends arrays of one large dtype", "(lambda spec: items([tag(OURS + 19, items([spec, items([integer(0)]), b'\\xf4', b'\\x40']))] * 100))(items([integer(0), integer(400), items([items([text('f%d' % n), b'\\xf6', integer(4 * n), text('<u4'), b'\\xf6']) for n in range(100)])]))", 150_000),
    stream("titles", "sends a dtype whose fields have long titles", "(lambda fields: tag(OURS + 19, items([items([integer(0), integer(4000), items(fields)]), items([integer(0)]), b'\\xf4', b'\\x40'])))([items([text('f%d' % n), text('t' * 300 + str(n)), integer(4 * n), text('<u4'), b'\\xf6']) for n in range(1000)])", 310_000),
    stream("array_without_items", "sends an array of 2^62 elements that take no room", "tag(OURS + 19, items([text('|V0'), items([integer(1 << 62)]), b'\\xf4', b'\\x40']))", 20_000),
    stream("array_of_many_dimensions", "sends arrays of 64 dimensions", "items([tag(OURS + 19, items([text('|u1'), items([integer(1)] * 32), b'\\xf4', b'\\x41\\x01']))] * 8000)", 380_000),
    # ---- damaged ----------------------------------------------------------------------------
    stream("malformed_end", "sends a long stream that is damaged at its end", "items([b'\\x01'] * 3000000)[:-1] + b'\\xff'", 3_000_000, limits=Limits(result_bytes=4 * MIB)),
    stream("malformed_nested_end", "the same with containers", "items([b'\\xa1\\x60\\x80'] * 100000)[:-1] + b'\\xff'", 300_000),
    stream("malformed_text", "sends a text that is no UTF-8 at its end", "head(3, 3000000) + b'x' * 2999999 + b'\\xff'", 3_000_000, limits=Limits(result_bytes=4 * MIB)),
    stream("too_long_claims", "claims containers longer than the stream", "b'\\x9a\\xff\\xff\\xff\\xff' * 150", 20_000),
    stream("too_deep", "nests deeper than is read", "items([b'\\x81' * 1000 + b'\\x00'] * 300)", 300_000),
    stream("suspects_everywhere", "makes the look over the whole value needed", "items([b'\\xa1\\x61\\xe0\\x80' if False else items([b'\\x80'] * 20)] * 14000 + [text('\\u00e0')])", 300_000),
    stream("simple_value_at_end", "ends with what is no value", "items([items([b'\\x01'] * 10)] * 27000 + [b'\\xe0'])", 300_000),
    stream("equal_elements", "sends a set whose last elements are equal", "tag(258, items([integer(n) for n in range(60000)] + [b'\\x01']))", 180_000),
    stream("long_equal_texts", "sends a dict of long keys that are nearly equal", "tag(OURS + 2, items([items([text('k' * 4000 + str(n)) for n in range(100)]), items([b'\\0'] * 100)]))", 400_000),
    stream("nested_frozensets", "sends frozensets inside one another, which are hashed again at each level", "(lambda f: f(f, 150))(lambda f, n: tag(OURS + 1, items([integer(k) for k in range(2)] + ([f(f, n - 1)] if n else []))))", 20_000),
    stream("nested_tuples_in_set", "sends a set of a tuple that is nested deep and wide", "tag(258, items([(lambda f: f(f, 180))(lambda f, n: tag(OURS + 0, items([integer(k) for k in range(100)] + ([f(f, n - 1)] if n else []))))]))", 40_000),
    stream("tuple_keys_shared_depth", "sends many sets around the same deep tuple", "(lambda f: f(f, 90))(lambda f, n: tag(258, items([tag(OURS + 0, items([integer(k) for k in range(300)]))] )) if not n else tag(OURS + 0, items([tag(OURS + 1, items([tag(OURS + 0, items([integer(k) for k in range(300)]))])), f(f, n - 1)])))", 40_000),
]  # fmt: skip

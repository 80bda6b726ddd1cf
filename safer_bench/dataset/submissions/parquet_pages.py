"""The headers of a Parquet file's pages: what unpacking will take, from what is unpacked and not from the footer's word.

A footer can say little of much; a page that is of another size than its header says is refused by Arrow itself. Headers
are structs of Thrift's compact protocol, of which this reads what it takes to go from one to the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DEEPEST = 8  # structs within structs; a header has three
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
UNCOMPRESSED, COMPRESSED = 2, 3  # fields of a header, sizes in bytes
ENCODINGS = ((5, 2), (7, 2), (8, 4))  # where a data page, a dictionary and a data page of version 2 name theirs
BY_DICTIONARY = (2, 8)  # encodings that name texts by their number in a dictionary
DELTA_BYTE_ARRAY = 7  # an encoding whose texts are longer than their page


@dataclass(frozen=True, slots=True)
class Page:
    """What a page's header says: bytes when it is unpacked, and the number of its encoding."""

    size: int
    encoding: int


def pages(data: bytes, start: int, end: int) -> Iterator[Page]:
    """Yield the pages of a column chunk.

    Args:
        data: of the whole file.
        start, end: of the chunk, in bytes.

    Raises:
        ValueError: what is there is no row of pages.
    """
    if not 0 <= start <= end <= len(data):
        raise ValueError("a column lies outside the file")
    reader = _Reader(data, start, end)
    while reader.place < end:
        header = reader.struct()
        size, packed = header.get(UNCOMPRESSED), header.get(COMPRESSED)
        if not (isinstance(size, int) and isinstance(packed, int) and size >= 0 and packed >= 0):
            raise ValueError("a page without sizes")
        reader.skip(packed)
        kinds = [header[place][field] for place, field in ENCODINGS if isinstance(header.get(place), dict)]
        yield Page(size, kinds[0] if kinds else 0)


class _Reader:
    """Reads values one after the other; never beyond the end."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self.data, self.place, self.end = data, place, end

    def skip(self, n_bytes: int) -> None:
        self.place += n_bytes
        if self.place > self.end:
            raise ValueError("a page ends outside its column")

    def byte(self) -> int:
        self.skip(1)
        return self.data[self.place - 1]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number without an end")

    def number(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the numbers and structs of a struct by their field; all else is passed over."""
        if depth > DEEPEST:
            raise ValueError("a header without an end")
        fields: dict[int, Any] = {}
        field = 0
        while (head := self.byte()) != 0:
            field = field + (head >> 4) if head >> 4 else self.number()
            fields[field] = None if head & 15 in (TRUE, FALSE) else self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            head = self.byte()
            n_items, of = head >> 4 if head >> 4 < 15 else self.varint(), head & 15
            for _ in range(n_items):
                self._value(BYTE if of in (TRUE, FALSE) else of, depth + 1)
            return None
        if kind in (BYTE, DOUBLE, BINARY):
            self.skip({BYTE: 1, DOUBLE: 8}.get(kind) or self.varint())
            return None
        if kind == MAP or kind > STRUCT or kind == 0:
            raise ValueError("a header of unknown fields")
        return self.number()

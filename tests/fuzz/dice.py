"""Bytes as chance: whoever draws from these dice does what a fuzzer wants."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random


class BytesDice(Random):
    """Draws from the bytes while there are any, and then always the lowest."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    @property
    def empty(self) -> bool:
        return self._at >= len(self._data)

    def _take(self, size: int) -> int:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken.ljust(size, b"\0"))

    def random(self) -> float:
        return self._take(2) / 65536

    def getrandbits(self, k: int, /) -> int:
        if k > 64:  # of sound and the like: what it is does not matter, and it would use the bytes up
            return super().getrandbits(k)
        return self._take(-(-k // 8)) >> -k % 8


def cut(data: bytes, sizes: bytes) -> Iterator[bytes]:
    """The data in pieces of these sizes, in turns; whole where there are none. A size of 0 is an empty piece, if others are not."""
    if not any(sizes):
        yield data
        return
    at = 0
    while at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size


def split(data: bytes) -> tuple[bytes, bytes]:
    """How the first bytes say that the others are to be cut, and those."""
    count = data[0] % 8 if data else 0
    return data[1 : 1 + count], data[1 + count :]

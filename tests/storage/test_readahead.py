"""A stream read ahead gives what it would have given, and ends with its user."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest

from rootless_pod.errors import Corrupt
from rootless_pod.storage.readahead import ReadAhead


class Pieces:
    """A stream of given pieces, which counts what was taken."""

    def __init__(self, pieces, fault=None):
        self.pieces = list(pieces)
        self.fault = fault
        self.taken = 0

    def read(self, size):
        if not self.pieces:
            if self.fault is not None:
                raise self.fault
            return b""
        self.taken += len(self.pieces[0])
        return self.pieces.pop(0)


def test_every_byte_comes_in_order_whatever_sizes_are_asked_for():
    chance = random.Random(7)
    pieces = [chance.randbytes(chance.randrange(1, 70_000)) for _ in range(60)]
    ahead = ReadAhead(Pieces(pieces))
    got = []
    while data := ahead.read(chance.randrange(1, 100_000)):
        got.append(data)
    assert ahead.read(10) == b""
    ahead.close()
    assert b"".join(got) == b"".join(pieces)
    assert ahead.digest.digest() == hashlib.sha256(b"".join(pieces)).digest()


def test_a_fault_comes_after_all_the_bytes_before_it():
    ahead = ReadAhead(Pieces([b"abc", b"def"], fault=Corrupt("damaged")))
    assert ahead.read(3) + ahead.read(3) == b"abcdef"
    with pytest.raises(Corrupt, match="damaged"):
        ahead.read(1)
    with pytest.raises(Corrupt, match="damaged"):
        ahead.read(1)
    ahead.close()


def test_what_is_read_ahead_is_bounded_and_closing_ends_the_thread():
    before = threading.active_count()
    stream = Pieces([bytes(1 << 20)] * 64)
    ahead = ReadAhead(stream)
    ahead.read(1)
    ahead.close()
    assert stream.taken <= 8 << 20
    assert threading.active_count() == before

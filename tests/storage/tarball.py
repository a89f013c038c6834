"""Builds tar archives byte by byte, so that they can be wrong in every way."""

from __future__ import annotations

import io

BLOCK = 512
END = bytes(2 * BLOCK)


def octal(number, width):
    return b"%0*o\0" % (width - 1, number)


def pad(data):
    return data + bytes(-len(data) % BLOCK)


def header(name=b"x", kind=b"0", *, size=0, link=b"", mode=0o644, uid=0, gid=0, mtime=1_700_000_000, **raw):
    """Return one header block. ``raw`` replaces fields by bytes: size_field, checksum, magic, tail …"""
    block = bytearray(BLOCK)
    fields = {
        0: name[:100],
        100: octal(mode, 8),
        108: raw.get("uid_field", octal(uid, 8)),
        116: octal(gid, 8),
        124: raw.get("size_field") or octal(size, 12),
        136: raw.get("mtime_field") or octal(mtime, 12),
        148: b"        ",
        156: kind,
        157: link[:100],
        257: raw.get("magic", b"ustar\x0000"),
        345: raw.get("tail", b""),
    }
    for offset, value in fields.items():
        block[offset : offset + len(value)] = value
    block[148:156] = raw.get("checksum") or b"%06o\0 " % sum(block)
    return bytes(block)


def file(name, data=b"", **fields):
    return header(name, b"0", size=len(data), **fields) + pad(data)


def directory(name, **fields):
    return header(name, b"5", **{"mode": 0o755, **fields})


def symlink(name, target, **fields):
    return header(name, b"2", link=target, **fields)


def hard_link(name, target, **fields):
    return header(name, b"1", link=target, **fields)


def record(key, value):
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    while length != body + len(str(length)):
        length = body + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(records, kind=b"x"):
    text = records if isinstance(records, bytes) else b"".join(record(key, value) for key, value in records)
    return header(b"pax", kind, size=len(text)) + pad(text)


def gnu_long(kind, text):
    return header(b"././@LongLink", kind, size=len(text) + 1) + pad(text + b"\0")


def archive(*members):
    return io.BytesIO(b"".join(members) + END)


class Dribble:
    """A stream that gives a few bytes at a time, as sockets do."""

    def __init__(self, data, step=700):
        self._inner = io.BytesIO(data)
        self._step = step

    def read(self, size):
        return self._inner.read(min(size, self._step))

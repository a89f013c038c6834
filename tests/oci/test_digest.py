"""Digests and the verifier that watches a stream."""

from __future__ import annotations

import hashlib

import pytest

from rootless_pod.errors import Corrupt, Usage
from rootless_pod.oci.digest import Verifier, hex_of, is_digest, of_bytes, parse_digest

DATA = b"some bytes"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


def test_of_bytes_is_what_hashlib_says():
    assert of_bytes(DATA) == DIGEST


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:abc", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:" + "a" * 65,
     "md5:" + "a" * 32, "sha512:" + "a" * 64, "sha256:" + "a" * 63 + "/", "sha256:../../" + "a" * 58],
)  # fmt: skip
def test_what_is_no_digest_is_refused(text):
    assert not is_digest(text)
    with pytest.raises(Usage):
        parse_digest(text)
    with pytest.raises(Corrupt):
        Verifier(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_verifier_accepts_the_right_bytes_in_pieces(algorithm):
    verifier = Verifier(f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}", len(DATA))
    for byte in DATA:
        verifier.update(bytes([byte]))
    verifier.finish()
    assert verifier.seen == len(DATA)


def test_a_verifier_refuses_changed_bytes():
    verifier = Verifier(DIGEST, len(DATA))
    verifier.update(DATA[:-1] + b"!")
    with pytest.raises(Corrupt, match="damaged"):
        verifier.finish()


def test_a_verifier_refuses_missing_bytes():
    verifier = Verifier(DIGEST, len(DATA))
    verifier.update(DATA[:-1])
    with pytest.raises(Corrupt, match="9 of 10 bytes"):
        verifier.finish()


def test_a_verifier_refuses_too_many_bytes_as_soon_as_they_come():
    verifier = Verifier(DIGEST, len(DATA))
    with pytest.raises(Corrupt, match="longer"):
        verifier.update(DATA + b"!")


def test_hex_of_cuts_the_algorithm():
    assert hex_of(DIGEST) == DIGEST[7:]
    assert hex_of(DIGEST[7:]) == DIGEST[7:]

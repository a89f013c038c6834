"""Making signatures: keys that are no good, places that are full, and what is put beside what."""

from __future__ import annotations

import base64
import hashlib
import json
import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from nacl.secret import SecretBox

from rootless_pod.errors import Corrupt, HostUnready, NotFound, Refused, RpodError
from rootless_pod.image.trust import privatekey
from rootless_pod.image.trust.deposit import LookasideDeposit, store_directory
from rootless_pod.image.trust.params import read_params
from rootless_pod.image.trust.payload import COSIGN, SIMPLE, Claim, format_claim, parse_claim
from rootless_pod.image.trust.publickey import verifies
from rootless_pod.image.trust.registriesd import read_registries_d
from rootless_pod.image.trust.signature import (
    CERTIFICATE,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    Signature,
    format_stored,
    parse_stored,
)
from rootless_pod.image.trust.signer import SigstoreSigner
from rootless_pod.programs import gpg as program

DIGEST = "sha256:" + "b" * 64
CLAIM = Claim(digest=DIGEST, reference="a.org/b:1")
KINDS = {
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def text(data):
    return base64.b64encode(data).decode()


def locked(private, *, n=1024, title="SIGSTORE", content=None, **changes):
    """Write a key as cosign does, with less work for the passphrase."""
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salt, nonce = os.urandom(32), os.urandom(24)
    secret = hashlib.scrypt(b"words", salt=salt, n=1024, r=8, p=1, dklen=32)
    box = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
        "ciphertext": text(SecretBox(secret).encrypt(content or der, nonce).ciphertext),
        **changes,
    }
    body = text(json.dumps(box).encode())
    return f"-----BEGIN ENCRYPTED {title} PRIVATE KEY-----\n{body}\n-----END ENCRYPTED {title} PRIVATE KEY-----\n"


@pytest.mark.parametrize("title", ["SIGSTORE", "COSIGN"])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_key_of_cosign_is_opened_and_its_signature_verifies(tmp_path, make, title):
    private, path = make(), tmp_path / "key"
    path.write_text(locked(private, title=title))
    key = privatekey.read_private_key(str(path), "words")
    assert verifies(private.public_key(), privatekey.sign(key, b"payload"), b"payload")
    with pytest.raises(Refused, match="passphrase does not open"):
        privatekey.read_private_key(str(path), "other words")


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"n": 1 << 30}, Corrupt, "no sound choice"),
        ({"n": 1000}, Corrupt, "no sound choice"),
        ({"cipher": {"name": "nacl/secretbox", "nonce": text(b"short")}}, Corrupt, "5 bytes, not 24"),
        ({"cipher": {"name": "aes", "nonce": ""}}, Corrupt, "scrypt and aes"),
        ({"ciphertext": "?"}, Corrupt, "damaged"),
        ({"more": 1}, Corrupt, "unknown field 'more'"),
        ({"content": b"no key"}, Corrupt, "no PKCS #8 key"),
        ({"title": "OPENSSH"}, Refused, "no private key of sigstore"),
    ],
    ids=["memory", "power", "nonce", "cipher", "base64", "field", "content", "title"],
)
def test_a_file_that_is_no_sound_key_is_refused_with_the_reason(tmp_path, changes, kind, reason):
    path = tmp_path / "key"
    path.write_text(locked(KINDS["ECDSA"](), **changes))
    with pytest.raises(kind, match=reason):
        privatekey.read_private_key(str(path), "words")


@pytest.mark.parametrize("kind", [SIMPLE, COSIGN])
def test_a_claim_that_is_written_is_the_one_that_is_read(kind):
    data = format_claim(CLAIM, kind, creator="rootless_pod", timestamp=7)
    assert parse_claim(data, kind) == CLAIM
    assert json.loads(data)["optional"] == {"creator": "rootless_pod", "timestamp": 7}


def test_a_signature_that_is_stored_is_the_one_that_is_read():
    for one in (
        Signature(place="x", data=b"\x90openpgp"),
        Signature(place="x", data=b"payload", simple=False, media_type=PAYLOAD_TYPE, annotations={"a": "b"}),
    ):
        assert parse_stored(format_stored(one), "x") == one


class Counting(SigstoreSigner):
    """Counts what it signs."""

    def __init__(self, key):
        super().__init__(key)
        self.made = 0

    def sign(self, claim):
        self.made += 1
        return super().sign(claim)


@pytest.fixture
def signer():
    return Counting(KINDS["ECDSA"]())


def stored(tmp_path):
    return sorted(tmp_path.glob("b@sha256=*/signature-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def test_one_s_own_signature_is_replaced_and_any_other_stays(tmp_path, signer):
    deposit, other = LookasideDeposit(str(tmp_path), "b"), Counting(KINDS["ECDSA"]())
    deposit.put(other, CLAIM, top=True)
    deposit.put(signer, CLAIM, top=True)
    deposit.put(signer, CLAIM.replace(reference="a.org/b:2"), top=True)
    before = [path.read_bytes() for path in stored(tmp_path)]
    deposit.put(signer, CLAIM, top=True)
    after = [path.read_bytes() for path in stored(tmp_path)]
    assert len(after) == 3
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert [path.stat().st_mode & 0o777 for path in stored(tmp_path)] == [0o644] * 3


def test_a_signature_with_a_certificate_is_more_than_ours_and_stays(signer):
    made = signer.sign(CLAIM)
    assert signer.claim_of(made) == CLAIM
    assert signer.claim_of(made.replace(annotations={**made.annotations, CERTIFICATE: "x"})) is None
    assert signer.claim_of(made.replace(data=made.data + b" ")) is None
    assert signer.claim_of(Signature(place="", data=b"\x90")) is None


def test_a_store_that_is_full_takes_no_more(tmp_path, signer):
    directory = tmp_path / f"b@{DIGEST.replace(':', '=')}"
    directory.mkdir()
    for number in range(1, MAX_SIGNATURES + 1):
        (directory / f"signature-{number}").write_bytes(b"\x90")
    with pytest.raises(Refused, match="signatures"):
        LookasideDeposit(str(tmp_path), "b").put(signer, CLAIM, top=True)
    assert signer.made == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_store_that_can_t_be_written_is_named_with_what_helps(tmp_path, signer):
    (tmp_path / "store").mkdir(mode=0o555)
    with pytest.raises(HostUnready, match="store/team/b@sha256") as caught:
        LookasideDeposit(str(tmp_path / "store"), "team/b").put(signer, CLAIM, top=True)
    assert "lookaside-staging" in str(caught.value.remedy)


def test_staging_comes_before_the_place_that_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "default-docker:\n  lookaside: https://a.org\n"
        "docker:\n  b.org:\n    sigstore-staging: file:///old\n  c.org:\n"
        "    lookaside-staging: file:///st%20aging\n    lookaside: https://c.org\n"
    )
    found = read_registries_d(str(tmp_path))
    assert found.staging(("x.org",)) == "https://a.org"
    assert found.staging(("b.org",)) == "file:///old"
    assert store_directory(found.staging(("c.org",))) == "/st aging"
    assert found.lookaside(("c.org",)) == "https://c.org"
    with pytest.raises(Refused, match="https lookaside is not supported"):
        store_directory("https://a.org")


def test_keys_are_read_from_gpg_s_listing_and_subkeys_are_none():
    listing = "sec:u:255:22:A:1:::u:::scESC:::+:::23::0:\nfpr:::::::::AAAA:\nssb:u:255\nfpr:::::::::BBBB:\nsec:u\nfpr:::::::::CCCC:\n"
    assert program.fingerprints(listing) == ["AAAA", "CCCC"]
    assert program.fingerprints("") == []


def test_gpg_signs_and_says_who_did(gpg, monkeypatch):
    monkeypatch.setenv("GNUPGHOME", gpg.home)
    key = program.find_secret_key("release@example.org")
    assert key == gpg.fingerprint("release@example.org")
    message = program.sign(b"payload", key)
    assert program.open_signed(message) == program.Opened(payload=b"payload", fingerprint=key)
    damaged = message[:-9] + bytes([message[-9] ^ 1]) + message[-8:]
    assert program.open_signed(damaged) is None
    with pytest.raises(NotFound, match="nobody"):
        program.find_secret_key("nobody@example.org")
    with pytest.raises(RpodError, match=r"means \d+ keys"):
        program.find_secret_key("example.org")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("privateKeyFile: [1]", "not a string"),
        ("privateKeyFile: x\nother: 1", "unknown field 'other'"),
        ("fulcio: {}", "Fulcio"),
        ("{}", "privateKeyFile is missing"),
        ("- 1", "not a mapping"),
        ("a: b: c", "not valid"),
    ],
)
def test_parameters_that_say_something_else_are_refused(tmp_path, content, reason):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(Refused, match=reason):
        read_params(str(path))

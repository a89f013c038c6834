"""Signers: gpg with throw-away keys, cosign's format made with cryptography, a certificate authority, a log."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

SIMPLE = "atomic container signature"
COSIGN = "cosign container image signature"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


def claim_of(digest, reference, kind=SIMPLE, **extra):
    critical = {"type": kind, "image": {"docker-manifest-digest": digest}, "identity": {"docker-reference": reference}}
    return json.dumps({"critical": {**critical, **extra}, "optional": {"creator": "test", "timestamp": 1}}).encode()


@pytest.fixture
def claim():
    return claim_of


class Gpg:
    def __init__(self, home):
        self.home = home

    def __call__(self, *words, stdin=None, at=None):
        faked = ["--faked-system-time", f"{at:%Y%m%dT%H%M%S}!"] if at else []
        argv = ["gpg", "--homedir", self.home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
        done = subprocess.run([*argv, *faked, *words], input=stdin, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (words, done.stderr.decode())
        return done.stdout

    def make(self, mail, *, at=None, expire="never"):
        self("--quick-gen-key", f"Somebody <{mail}>", "ed25519", "sign", expire, at=at)
        return self.fingerprint(mail)

    def fingerprint(self, mail):
        listed = self("--with-colons", "--list-keys", mail).decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr"))

    def export(self, mail, *, armor=False):
        path = pathlib.Path(self.home, f"{mail}.{'asc' if armor else 'gpg'}")
        path.write_bytes(self(*(["--armor"] if armor else []), "--export", mail))
        return str(path)

    def sign(self, data, mail, *, at=None, expire="none", mode="--sign"):
        return self("--default-sig-expire", expire, "-u", mail, mode, stdin=data, at=at)


@pytest.fixture(scope="session")
def gpg():
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed: no OpenPGP signature can be made")
    # A socket's path must be short.
    home = tempfile.mkdtemp(prefix="rpod-gpg-")
    made = Gpg(home)
    made.make("release@example.org")
    made.make("other@example.org")
    made.make("old@example.org", at=NOW - 400 * DAY, expire="1y")
    yield made
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], timeout=30, check=False)
    shutil.rmtree(home, ignore_errors=True)


class CosignKey:
    """A key pair that signs as ``cosign sign`` does."""

    def __init__(self, directory, private=None):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self.private = private or ec.generate_private_key(ec.SECP256R1())
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.path = str(pathlib.Path(directory, f"{hashlib.sha256(self.pem).hexdigest()[:8]}.pub"))
        pathlib.Path(self.path).write_bytes(self.pem)

    def raw(self, data):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding

        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(data, ec.ECDSA(hashes.SHA256()))
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def annotations(self, payload):
        return {"dev.cosignproject.cosign/signature": base64.b64encode(self.raw(payload)).decode()}


@pytest.fixture
def cosign_key(tmp_path):
    return lambda private=None: CosignKey(tmp_path, private)


def log_entry(log_key, *, signer_pem, signature, payload, at, **changes):
    """What Rekor gives and cosign puts into the bundle."""
    body = {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
            "signature": {
                "content": base64.b64encode(signature).decode(),
                "publicKey": {"content": base64.b64encode(signer_pem).decode()},
            },
        },
        **changes,
    }
    entry = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "integratedTime": int(at.timestamp()),
        "logIndex": 7,
        "logID": "c0ffee",
    }
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    promise = base64.b64encode(log_key.raw(canonical)).decode()
    return json.dumps({"SignedEntryTimestamp": promise, "Payload": entry})


@pytest.fixture
def rekor():
    return log_entry


def utf8_string(text):
    """DER: tag 12, the length in one byte or in one or two after their number, the bytes."""
    data = text.encode()
    if len(data) < 128:
        return bytes([12, len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    return bytes([12, 128 + len(length)]) + length + data


class Authority:
    """A root, an intermediate, and signers' certificates as Fulcio gives them out."""

    def __init__(self, *, path_length=None, intermediate_is_ca=True):
        from cryptography.hazmat.primitives.asymmetric import ec

        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.middle_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate("root", self.root_key, "root", self.root_key, ca=True, path_length=path_length)
        self.middle = self._certificate(
            "middle", self.middle_key, "root", self.root_key, ca=intermediate_is_ca, code_signing=True
        )

    def _certificate(
        self,
        name,
        key,
        issuer,
        issuer_key,
        *,
        ca,
        path_length=None,
        code_signing=False,
        mail=None,
        host=None,
        oidc=None,
        oidc2=None,
        begin=NOW - 30 * DAY,
        end=NOW + 30 * DAY,
    ):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        def named(text):
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(begin).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), True)
        if code_signing:
            usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(usage, False)
        subjects = [*([x509.RFC822Name(mail)] if mail else []), *([x509.DNSName(host)] if host else [])]
        if subjects:
            builder = builder.add_extension(x509.SubjectAlternativeName(subjects), True)
        for oid, value in (("1", oidc and oidc.encode()), ("8", oidc2 and utf8_string(oidc2))):
            if value:
                known = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{oid}")
                builder = builder.add_extension(x509.UnrecognizedExtension(known, value), False)
        return builder.sign(issuer_key, hashes.SHA256())

    def leaf(self, key, **wanted):
        given = {
            "mail": "ann@example.org",
            "oidc": "https://login.example.org",
            "code_signing": True,
            "begin": NOW - DAY,
            "end": NOW + DAY,
        }
        return self._certificate("leaf", key.private, "middle", self.middle_key, ca=False, **{**given, **wanted})

    @staticmethod
    def pem(*certificates):
        from cryptography.hazmat.primitives.serialization import Encoding

        return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@pytest.fixture
def authority():
    return Authority


@pytest.fixture
def write_policy():
    """Write the user's policy.json and return its path."""

    def write(default=None, **transports):
        path = pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers", "policy.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        table = {"default": default or [{"type": "reject"}], "transports": transports}
        path.write_text(json.dumps(table))
        return str(path)

    return write


@pytest.fixture
def write_registries_d():
    def write(text, name="a"):
        path = pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers", "registries.d", f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path.parent)

    return write


def put_lookaside(base, repository, digest, *blobs):
    directory = pathlib.Path(base, f"{repository}@{digest.replace(':', '=')}")
    directory.mkdir(parents=True)
    for number, blob in enumerate(blobs, 1):
        (directory / f"signature-{number}").write_bytes(blob)


@pytest.fixture
def lookaside(tmp_path, write_registries_d):
    """A lookaside store on disk that registries.d names for everything; call it to put signatures there."""
    base = tmp_path / "lookaside"
    base.mkdir()
    write_registries_d(f"default-docker:\n  lookaside: file://{base}\n  use-sigstore-attachments: true\n")

    def put(repository, digest, *blobs):
        put_lookaside(base, repository, digest, *blobs)

    put.base = base
    return put

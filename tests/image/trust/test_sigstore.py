"""Sigstore signatures: keys, the log, Fulcio's certificates, one's own authority; and each way of being bad."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rootless_pod.errors import Refused
from rootless_pod.image.trust.certificates import _utf8_string, oidc_issuer
from rootless_pod.image.trust.identity import SignedIdentity
from rootless_pod.image.trust.requirement import Fulcio, KeySource, Pki, SigstoreSigned
from rootless_pod.image.trust.signature import PAYLOAD_TYPE, Signature, parse_stored
from rootless_pod.image.trust.sigstore import SigstoreVerifier
from rootless_pod.image.trust.strictjson import Malformed

DIGEST = "sha256:" + "b" * 64
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
SIGNATURE, BUNDLE, CERTIFICATE, CHAIN = (
    "dev.cosignproject.cosign/signature",
    "dev.sigstore.cosign/bundle",
    "dev.sigstore.cosign/certificate",
    "dev.sigstore.cosign/chain",
)


@pytest.fixture
def payload(claim):
    return claim(DIGEST, "a.org/b:1", "cosign container image signature")


def signature(payload, annotations, media_type=PAYLOAD_TYPE):
    return Signature(place="here", data=payload, simple=False, media_type=media_type, annotations=annotations)


def verifier(**fields):
    return SigstoreVerifier(SigstoreSigned(identity=SignedIdentity(), **fields))


KEYS = {
    "ECDSA P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS)
def test_a_key_s_signature_is_good_and_only_that_key_s(cosign_key, payload, make):
    key, other = cosign_key(make()), cosign_key(make())
    one = signature(payload, key.annotations(payload))
    vouched = verifier(keys=KeySource(paths=(other.path, key.path))).open(one)
    assert (vouched.claim.digest, vouched.claim.reference) == (DIGEST, "a.org/b:1")
    assert vouched.signer.startswith("SHA256:")
    assert len(vouched.signer) == 71
    with pytest.raises(Malformed, match="not made with a key of the policy"):
        verifier(keys=KeySource(data=(other.pem,))).open(one)


def test_a_changed_payload_or_signature_is_refused(cosign_key, payload):
    key = cosign_key()
    good = key.annotations(payload)
    checker = verifier(keys=KeySource(paths=(key.path,)))
    with pytest.raises(Malformed, match="payload was changed"):
        checker.open(signature(payload.replace(b"a.org", b"b.org"), good))
    damaged = bytearray(base64.b64decode(good[SIGNATURE]))
    damaged[-1] ^= 1
    with pytest.raises(Malformed, match="not made with"):
        checker.open(signature(payload, {SIGNATURE: base64.b64encode(damaged).decode()}))


def test_a_signature_of_another_form_is_refused(cosign_key, payload, claim):
    key = cosign_key()
    checker = verifier(keys=KeySource(paths=(key.path,)))
    for given, why in (({}, "is missing"), ({SIGNATURE: "!!"}, "not base64"), ({SIGNATURE: ""}, "not made with")):
        with pytest.raises(Malformed, match=why):
            checker.open(signature(payload, given))
    with pytest.raises(Malformed, match="media type"):
        checker.open(signature(payload, key.annotations(payload), "text/plain"))
    simple = claim(DIGEST, "a.org/b:1")
    with pytest.raises(Malformed, match="not a 'cosign container image signature'"):
        checker.open(signature(simple, key.annotations(simple)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda table: table.pop("optional"), "'optional' is missing"),
        (lambda table: table.update(more=1), "unknown field 'more'"),
        (lambda table: table["critical"].update(more=1), "unknown field 'more'"),
        (lambda table: table["critical"]["image"].update(more="x"), "unknown field 'more'"),
        (lambda table: table["critical"]["identity"].clear(), "'docker-reference' is missing"),
        (lambda table: table["critical"]["image"].update({"docker-manifest-digest": "sha256:1"}), "no digest"),
        (lambda table: table["optional"].update(timestamp=1.5), "whole number"),
        (lambda table: table["optional"].update(timestamp=True), "whole number"),
        (lambda table: table["optional"].update(timestamp="1"), "whole number"),
        (lambda table: table["optional"].update(creator=1), "'creator' is not a string"),
    ],
)
def test_a_claim_of_another_form_is_refused_though_it_is_signed(cosign_key, payload, change, why):
    key = cosign_key()
    table = json.loads(payload)
    change(table)
    data = json.dumps(table).encode()
    with pytest.raises(Malformed, match=why):
        verifier(keys=KeySource(paths=(key.path,))).open(signature(data, key.annotations(data)))


def test_a_time_without_end_is_no_number(cosign_key, payload):
    key = cosign_key()
    data = payload.replace(b'"timestamp": 1', b'"timestamp": 1e999')
    assert data != payload
    with pytest.raises(Malformed, match="whole number"):
        verifier(keys=KeySource(paths=(key.path,))).open(signature(data, key.annotations(data)))


def test_cosigns_empty_annotations_are_taken(cosign_key, payload):
    key = cosign_key()
    data = json.dumps({**json.loads(payload), "optional": None}).encode()
    assert verifier(keys=KeySource(paths=(key.path,))).open(signature(data, key.annotations(data)))


def test_a_file_that_is_no_key_refuses_with_its_name(tmp_path):
    path = tmp_path / "k.pub"
    path.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(Refused, match=r"k\.pub is no PEM public key"):
        verifier(keys=KeySource(paths=(str(path),)))


class FarFuture:
    def timestamp(self):
        return 10**18


class Logged:
    """A key's signature in a log."""

    def __init__(self, cosign_key, rekor, payload):
        self.key, self.log, self.rekor, self.payload = cosign_key(), cosign_key(), rekor, payload
        self.annotations = self.key.annotations(payload)

    def bundle(self, **wanted):
        given = {
            "signer_pem": self.key.pem,
            "signature": base64.b64decode(self.annotations[SIGNATURE]),
            "payload": self.payload,
            "at": NOW,
        }
        return self.rekor(wanted.pop("log", self.log), **{**given, **wanted})

    def open(self, bundle):
        annotations = {**self.annotations, **({BUNDLE: bundle} if bundle is not None else {})}
        keys, log = KeySource(paths=(self.key.path,)), KeySource(paths=(self.log.path,))
        return verifier(keys=keys, rekor=log).open(signature(self.payload, annotations))


@pytest.fixture
def logged(cosign_key, rekor, payload):
    return Logged(cosign_key, rekor, payload)


def test_a_logged_signature_is_good(logged):
    assert logged.open(logged.bundle()).claim.digest == DIGEST


def test_a_log_entry_must_be_there_signed_by_the_log_and_about_this(logged, cosign_key):
    with pytest.raises(Malformed, match="bundle is missing"):
        logged.open(None)
    for bundle, why in (
        (logged.bundle(log=cosign_key()), "not signed by the Rekor key"),
        (logged.bundle(signer_pem=cosign_key().pem), "another key or certificate"),
        (logged.bundle(signature=b"x"), "another signature"),
        (logged.bundle(payload=b"x"), "another payload"),
        (logged.bundle(kind="intoto"), "not supported"),
        (logged.bundle(at=FarFuture()), "integratedTime is no time"),
        (logged.bundle(apiVersion="0.0.2"), "not supported"),
        (logged.bundle(spec={}), "signature is not a JSON object"),
        ("{}", "is missing"),
        ("x", "not JSON"),
    ):
        with pytest.raises(Malformed, match=why):
            logged.open(bundle)
    table = json.loads(logged.bundle())
    table["Payload"]["integratedTime"] += 1
    with pytest.raises(Malformed, match="not signed by the Rekor key"):
        logged.open(json.dumps(table))


class Keyless:
    """A signer with a certificate of Fulcio's kind."""

    def __init__(self, cosign_key, rekor, payload, authority):
        self.logged = Logged(cosign_key, rekor, payload)
        self.authority = authority

    def open(self, *, at=NOW, log=None, chain=None, roots=None, mail="ann@example.org", leaf=None, **wanted):
        certificate = leaf or self.authority.leaf(self.logged.key, **wanted)
        pem = self.authority.pem(certificate)
        bundle = self.logged.bundle(signer_pem=pem, at=at)
        middle_and_root = self.authority.pem(self.authority.middle, self.authority.root)
        annotations = {
            **self.logged.annotations,
            BUNDLE: bundle,
            CERTIFICATE: pem.decode(),
            CHAIN: (middle_and_root if chain is None else chain).decode(),
        }
        fulcio = Fulcio(
            authority=KeySource(data=(roots or self.authority.pem(self.authority.root),)),
            oidc_issuer="https://login.example.org",
            subject_email=mail,
        )
        checker = verifier(fulcio=fulcio, rekor=KeySource(paths=(self.logged.log.path,)))
        return checker.open(signature(self.logged.payload, annotations))


@pytest.fixture
def keyless(cosign_key, rekor, payload, authority):
    return Keyless(cosign_key, rekor, payload, authority())


def test_a_keyless_signature_is_good_without_any_network(keyless):
    assert keyless.open().signer == "ann@example.org (https://login.example.org)"
    issuer = "https://login.example.org"
    assert keyless.open(oidc=None, oidc2=issuer)
    assert keyless.open(oidc=issuer, oidc2=issuer)


@pytest.mark.parametrize("length", [20, 127, 128, 255, 256, 5000])
def test_an_issuer_of_any_length_is_read(authority, cosign_key, length):
    issuer = "https://" + "x" * (length - 8)
    assert oidc_issuer(authority().leaf(cosign_key(), oidc=None, oidc2=issuer)) == issuer


@pytest.mark.parametrize(
    "der", [b"", b"\x0c", b"\x0c\x02a", b"\x0c\x80", b"\x16\x01a", b"\x0c\x81\x05abc", b"\x0c\x83\0\0\1a"]
)
def test_an_issuer_of_another_form_is_refused(der):
    with pytest.raises(Malformed, match="damaged OIDC issuer"):
        _utf8_string(der)


def test_a_certificate_counts_at_the_time_the_log_says(keyless):
    past = {"begin": NOW - 9 * DAY, "end": NOW - 8 * DAY}
    assert keyless.open(at=NOW - 8.5 * DAY, **past)
    with pytest.raises(Malformed, match="its certificate was valid from"):
        keyless.open(at=NOW, **past)
    with pytest.raises(Malformed, match="its certificate was valid from"):
        keyless.open(at=NOW - 20 * DAY)


def test_a_keyless_signature_must_be_by_the_right_person_by_way_of_the_right_authority(keyless, authority):
    cases = [
        ({"mail": "eve@example.org"}, "its signer is ann@example.org, not eve@example.org"),
        ({"oidc": "https://evil.example.org"}, "vouched for by https://evil.example.org"),
        ({"oidc": None}, "no OIDC issuer"),
        ({"oidc": "https://login.example.org", "oidc2": "https://x"}, "more than one OIDC issuer"),
        ({"code_signing": False}, "not for signing code"),
        ({"chain": b""}, "leads to no authority"),
        ({"chain": b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"}, "no valid certificate"),
        ({"roots": authority.pem(authority().root)}, "leads to no authority"),
    ]
    for wanted, why in cases:
        with pytest.raises(Malformed, match=why):
            if wanted.get("mail") == "eve@example.org":
                leaf = keyless.authority.leaf(keyless.logged.key)
                keyless.open(leaf=leaf, **wanted)
            else:
                keyless.open(**wanted)


def test_the_chain_s_own_root_is_not_believed(keyless, authority):
    mine = authority()
    with pytest.raises(Malformed, match="leads to no authority"):
        keyless.open(leaf=mine.leaf(keyless.logged.key), chain=mine.pem(mine.middle, mine.root))


@pytest.mark.parametrize("limits", [{"path_length": 0}, {"intermediate_is_ca": False}])
def test_authorities_keep_within_what_they_may(cosign_key, rekor, payload, authority, limits):
    with pytest.raises(Malformed, match="leads to no authority"):
        Keyless(cosign_key, rekor, payload, authority(**limits)).open()


def test_another_keys_certificate_does_not_help(keyless, cosign_key):
    leaf = keyless.authority.leaf(cosign_key())
    with pytest.raises(Malformed, match="does not fit its certificate's key"):
        keyless.open(leaf=leaf)


def test_ones_own_authority_is_good_today_and_for_whom_the_policy_says(cosign_key, payload, authority):
    key, ours = cosign_key(), authority()

    def check(mail="", host="", **wanted):
        pem = ours.pem(ours.leaf(key, **{"mail": "ann@example.org", "host": "build.example.org", **wanted}))
        pki = Pki(
            roots=KeySource(data=(ours.pem(ours.root),)),
            intermediates=KeySource(data=(ours.pem(ours.middle),)),
            subject_email=mail,
            subject_hostname=host,
        )
        annotations = {**key.annotations(payload), CERTIFICATE: pem.decode()}
        return verifier(pki=pki).open(signature(payload, annotations)).signer

    assert check("ann@example.org", "build.example.org") == "ann@example.org build.example.org"
    assert check(host="build.example.org", code_signing=False) == "build.example.org"
    with pytest.raises(Malformed, match=r"not bob@example\.org"):
        check("bob@example.org")
    with pytest.raises(Malformed, match=r"not other\.example\.org"):
        check("ann@example.org", "other.example.org")
    with pytest.raises(Malformed, match="was valid from"):
        check("ann@example.org", begin=NOW - 9 * DAY, end=NOW - DAY)


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "empty"),
        (b"{}", "no binary OpenPGP"),
        (b"-----BEGIN PGP MESSAGE-----", "no binary OpenPGP"),
        (b"\0nonsense\n{}", "unknown format"),
        (b"\0sigstore-json", "no binary OpenPGP"),
        (b"\0sigstore-json\n{}", "'mimeType' is missing"),
        (b'\0sigstore-json\n{"mimeType": "x", "payload": "!"}', "not base64"),
        (b'\0sigstore-json\n{"mimeType": "x", "payload": "", "annotations": {"a": 1}}', "not a string"),
    ],
)
def test_a_stored_signature_of_another_form_is_refused(blob, why):
    with pytest.raises(Malformed, match=why):
        parse_stored(blob, "signature-1")


def test_stored_signatures_are_of_two_kinds():
    assert parse_stored(b"\x90rest", "x").simple
    assert parse_stored(b"\0simple-signing\n\x90", "x").data == b"\x90"
    found = parse_stored(b'\0sigstore-json\n{"mimeType": "t", "payload": "YQ==", "annotations": {"k": "v"}}', "x")
    assert (found.simple, found.data, found.media_type, found.annotations) == (False, b"a", "t", {"k": "v"})

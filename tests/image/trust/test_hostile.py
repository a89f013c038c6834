"""Whatever bytes come: a reason or a result, never a crash, and never a key nobody has."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootless_pod.image.trust.identity import SignedIdentity, parse_name
from rootless_pod.image.trust.openpgp import Keyring
from rootless_pod.image.trust.payload import COSIGN, SIMPLE, parse_claim
from rootless_pod.image.trust.policy import parse_policy
from rootless_pod.image.trust.requirement import KeySource
from rootless_pod.image.trust.signature import parse_stored
from rootless_pod.image.trust.strictjson import Malformed

WORDS = st.sampled_from(
    ["default", "transports", "type", "docker", "", "keyPath", "keyData", "signedIdentity", "fulcio", "pki", "critical"]
    + ["optional", "image", "identity", "docker-reference", "docker-manifest-digest", "signedBy", "sigstoreSigned"]
    + ["keyType", "GPGKeys", "insecureAcceptAnything", "remapIdentity", "prefix", "rekorPublicKeyPath", SIMPLE, COSIGN]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
MANY = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(VALUES)
def test_any_json_is_a_policy_or_malformed(value):
    try:
        policy = parse_policy(json.dumps(value).encode(), "p")
    except Malformed:
        return
    assert policy.default


@MANY
@given(st.binary(max_size=300))
def test_any_bytes_are_a_policy_or_malformed(data):
    try:
        parse_policy(data, "p")
    except Malformed:
        return
    raise AssertionError("random bytes are no policy")


@MANY
@given(VALUES)
def test_any_json_is_a_claim_or_malformed(value):
    for kind in (SIMPLE, COSIGN):
        try:
            parse_claim(json.dumps(value).encode(), kind)
        except Malformed:
            continue


@MANY
@given(st.binary(max_size=200), st.sampled_from([b"", b"\0sigstore-json\n", b"\0simple-signing\n", b"\x90"]))
def test_any_stored_signature_is_one_or_malformed(data, start):
    try:
        parse_stored(start + data, "here")
    except Malformed:
        return


@MANY
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_name_fits_or_not(signed, image):
    for identity in (SignedIdentity(), SignedIdentity(type="remapIdentity", expected="a.org", signed_prefix="b.org")):
        try:
            identity.check(signed, image)
        except Malformed:
            continue
        assert parse_name(signed).repository


@MANY
@given(data=st.data())
def test_any_change_of_a_message_says_the_same_or_nothing(gpg, data):
    message = gpg_message(gpg)
    ring = Keyring.read(KeySource(paths=(gpg.export("release@example.org"),)))
    changed = bytearray(message)
    for _change in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "double"]))
        if what == "flip":
            changed[at] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            del changed[at]
        else:
            changed.insert(at, changed[at])
        if not changed:
            break
    try:
        opened = ring.open(bytes(changed))
    except Malformed:
        return
    assert opened.payload == b"the claim is here"
    assert opened.fingerprint == gpg.fingerprint("release@example.org")


_MADE: list[bytes] = []


def gpg_message(gpg):
    if not _MADE:
        _MADE.append(gpg("-u", "release@example.org", "-z", "0", "--sign", stdin=b"the claim is here"))
    return _MADE[0]

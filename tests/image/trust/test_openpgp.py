"""OpenPGP messages that gpg made: the good one, and each way of being bad with its own reason."""

from __future__ import annotations

import datetime as dt
import pathlib
import shutil
import subprocess

import pytest

from rootless_pod.errors import Refused
from rootless_pod.image.trust.openpgp import Keyring
from rootless_pod.image.trust.requirement import KeySource
from rootless_pod.image.trust.strictjson import Malformed

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def keyring(*paths):
    return Keyring.read(KeySource(paths=paths))


def test_a_good_signature_gives_the_text_and_the_key(gpg):
    message = gpg.sign(b"the claim", "release@example.org")
    for armor in (False, True):
        opened = keyring(gpg.export("release@example.org", armor=armor)).open(message)
        assert opened.payload == b"the claim"
        assert opened.fingerprint == gpg.fingerprint("release@example.org")


def test_one_of_several_keys_is_enough_in_one_file_or_in_many(gpg, tmp_path):
    message = gpg.sign(b"x", "other@example.org")
    first, second = gpg.export("release@example.org"), gpg.export("other@example.org")
    both = tmp_path / "both.gpg"
    both.write_bytes(pathlib.Path(first).read_bytes() + pathlib.Path(second).read_bytes())
    for ring in (keyring(first, second), keyring(str(both))):
        assert ring.open(message).fingerprint == gpg.fingerprint("other@example.org")
    data = pathlib.Path(second).read_bytes()
    assert Keyring.read(KeySource(data=(data,))).open(message).payload == b"x"
    assert keyring(str(both)).user_ids() == ("release@example.org", "other@example.org")


def test_a_key_that_is_not_listed_is_named(gpg):
    message = gpg.sign(b"x", "other@example.org")
    with pytest.raises(Malformed, match=f"{gpg.fingerprint('other@example.org')}, which the policy does not list"):
        keyring(gpg.export("release@example.org")).open(message)


def test_a_changed_text_or_signature_is_forged(gpg):
    # Without compression the text lies open in the message.
    message = gpg("-u", "release@example.org", "-z", "0", "--sign", stdin=b"the claim is here")
    assert b"the claim" in message
    for forged in (message.replace(b"the claim", b"the crime"), message[:-3] + bytes([message[-3] ^ 1]) + message[-2:]):
        with pytest.raises(Malformed, match=r"damaged or forged|no OpenPGP message"):
            keyring(gpg.export("release@example.org")).open(forged)


def test_any_changed_byte_is_refused(gpg):
    message = gpg("-u", "release@example.org", "-z", "0", "--sign", stdin=b"the claim is here")
    ring = keyring(gpg.export("release@example.org"))
    for position in range(len(message)):
        forged = message[:position] + bytes([message[position] ^ 0x01]) + message[position + 1 :]
        try:
            opened = ring.open(forged)
        except Malformed:
            continue
        # What is not signed (a name or date of the literal, a length's form) may change; what is said may not.
        assert opened.payload == b"the claim is here"


def test_an_expired_signature_is_refused_with_its_date(gpg):
    key = gpg.make("expiring-signature@example.org", at=NOW - 30 * DAY)
    assert key
    message = gpg.sign(b"x", "expiring-signature@example.org", at=NOW - 20 * DAY, expire="1d")
    with pytest.raises(Malformed, match=f"it expired on {NOW - 19 * DAY:%Y-%m-%d}"):
        keyring(gpg.export("expiring-signature@example.org")).open(message)


def test_an_expired_key_is_refused_although_it_was_good_when_it_signed(gpg):
    message = gpg.sign(b"x", "old@example.org", at=NOW - 300 * DAY)
    with pytest.raises(Malformed, match=rf"its key {gpg.fingerprint('old@example.org')} expired on"):
        keyring(gpg.export("old@example.org")).open(message)


def test_an_expired_subkey_is_refused(gpg):
    key = gpg.make("subkeys@example.org", at=NOW - 30 * DAY)
    gpg("--quick-add-key", key, "ed25519", "sign", "10d", at=NOW - 29 * DAY)
    listed = gpg("--with-colons", "--list-keys", key).decode().splitlines()
    subkey = [line.split(":")[9] for line in listed if line.startswith("fpr")][1]
    message = gpg.sign(b"x", f"{subkey}!", at=NOW - 25 * DAY)
    ring = keyring(gpg.export("subkeys@example.org"))
    with pytest.raises(Malformed, match=f"its key {subkey} expired on {NOW - 19 * DAY:%Y-%m-%d}"):
        ring.open(message)
    assert ring.open(gpg.sign(b"y", f"{key}!")).fingerprint == key


def test_a_living_subkey_signs_for_its_primary_key(gpg):
    key = gpg.make("living@example.org")
    gpg("--quick-add-key", key, "ed25519", "sign", "10d")
    listed = gpg("--with-colons", "--list-keys", key).decode().splitlines()
    subkey = [line.split(":")[9] for line in listed if line.startswith("fpr")][1]
    opened = keyring(gpg.export("living@example.org")).open(gpg.sign(b"x", f"{subkey}!"))
    assert opened.fingerprint == key != subkey


def test_a_revoked_key_is_refused(gpg):
    key = gpg.make("revoked@example.org")
    message = gpg.sign(b"x", "revoked@example.org")
    text = pathlib.Path(gpg.home, "openpgp-revocs.d", f"{key}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    gpg("--import", stdin=text.encode())
    with pytest.raises(Malformed, match=f"its key {key} was revoked"):
        keyring(gpg.export("revoked@example.org")).open(message)


def test_two_signatures_on_one_message_are_refused(gpg):
    message = gpg("-u", "release@example.org", "-u", "other@example.org", "--sign", stdin=b"x")
    with pytest.raises(Malformed, match="has 2"):
        keyring(gpg.export("release@example.org")).open(message)


@pytest.mark.parametrize("what", [b"", b"\x90", b"\xcb\x07b\x00\0\0\0\0x", b"{}", b"\xff" * 200])
def test_what_is_no_signed_message_is_refused(gpg, what):
    with pytest.raises(Malformed):
        keyring(gpg.export("release@example.org")).open(what)


def test_a_detached_signature_and_a_key_are_no_messages(gpg):
    ring = keyring(gpg.export("release@example.org"))
    for blob in (
        gpg.sign(b"x", "release@example.org", mode="--detach-sign"),
        pathlib.Path(gpg.export("release@example.org")).read_bytes(),
    ):
        with pytest.raises(Malformed):
            ring.open(blob)


def test_a_file_that_is_no_key_refuses_with_its_name(tmp_path):
    path = tmp_path / "key"
    path.write_text("no key")
    with pytest.raises(Refused, match="holds no OpenPGP public key"):
        keyring(str(path))
    with pytest.raises(Refused, match="No such file"):
        keyring(str(tmp_path / "none"))
    with pytest.raises(Refused, match="null byte"):
        keyring("a\0b")


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("gpgv"), reason="gpgv, the judge, is not installed")
def test_gpgv_agrees_on_good_and_bad(gpg, tmp_path):
    cases = {
        "good": (gpg.sign(b"x", "release@example.org"), "release@example.org"),
        "wrong key": (gpg.sign(b"x", "release@example.org"), "other@example.org"),
        "old key": (gpg.sign(b"x", "old@example.org", at=NOW - 300 * DAY), "old@example.org"),
    }
    for name, (message, mail) in cases.items():
        (tmp_path / "message").write_bytes(message)
        argv = ["gpgv", "--status-fd", "1", "--keyring", gpg.export(mail), str(tmp_path / "message")]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
        theirs = "GOODSIG" in said
        try:
            keyring(gpg.export(mail)).open(message)
            ours = True
        except Malformed:
            ours = False
        assert ours == theirs, name

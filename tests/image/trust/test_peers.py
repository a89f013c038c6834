"""skopeo and podman sign for us, and say of the same image under the same policy what we say."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from rootless_pod.errors import Refused
from rootless_pod.image.inspect import inspect_image
from rootless_pod.image.pull import PullOptions, pull

pytestmark = [pytest.mark.peer, pytest.mark.registry]
OPEN = pytest.mark.parametrize("real_registry", ["open"], indirect=True)
QUIET = PullOptions(quiet=True, tls_verify=False, single_id=True)
ACCEPT = '{"default": [{"type": "insecureAcceptAnything"}]}'


@pytest.fixture
def anything(tmp_path):
    path = tmp_path / "accept.json"
    path.write_text(ACCEPT)
    return str(path)


@pytest.fixture
def say(gpg):
    """Run skopeo or another peer with our gpg home; return its exit code and words."""

    def run(*words):
        if not shutil.which(words[0]):
            pytest.skip(f"{words[0]} is not installed")
        environment = {**os.environ, "GNUPGHOME": gpg.home}
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def publish(real_registry, say, make_image, tmp_path, anything):
    """Push an image with skopeo; with a key it is signed for its name, into the lookaside store."""
    host, _creds = real_registry

    def push(name, *, key=None, made=None, sigstores=None):
        made = made or make_image()
        layout = tmp_path / f"layout-{len(list(tmp_path.iterdir()))}"
        made.write_layout(layout, "v1")
        directories = ["--registries.d", sigstores] if sigstores else []
        signing = ["--sign-by", key] if key else []
        code, words = say(
            "skopeo", *directories, "--policy", anything, "copy", "--dest-tls-verify=false", *signing,
            f"oci:{layout}:v1", f"docker://{host}/{name}",
        )  # fmt: skip
        assert code == 0, words
        return made

    return push


@pytest.fixture
def verdicts(real_registry, say, paths, tmp_path):
    """Whether skopeo and we accept ``name`` under the policy."""
    host, _creds = real_registry

    def ask(name, policy, sigstores):
        target = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        code, words = say(
            "skopeo", "--registries.d", sigstores, "--policy", policy, "copy", "--src-tls-verify=false",
            "--remove-signatures", f"docker://{host}/{name}", f"dir:{target}",
        )  # fmt: skip
        try:
            pull(paths, f"{host}/{name}", QUIET)
            ours, reason = True, ""
        except Refused as fault:
            ours, reason = False, fault.message
        return code == 0, ours, f"skopeo: {words}\nrpod: {reason}"

    return ask


def requirement(path, **more):
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": path, **more}


@OPEN
def test_what_skopeo_signed_is_accepted_by_both_and_nothing_else(
    real_registry, publish, verdicts, gpg, write_policy, write_registries_d, tmp_path, paths
):
    host, _creds = real_registry
    store = tmp_path / "store"
    sigstores = write_registries_d(f"default-docker:\n  lookaside: file://{store}\n")
    mine, theirs = gpg.export("release@example.org"), gpg.export("other@example.org")
    made = publish("team/app:1", key="release@example.org", sigstores=sigstores)
    publish("team/app:moved", made=made)
    publish("team/bare:1")
    identities = {
        None: None,
        "matchExact": {"type": "matchExact"},
        "matchRepository": {"type": "matchRepository"},
        "exactReference": {"type": "exactReference", "dockerReference": f"{host}/team/app:1"},
        "exactRepository": {"type": "exactRepository", "dockerRepository": f"{host}/team/app"},
        "another repository": {"type": "exactRepository", "dockerRepository": "a.org/x"},
        "remap": {"type": "remapIdentity", "prefix": host, "signedPrefix": "a.org"},
    }
    names = ("team/app:1", "team/app:moved", f"team/app@{made.digest}", "team/bare:1")
    for identity, table in identities.items():
        for key in (mine, theirs):
            more = {"signedIdentity": table} if table else {}
            policy = write_policy(docker={host: [requirement(key, **more)]})
            for name in names:
                skopeo_says, rpod_says, words = verdicts(name, policy, sigstores)
                assert skopeo_says == rpod_says, (identity, key, name, words)
    write_policy(docker={host: [requirement(mine)]})
    (image,) = pull(paths, f"{host}/team/app:1", QUIET)
    assert inspect_image(paths, image)["Trust"][0]["Keys"] == [gpg.fingerprint("release@example.org")]


@OPEN
def test_skopeo_and_we_choose_the_same_scope(real_registry, publish, verdicts, write_policy, write_registries_d):
    host, _creds = real_registry
    sigstores = write_registries_d("docker: {}\n")
    made = publish("a/b/c:1")
    accept, reject = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
    full = f"{host}/a/b/c"
    for rules in (
        {},
        {"": accept},
        {host: accept},
        {host: accept, f"{host}/a": reject},
        {host: reject, f"{host}/a/b": accept},
        {f"{host}/a/b": accept, full: reject},
        {full: reject, f"{full}:1": accept},
        {full: reject, f"{full}@{made.digest}": accept},
        {"*.0.0.1": accept},
        {"*.0.0.1": accept, host.partition(":")[0]: reject},
        {"*.1": accept, "": reject},
        {f"{host}/a/bb": accept},
    ):
        policy = write_policy(docker=rules)
        for name in ("a/b/c:1", f"a/b/c@{made.digest}"):
            skopeo_says, rpod_says, words = verdicts(name, policy, sigstores)
            assert skopeo_says == rpod_says, (rules, name, words)


@OPEN
def test_skopeos_tampered_and_foreign_signatures_are_refused_by_both(
    real_registry, publish, verdicts, gpg, write_policy, write_registries_d, tmp_path, make_image
):
    host, _creds = real_registry
    store = tmp_path / "store"
    sigstores = write_registries_d(f"docker:\n  {host}:\n    sigstore: file://{store}\n")
    policy = write_policy(docker={host: [requirement(gpg.export("release@example.org"))]})
    first = publish("app:1", key="release@example.org", sigstores=sigstores)
    second = publish("app:2", made=make_image({"other": b"x"}))
    (signature,) = store.glob("app@*/signature-1")
    assert verdicts("app:1", policy, sigstores)[:2] == (True, True)
    moved = store / f"app@{second.digest.replace(':', '=')}"
    shutil.copytree(signature.parent, moved)
    assert verdicts("app:2", policy, sigstores)[:2] == (False, False)
    good = signature.read_bytes()
    for position in (len(good) // 2, len(good) - 5):
        signature.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        assert verdicts("app:1", policy, sigstores)[:2] == (False, False)
    signature.write_bytes(good)
    old = gpg.export("old@example.org")
    import datetime as dt

    at = dt.datetime.now(dt.UTC) - dt.timedelta(days=300)
    text = json.dumps(
        {
            "critical": {
                "type": "atomic container signature",
                "image": {"docker-manifest-digest": first.digest},
                "identity": {"docker-reference": f"{host}/app:1"},
            },
            "optional": {},
        }
    ).encode()
    signature.write_bytes(gpg.sign(text, "old@example.org", at=at))
    policy = write_policy(docker={host: [requirement(old)]})
    assert verdicts("app:1", policy, sigstores)[:2] == (False, False)


def test_what_we_accept_skopeo_verifies_alone(say, gpg, make_image, tmp_path, claim):
    made = make_image()
    (tmp_path / "manifest.json").write_bytes(made.manifest)
    code, words = say(
        "skopeo", "standalone-sign", "-o", str(tmp_path / "signature"), str(tmp_path / "manifest.json"),
        "a.org/app:1", gpg.fingerprint("release@example.org"),
    )  # fmt: skip
    assert code == 0, words
    from rootless_pod.image.trust.openpgp import Keyring
    from rootless_pod.image.trust.payload import SIMPLE, parse_claim
    from rootless_pod.image.trust.requirement import KeySource

    ring = Keyring.read(KeySource(paths=(gpg.export("release@example.org"),)))
    found = parse_claim(ring.open((tmp_path / "signature").read_bytes()).payload, SIMPLE)
    assert (found.digest, found.reference) == (made.digest, "a.org/app:1")
    (tmp_path / "ours").write_bytes(gpg.sign(claim(made.digest, "a.org/app:1"), "release@example.org"))
    code, words = say(
        "skopeo", "standalone-verify", str(tmp_path / "manifest.json"), "a.org/app:1",
        gpg.fingerprint("release@example.org"), str(tmp_path / "ours"),
    )  # fmt: skip
    assert code == 0, words


def push_signature(host, repository, made, key, reference, claim):
    """Push a signature in cosign's form: an image whose layer is the payload."""
    payload = claim(made.digest, reference, "cosign container image signature")
    import hashlib

    def digest(data):
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    config = json.dumps(
        {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(payload)]}}
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                    "digest": digest(payload),
                    "size": len(payload),
                    "annotations": key.annotations(payload),
                }
            ],
        }
    ).encode()
    import urllib.request

    def call(method, path, data, headers=None):
        asked = urllib.request.Request(
            f"http://{host}/v2/{repository}/{path}", data=data, method=method, headers=headers or {}
        )
        return urllib.request.urlopen(asked, timeout=30)

    for blob in (config, payload):
        with call("POST", "blobs/uploads/", b"") as answer:
            location = answer.headers["Location"]
        joint = "&" if "?" in location else "?"
        asked = urllib.request.Request(
            f"{location}{joint}digest={digest(blob)}",
            data=blob,
            method="PUT",
            headers={"Content-Type": "application/octet-stream"},
        )
        urllib.request.urlopen(asked, timeout=30).close()
    tag = f"{made.digest.replace(':', '-')}.sig"
    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    call("PUT", f"manifests/{tag}", manifest, headers).close()


@OPEN
def test_skopeo_and_we_agree_on_cosigns_signatures(
    real_registry, publish, verdicts, cosign_key, claim, write_policy, write_registries_d, make_image
):
    host, _creds = real_registry
    sigstores = write_registries_d(f"docker:\n  {host}:\n    use-sigstore-attachments: true\n")
    key, other = cosign_key(), cosign_key()
    by_repository = {"signedIdentity": {"type": "matchRepository"}}
    signed, bare, wrong = (publish(f"{name}:1", made=make_image({name: b"x"})) for name in ("signed", "bare", "wrong"))
    assert bare
    for repository, made, reference in (("signed", signed, f"{host}/signed"), ("wrong", wrong, f"{host}/else")):
        push_signature(host, repository, made, key, reference, claim)
    expected = {"signed:1": True, "bare:1": False, "wrong:1": False}
    for path, more, good in (
        (key.path, by_repository, expected),
        (key.path, {}, dict.fromkeys(expected, False)),
        (other.path, by_repository, dict.fromkeys(expected, False)),
    ):
        policy = write_policy(docker={host: [{"type": "sigstoreSigned", "keyPath": path, **more}]})
        for name, accepted in good.items():
            skopeo_says, rpod_says, words = verdicts(name, policy, sigstores)
            assert rpod_says == accepted, (path, name, words)
            # Debian builds skopeo without sigstore: it is no judge then.
            if "sigstore disabled" not in words:
                assert skopeo_says == accepted, (path, name, words)


def test_podman_shows_the_policy_as_we_do(say, gpg, write_policy, tmp_path):
    rules = {"docker.io/library": [{"type": "insecureAcceptAnything"}], "*.b.org": [{"type": "reject"}]}
    policy = write_policy(
        docker=rules, dir={"/x": [{"type": "reject"}]}, **{"docker-daemon": {"": [{"type": "reject"}]}}
    )
    code, theirs = say("podman", "image", "trust", "show", "--policypath", policy)
    if code != 0:
        pytest.skip(f"podman can't run here: {theirs}")
    import sys

    def ours(*words):
        argv = [sys.executable, "-m", "rootless_pod", "image", "trust", *words, "--policypath", policy]
        package = str(pathlib.Path(__file__).parents[3])
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": package}
        )
        return done.stdout

    assert [line.split() for line in ours("show").splitlines()] == [line.split() for line in theirs.splitlines()]
    assert json.loads(ours("show", "--json")) == json.loads(
        say("podman", "image", "trust", "show", "--json", "--policypath", policy)[1]
    )
    assert ours("show", "--raw").strip() == pathlib.Path(policy).read_text().strip()
    key = gpg.export("release@example.org")
    copy = tmp_path / "theirs.json"
    shutil.copy(policy, copy)
    for words in (["-t", "accept", "a.org"], ["-f", key, "a.org/x"], ["-t", "reject", "default"]):
        ours("set", *words)
        assert say("podman", "image", "trust", "set", "--policypath", str(copy), *words)[0] == 0
        assert json.loads(pathlib.Path(policy).read_text()) == json.loads(copy.read_text())

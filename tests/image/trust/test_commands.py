"""``image trust show`` and ``set``, and a whole pull under a policy, as an unprivileged user types them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

PACKAGE = str(pathlib.Path(__file__).parents[3])


@pytest.fixture
def trust():
    """Run ``rpod image trust`` with the test's own configuration."""

    def run(*words, code=0):
        argv = [sys.executable, "-m", "rootless_pod", "image", "trust", *words]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": PACKAGE}, check=False
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        run.stderr = done.stderr
        return done.stdout

    return run


def test_a_policy_is_made_step_by_step_and_shown(trust, gpg, cosign_key, write_registries_d):
    key, cosigned = gpg.export("release@example.org"), cosign_key()
    write_registries_d("docker:\n  a.org/team:\n    lookaside: https://sigs.example.org\n")
    trust("set", "-t", "reject", "default")
    trust("set", "-f", key, "a.org/team")
    trust("set", "-t", "sigstoreSigned", "-f", cosigned.path, "a.org/app:1")
    trust("set", "--type", "accept", "*.b.org")
    assert [line.split() for line in trust("show").splitlines()] == [
        ["TRANSPORT", "NAME", "TYPE", "ID", "STORE"],
        ["all", "default", "reject"],
        ["repository", "*.b.org", "accept"],
        ["repository", "a.org/app:1", "sigstoreSigned", "N/A"],
        ["repository", "a.org/team", "signed", "release@example.org", "https://sigs.example.org"],
    ]
    assert trust("show", "-n", "x.b.org/app:3").split() == ["repository", "*.b.org", "accept"]
    assert trust("show", "-n", "c.org").split() == ["all", "default", "reject"]
    assert json.loads(trust("show", "--json", "a.org/team/app")) == [
        {
            "transport": "repository",
            "name": "a.org/team",
            "repo_name": "a.org/team",
            "sigstore": "https://sigs.example.org",
            "type": "signed",
            "gpg_id": "release@example.org",
        }
    ]
    path = pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers", "policy.json")
    assert trust("show", "--raw") == path.read_text()
    assert json.loads(path.read_text())["transports"]["docker"]["a.org/team"] == [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": key}
    ]


def test_a_change_keeps_the_rest_of_the_file_and_a_link_stays_one(trust, tmp_path):
    path = pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers", "policy.json")
    path.parent.mkdir(parents=True)
    real = tmp_path / "kept-elsewhere.json"
    before = {
        "default": [{"type": "reject"}],
        "transports": {"dir": {"": [{"type": "reject"}]}, "docker": {"a.org": [{"type": "reject"}]}},
    }
    real.write_text(json.dumps(before))
    path.symlink_to(real)
    trust("set", "-t", "accept", "b.org")
    after = json.loads(real.read_text())
    assert path.is_symlink()
    assert after.pop("transports")["docker"].pop("b.org") == [{"type": "insecureAcceptAnything"}]
    assert after == {"default": before["default"]}
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a.org"], "needs at least one public key"),
        (["-t", "accept", "-f", "/k", "a.org"], "takes no keys"),
        (["-f", "/nonexistent", "a.org"], "cannot read the key '/nonexistent"),
        (["-f", "/etc/passwd", "a.org"], "holds no OpenPGP public key"),
        (["-t", "sigstoreSigned", "-f", "/etc/passwd", "a.org"], "no PEM public key"),
        (["-t", "trusted", "a.org"], "trusted"),
        (["-t", "accept", "https://a.org"], "no registry, namespace"),
        (["-t", "accept", "a b"], "no registry, namespace"),
        (["-t", "accept", ""], "no registry, namespace"),
        (["-t", "accept", "a*.b.org"], "no registry, namespace"),
        (["-t", "accept"], "REGISTRY"),
    ],
)
def test_what_can_t_be_set_is_refused_and_writes_nothing(trust, words, why):
    trust("set", *words, code=125)
    assert why in trust.stderr
    assert not pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers").exists()


def test_a_broken_policy_is_neither_shown_nor_changed(trust, write_policy):
    path = pathlib.Path(write_policy())
    path.write_text('{"default": [{"type": "reject"}], "x": 1}')
    for words in (["show"], ["set", "-t", "accept", "a.org"]):
        trust(*words, code=125)
        assert "unknown field 'x'" in trust.stderr
    assert trust("show", "--raw").strip() == path.read_text()
    trust("show", "--raw", "--json", code=125)


@pytest.mark.kernel
def test_a_user_trusts_one_key_pulls_what_it_signed_and_nothing_else(
    rpod, user_dir, fake, make_image, gpg, claim, cosign_key
):
    good, bad = make_image({"bin": None, "bin/tool": b"x"}), make_image({"evil": b"x"})
    fake.add(good, "good")
    fake.add(bad, "bad")
    config = pathlib.Path(user_dir, ".config", "containers")
    (config / "registries.d").mkdir(parents=True)
    store = pathlib.Path(user_dir, "lookaside")
    (config / "registries.d" / "a.yaml").write_text(f"docker:\n  {fake.host}:\n    lookaside: file://{store}\n")
    at = store / f"app@{good.digest.replace(':', '=')}"
    at.mkdir(parents=True)
    (at / "signature-1").write_bytes(gpg.sign(claim(good.digest, f"{fake.host}/app:good"), "release@example.org"))
    shutil.copy(gpg.export("release@example.org"), f"{user_dir}/release.gpg")
    subprocess.run(["chmod", "-R", "a+rwX", str(config.parent), str(store), f"{user_dir}/release.gpg"], check=True)
    rpod("image", "trust", "set", "-t", "reject", "default")
    rpod("image", "trust", "set", "-f", f"{user_dir}/release.gpg", fake.host)
    rpod("pull", "-q", "--tls-verify=false", f"{fake.host}/app:good")
    (found,) = json.loads(rpod("image", "inspect", f"{fake.host}/app:good"))
    assert found["Trust"][0]["Keys"] == [gpg.fingerprint("release@example.org")]
    assert found["Trust"][0]["Policy"] == f"{user_dir}/.config/containers/policy.json"
    shown = rpod("inspect", "--format", "{{range .Trust}}{{.Requirements}}{{end}}", f"{fake.host}/app:good")
    assert shown == "[signedBy]\n"
    rpod("pull", "-q", "--tls-verify=false", f"{fake.host}/app:bad", code=125)
    assert "the trust policy does not accept" in rpod.stderr
    assert "not signed" in rpod.stderr
    rpod("run", "--rm", "--tls-verify=false", f"{fake.host}/app:bad", "true", code=125)
    assert "the trust policy does not accept" in rpod.stderr
    assert rpod("images", "-q").count("\n") == 1
    layout = bad.write_layout(f"{user_dir}/layout", "v1")
    subprocess.run(["chmod", "-R", "a+rX", layout], check=True)
    rpod("load", "-i", layout, code=125)
    assert "rejects every image" in rpod.stderr
    accept = pathlib.Path(user_dir, "accept.json")
    accept.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    rpod("load", "--signature-policy", str(accept), "-i", layout)

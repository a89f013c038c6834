"""Credentials files, helpers and challenges."""

from __future__ import annotations

import base64
import json
import os
import pathlib

import pytest

from rootless_pod.errors import HostUnready, Refused, Usage
from rootless_pod.image.registry.auth import Credentials, find_credentials, parse_creds
from rootless_pod.image.registry.challenge import parse_challenges
from rootless_pod.oci.reference import parse_reference


def encoded(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.fixture
def find(tmp_path):
    def look(name, **document):
        (tmp_path / "auth.json").write_text(json.dumps(document))
        return find_credentials(parse_reference(name), authfile=str(tmp_path / "auth.json"))

    return look


def test_the_most_specific_key_wins(find):
    auths = {
        "a.org": encoded("host:1"),
        "a.org/team": encoded("team:2"),
        "a.org/team/app": encoded("app:3:with:colons"),
    }
    assert find("a.org/x/y", auths=auths) == Credentials(username="host", password="1")
    assert find("a.org/team/y", auths=auths) == Credentials(username="team", password="2")
    assert find("a.org/team/app", auths=auths) == Credentials(username="app", password="3:with:colons")
    assert find("b.org/team/app", auths=auths) is None


@pytest.mark.parametrize("key", ["docker.io", "index.docker.io", "https://index.docker.io/v1/"])
def test_dockers_own_keys_are_known(find, key):
    assert find("busybox", auths={key: encoded("me:pw")}).username == "me"


def test_a_scheme_before_the_host_is_left_out(find):
    assert find("a.org:5000/x", auths={"https://a.org:5000/v2/": encoded("me:pw")}).password == "pw"


def test_damaged_files_are_named(find, tmp_path):
    with pytest.raises(Usage, match="damaged"):
        find("a.org/x", auths={"a.org": {"auth": "%%%"}})
    (tmp_path / "auth.json").write_text("{")
    with pytest.raises(Usage, match=r"auth\.json"):
        find_credentials(parse_reference("a.org/x"), authfile=str(tmp_path / "auth.json"))
    with pytest.raises(Usage, match="no credentials file"):
        find_credentials(parse_reference("a.org/x"), authfile=str(tmp_path / "none"))


@pytest.fixture
def helper(tmp_path, monkeypatch):
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("RPOD_PROGRAM_PATH", f"{directory}:/usr/bin:/bin")

    def install(script):
        path = directory / "docker-credential-test"
        path.write_text(f"#!/bin/sh\nread server\n{script}\n")
        path.chmod(0o755)

    return install


def test_a_credential_helper_is_asked_for_the_host(find, helper):
    helper('echo "{\\"Username\\":\\"u-$server\\",\\"Secret\\":\\"s\\"}"')
    assert find("a.org/x", credHelpers={"a.org": "test"}).username == "u-a.org"
    assert find("busybox", credsStore="test").username == "u-https://index.docker.io/v1/"


def test_a_helper_may_give_a_token_nothing_or_fail(find, helper):
    helper('echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"s\\"}"')
    assert find("a.org/x", credsStore="test").identity_token == "s"
    helper("echo credentials not found in native keychain; exit 1")
    assert find("a.org/x", credsStore="test") is None
    helper("echo boom; exit 1")
    with pytest.raises(Refused, match="boom"):
        find("a.org/x", credsStore="test")
    with pytest.raises(HostUnready, match="docker-credential-missing"):
        find("a.org/x", credsStore="missing")


def test_a_password_is_never_shown():
    assert "secret" not in repr(parse_creds("ann:secret"))
    with pytest.raises(Usage):
        parse_creds(":secret")


def test_the_files_are_looked_at_in_order(monkeypatch):
    run = pathlib.Path(os.environ["XDG_RUNTIME_DIR"], "containers/auth.json")
    docker = pathlib.Path(os.environ["HOME"], ".docker/config.json")
    for path, user in ((docker, "docker"), (run, "run")):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"auths": {"a.org": encoded(f"{user}:x")}}))
        assert find_credentials(parse_reference("a.org/x")).username == user


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        ('Negotiate, Basic realm="x\\"y"', [("negotiate", {}), ("basic", {"realm": 'x"y'})]),
        ("", []),
        ('"', []),
    ],
)
def test_a_challenge_is_taken_apart(header, expected):
    assert [(one.scheme, one.parameters) for one in parse_challenges(header)] == expected

"""Policies that are good, and those that must refuse everything, with the field in the words."""

from __future__ import annotations

import base64
import json
import os

import pytest

from rootless_pod.errors import Refused
from rootless_pod.image.trust.policy import find_policy, parse_policy, read_policy, user_policy
from rootless_pod.image.trust.requirement import Accept, Reject, SignedBy, SigstoreSigned
from rootless_pod.image.trust.strictjson import Malformed

ACCEPT = {"type": "insecureAcceptAnything"}
SIGNED = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}
COSIGNED = {"type": "sigstoreSigned", "keyPath": "/k"}
FULCIO = {"caPath": "/ca", "oidcIssuer": "https://i", "subjectEmail": "a@b"}
B64 = base64.b64encode(b"key").decode()

GOOD = {
    "accept": ACCEPT,
    "reject": {"type": "reject"},
    "a key file": SIGNED,
    "key files": {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/a", "/b"]},
    "key data": {"type": "signedBy", "keyType": "GPGKeys", "keyData": B64},
    "matchExact": {**SIGNED, "signedIdentity": {"type": "matchExact"}},
    "matchRepoDigestOrExact": {**SIGNED, "signedIdentity": {"type": "matchRepoDigestOrExact"}},
    "matchRepository": {**COSIGNED, "signedIdentity": {"type": "matchRepository"}},
    "exactReference": {**SIGNED, "signedIdentity": {"type": "exactReference", "dockerReference": "a.org/b:1"}},
    "exactRepository": {**SIGNED, "signedIdentity": {"type": "exactRepository", "dockerRepository": "a.org/b"}},
    "remap a host": {
        **SIGNED,
        "signedIdentity": {"type": "remapIdentity", "prefix": "m:5000", "signedPrefix": "a.org"},
    },
    "remap a namespace": {
        **SIGNED,
        "signedIdentity": {"type": "remapIdentity", "prefix": "m.org/x", "signedPrefix": "docker.io/library"},
    },
    "a sigstore key": COSIGNED,
    "sigstore keys": {"type": "sigstoreSigned", "keyDatas": [B64, B64]},
    "a logged sigstore key": {**COSIGNED, "rekorPublicKeyData": B64},
    "several logs": {**COSIGNED, "rekorPublicKeyPaths": ["/r1", "/r2"]},
    "fulcio": {"type": "sigstoreSigned", "fulcio": FULCIO, "rekorPublicKeyPath": "/r"},
    "pki": {"type": "sigstoreSigned", "pki": {"caRootsPath": "/r", "subjectHostname": "h", "caIntermediatesData": B64}},
}


@pytest.mark.parametrize("requirement", GOOD.values(), ids=GOOD)
def test_a_good_requirement_is_read(requirement):
    policy = parse_policy(json.dumps({"default": [requirement]}).encode(), "p")
    assert [one.type for one in policy.default] == [requirement["type"]]


def signed_identity(**fields):
    return {"default": [{**SIGNED, "signedIdentity": fields}]}


BAD = {
    "nothing": (b"", "not JSON"),
    "a list": (b"[]", "not a JSON object"),
    "not UTF-8": (b'{"default": "\xff"}', "not JSON"),
    "a number that is none": (b'{"default": NaN}', "NaN"),
    "cut off": (b'{"default": [', "not JSON"),
    "more after it": (b'{"default": [{"type": "reject"}]} x', "not JSON"),
    "a comment": (b'{"default": [{"type": "reject"}] /* x */}', "not JSON"),
    "nested without end": (b'{"default": ' + b"[" * 100_000, "not JSON"),
    "no default": ({"transports": {}}, "'default' is missing"),
    "an unknown field": ({"default": [ACCEPT], "defaults": []}, "unknown field 'defaults'"),
    "a field twice": (b'{"default": [{"type": "reject"}], "default": [{"type": "reject"}]}', "'default' comes twice"),
    "a scope twice": (
        b'{"default": [{"type": "reject"}], "transports": {"docker": {"a": [{"type": "reject"}], "a": []}}}',
        "'a' comes twice",
    ),
    "default no list": ({"default": ACCEPT}, "'default' is not a list"),
    "no requirement": ({"default": []}, "default is not a list with at least one entry"),
    "a requirement that is text": ({"default": ["reject"]}, "default[0] is not a JSON object"),
    "no type": ({"default": [{}]}, "'type' is missing"),
    "an unknown type": ({"default": [{"type": "accept"}]}, "type 'accept' is none of"),
    "a type that is no text": ({"default": [{"type": 3}]}, "type 3"),
    "accept with more": ({"default": [{**ACCEPT, "keyPath": "/k"}]}, "unknown field 'keyPath'"),
    "reject with more": ({"default": [{"type": "reject", "x": 1}]}, "unknown field 'x'"),
    "transports no object": ({"default": [ACCEPT], "transports": []}, "'transports' is not an object"),
    "a transport no object": ({"default": [ACCEPT], "transports": {"docker": []}}, "transports.docker is not"),
    "an empty scope list": ({"default": [ACCEPT], "transports": {"docker": {"a": []}}}, "transports.docker['a']"),
    "a docker-archive scope": ({"default": [ACCEPT], "transports": {"docker-archive": {"/a": [ACCEPT]}}}, "no scope"),
    "a relative dir": ({"default": [ACCEPT], "transports": {"dir": {"a": [ACCEPT]}}}, "absolute"),
    "the root dir": ({"default": [ACCEPT], "transports": {"dir": {"/": [ACCEPT]}}}, "absolute"),
    "a dir with dots": ({"default": [ACCEPT], "transports": {"oci": {"/a/../b": [ACCEPT]}}}, "absolute"),
    "a wildcard inside": ({"default": [ACCEPT], "transports": {"docker": {"a*.b.c": [ACCEPT]}}}, "wildcard"),
    "two wildcards": ({"default": [ACCEPT], "transports": {"docker": {"*.*.c": [ACCEPT]}}}, "wildcard"),
    "no key type": ({"default": [{"type": "signedBy", "keyPath": "/k"}]}, "'keyType' is missing"),
    "another key type": ({"default": [{**SIGNED, "keyType": "X509Certificates"}]}, "only GPGKeys"),
    "no key": ({"default": [{"type": "signedBy", "keyType": "GPGKeys"}]}, "one of keyPath, keyPaths, keyData"),
    "two keys": ({"default": [{**SIGNED, "keyData": B64}]}, "keyPath and keyData exclude each other"),
    "an empty key path": ({"default": [{**SIGNED, "keyPath": ""}]}, "empty entry"),
    "no key paths": ({"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPaths": []}]}, "at least one entry"),
    "key paths of numbers": (
        {"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPaths": [1]}]},
        "not a string",
    ),
    "key data no base64": ({"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyData": "!"}]}, "not base64"),
    "a key path that is a list": ({"default": [{**SIGNED, "keyPath": ["/k"]}]}, "'keyPath' is not a string"),
    "an unknown identity": (signed_identity(type="matchAll"), "type 'matchAll'"),
    "an identity that is text": ({"default": [{**SIGNED, "signedIdentity": "x"}]}, "'signedIdentity' is not an object"),
    "an identity with more": (signed_identity(type="matchExact", x="y"), "unknown field 'x'"),
    "a reference missing": (signed_identity(type="exactReference"), "'dockerReference' is missing"),
    "a reference without a tag": (signed_identity(type="exactReference", dockerReference="a.org/b"), "neither tag"),
    "a bad reference": (signed_identity(type="exactReference", dockerReference="a.org/B:1"), "dockerReference"),
    "a repository with a tag": (signed_identity(type="exactRepository", dockerRepository="a.org/b:1"), "has a tag"),
    "a prefix with a tag": (signed_identity(type="remapIdentity", prefix="a/b:c", signedPrefix="a.org"), "prefix"),
    "a short prefix": (signed_identity(type="remapIdentity", prefix="busybox/x", signedPrefix="a.org"), "in full"),
    "an empty prefix": (signed_identity(type="remapIdentity", prefix="", signedPrefix="a.org"), "prefix"),
    "one prefix": (signed_identity(type="remapIdentity", prefix="a.org"), "'signedPrefix' is missing"),
    "sigstore without a key": ({"default": [{"type": "sigstoreSigned"}]}, "one of keyPath"),
    "sigstore with key and fulcio": ({"default": [{**COSIGNED, "fulcio": FULCIO}]}, "exclude each other"),
    "sigstore with a key type": ({"default": [{**COSIGNED, "keyType": "GPGKeys"}]}, "unknown field 'keyType'"),
    "two logs": (
        {"default": [{**COSIGNED, "rekorPublicKeyPath": "/r", "rekorPublicKeyData": B64}]},
        "exclude each other",
    ),
    "fulcio without a log": ({"default": [{"type": "sigstoreSigned", "fulcio": FULCIO}]}, "Rekor"),
    "fulcio without an issuer": (
        {"default": [{"type": "sigstoreSigned", "fulcio": {"caPath": "/a"}, "rekorPublicKeyPath": "/r"}]},
        "'oidcIssuer' is missing",
    ),
    "fulcio with an empty mail": (
        {"default": [{"type": "sigstoreSigned", "fulcio": {**FULCIO, "subjectEmail": ""}, "rekorPublicKeyPath": "/r"}]},
        "subjectEmail is empty",
    ),
    "fulcio without an authority": (
        {
            "default": [
                {
                    "type": "sigstoreSigned",
                    "fulcio": {"oidcIssuer": "i", "subjectEmail": "m"},
                    "rekorPublicKeyPath": "/r",
                }
            ]
        },
        "one of caPath, caData",
    ),
    "pki without a subject": ({"default": [{"type": "sigstoreSigned", "pki": {"caRootsPath": "/r"}}]}, "subjectEmail"),
    "pki without roots": ({"default": [{"type": "sigstoreSigned", "pki": {"subjectEmail": "m"}}]}, "caRootsPath"),
    "pki with a log": (
        {
            "default": [
                {
                    "type": "sigstoreSigned",
                    "pki": {"caRootsPath": "/r", "subjectEmail": "m"},
                    "rekorPublicKeyPath": "/r",
                }
            ]
        },
        "beside pki",
    ),
}


@pytest.mark.parametrize(("text", "why"), BAD.values(), ids=BAD)
def test_a_bad_policy_refuses_and_names_file_and_field(tmp_path, text, why):
    path = tmp_path / "policy.json"
    path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
    with pytest.raises(Refused) as caught:
        read_policy(str(path))
    assert str(path) in caught.value.message
    assert why in caught.value.message
    assert caught.value.remedy


def test_a_policy_that_can_t_be_read_refuses(tmp_path):
    with pytest.raises(Refused, match="cannot read the trust policy"):
        read_policy(str(tmp_path / "none.json"))
    directory = tmp_path / "policy.json"
    directory.mkdir()
    with pytest.raises(Refused, match="Is a directory"):
        read_policy(str(directory))


def test_the_users_policy_comes_before_the_machines(tmp_path, write_policy):
    system = tmp_path / "system.json"
    system.write_text(json.dumps({"default": [ACCEPT]}))
    assert read_policy(system=str(system)).default == (Accept(),)
    own = write_policy()
    assert own == user_policy() == find_policy(system=str(system))
    assert read_policy(system=str(system)).default == (Reject(),)


def test_a_users_policy_that_leads_nowhere_is_not_passed_over(tmp_path):
    os.makedirs(os.path.dirname(user_policy()))
    os.symlink("/nonexistent/policy.json", user_policy())
    system = tmp_path / "system.json"
    system.write_text(json.dumps({"default": [ACCEPT]}))
    with pytest.raises(Refused, match="No such file"):
        read_policy(system=str(system))


def test_a_machine_without_a_policy_accepts(tmp_path):
    policy = read_policy(system=str(tmp_path / "none"))
    assert policy.default == (Accept(),)
    assert policy.path == ""


def test_transports_that_are_not_known_here_do_no_harm():
    policy = parse_policy(json.dumps({"default": [ACCEPT], "transports": {"new": {"x": [ACCEPT]}}}).encode(), "p")
    assert policy.find("docker", ("x",)).transport == ""


def test_the_most_specific_rule_is_the_only_one():
    table = {
        "default": [{"type": "reject"}],
        "transports": {"docker": {"": [COSIGNED], "a.org": [ACCEPT], "a.org/b": [SIGNED, COSIGNED]}},
    }
    policy = parse_policy(json.dumps(table).encode(), "p")
    found = policy.find("docker", ("a.org/b:1", "a.org/b", "a.org", "*.org"))
    assert [type(one) for one in found.requirements] == [SignedBy, SigstoreSigned]
    assert found.where == "transports.docker['a.org/b']"
    assert [type(one) for one in policy.find("docker", ("a.org/c", "a.org")).requirements] == [Accept]
    assert [type(one) for one in policy.find("docker", ("c.org",)).requirements] == [SigstoreSigned]
    assert [type(one) for one in policy.find("dir", ("/x",)).requirements] == [Reject]
    assert policy.find("dir", ("/x",)).where == "default"


def test_malformed_is_what_parsing_alone_raises():
    with pytest.raises(Malformed):
        parse_policy(b"{}", "p")

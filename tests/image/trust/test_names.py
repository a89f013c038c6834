"""Which rule speaks about an image, and which name a signature must bear."""

from __future__ import annotations

import os

import pytest

from rootless_pod.image.trust.identity import SignedIdentity, parse_name
from rootless_pod.image.trust.scope import name_scopes, path_scopes, registry_scopes
from rootless_pod.image.trust.strictjson import Malformed
from rootless_pod.oci.reference import parse_reference

DIGEST = "sha256:" + "a" * 64


# Source: containers/image, docker/policyconfiguration: the order its DockerReferenceNamespaces documents.
@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        (
            "busybox",
            [
                "docker.io/library/busybox:latest",
                "docker.io/library/busybox",
                "docker.io/library",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "sub.example.com:8443/ns/app:1",
            [
                "sub.example.com:8443/ns/app:1",
                "sub.example.com:8443/ns/app",
                "sub.example.com:8443/ns",
                "sub.example.com:8443",
                "*.example.com",
                "*.com",
            ],
        ),
        (f"localhost/a@{DIGEST}", [f"localhost/a@{DIGEST}", "localhost/a", "localhost"]),
        ("localhost:5000/a", ["localhost:5000/a:latest", "localhost:5000/a", "localhost:5000"]),
    ],
)
def test_scopes_of_a_name_go_from_the_image_to_the_domain(name, scopes):
    assert list(registry_scopes(parse_reference(name))) == scopes


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("a.org", ["a.org", "*.org"]),
        ("a.org:5000", ["a.org:5000", "*.org"]),
        ("a.org/b", ["a.org/b", "a.org", "*.org"]),
        ("a.org/b:1", ["a.org/b:1", "a.org/b", "a.org", "*.org"]),
        (f"a.org:1/b@{DIGEST}", [f"a.org:1/b@{DIGEST}", "a.org:1/b", "a.org:1", "*.org"]),
    ],
)
def test_what_a_user_writes_has_scopes_too(text, scopes):
    assert list(name_scopes(text)) == scopes


def test_scopes_of_a_path_are_its_parents_without_links(tmp_path):
    (tmp_path / "real" / "image").mkdir(parents=True)
    os.symlink("real", tmp_path / "link")
    here = os.path.realpath(tmp_path)
    scopes = path_scopes(str(tmp_path / "link" / "image"), "v1")
    assert scopes[:4] == (f"{here}/real/image:v1", f"{here}/real/image", f"{here}/real", here)
    assert "/" not in scopes


@pytest.mark.parametrize(
    ("text", "repository", "version"),
    [
        ("busybox", "docker.io/library/busybox", ""),
        ("busybox:1", "docker.io/library/busybox", ":1"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", ""),
        ("a.org:5000/b", "a.org:5000/b", ""),
        ("a.org:5000/b:c", "a.org:5000/b", ":c"),
        (f"a.org/b@{DIGEST}", "a.org/b", f"@{DIGEST}"),
        (f"a.org/b:c@{DIGEST}", "a.org/b", f":c@{DIGEST}"),
    ],
)
def test_a_name_keeps_what_it_says_and_gets_no_tag(text, repository, version):
    assert (parse_name(text).repository, parse_name(text).version) == (repository, version)


def remap(prefix, signed):
    return SignedIdentity(type="remapIdentity", expected=prefix, signed_prefix=signed)


EXACT, DEFAULT, REPOSITORY = SignedIdentity(type="matchExact"), SignedIdentity(), SignedIdentity(type="matchRepository")
REFERENCE = SignedIdentity(type="exactReference", expected="a.org/b:1")
ONE_REPOSITORY = SignedIdentity(type="exactRepository", expected="a.org/b")


# Source: containers-policy.json(5), "signedIdentity", and containers/image's policy_reference_match_test.go for names
# without a tag.
@pytest.mark.parametrize(
    ("identity", "signed", "image", "fits"),
    [
        (EXACT, "a.org/b:1", "a.org/b:1", True),
        (EXACT, "a.org/b:2", "a.org/b:1", False),
        (EXACT, "a.org/b", "a.org/b:1", False),
        (EXACT, "a.org/b:1", f"a.org/b@{DIGEST}", False),
        (EXACT, "busybox:latest", "docker.io/library/busybox:latest", True),
        (EXACT, "busybox", "docker.io/library/busybox:latest", False),
        (DEFAULT, "a.org/b:1", "a.org/b:1", True),
        (DEFAULT, "a.org/b:2", "a.org/b:1", False),
        (DEFAULT, "a.org/b", "a.org/b:1", False),
        (DEFAULT, "a.org/b:2", f"a.org/b@{DIGEST}", True),
        (DEFAULT, "a.org/b", f"a.org/b@{DIGEST}", False),
        (DEFAULT, "a.org/c:1", f"a.org/b@{DIGEST}", False),
        (REPOSITORY, "a.org/b", "a.org/b:1", True),
        (REPOSITORY, "a.org/b:7", "a.org/b:1", True),
        (REPOSITORY, "a.org/bb", "a.org/b:1", False),
        (REFERENCE, "a.org/b:1", "z.org/q:9", True),
        (REFERENCE, "a.org/b:1", None, True),
        (REFERENCE, "a.org/b:2", "a.org/b:2", False),
        (REFERENCE, "a.org/b", "a.org/b:1", False),
        (ONE_REPOSITORY, "a.org/b:5", None, True),
        (ONE_REPOSITORY, "a.org/c:5", "a.org/b:5", False),
        (remap("m:5000", "a.org"), "a.org/b:1", "m:5000/b:1", True),
        (remap("m:5000", "a.org"), "m:5000/b:1", "m:5000/b:1", False),
        (remap("m:5000/x", "a.org/y"), "a.org/y/b:1", "m:5000/x/b:1", True),
        (remap("m:5000/x", "a.org/y"), "m:5000/xx/b:1", "m:5000/xx/b:1", True),
        (remap("m:5000/x/b", "a.org/y"), "a.org/y:1", "m:5000/x/b:1", True),
        (remap("m:5000/x", "a.org/y"), "a.org/y/b:9", f"m:5000/x/b@{DIGEST}", True),
        (DEFAULT, "a.org/b:1", None, False),
        (REPOSITORY, "not a name", "a.org/b:1", False),
    ],
)
def test_a_signature_is_for_the_image_or_it_is_not(identity, signed, image, fits):
    if fits:
        identity.check(signed, image)
    else:
        with pytest.raises(Malformed):
            identity.check(signed, image)

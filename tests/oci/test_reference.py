"""References: the grammar, and what short forms mean. Expected values: docker's reference grammar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.errors import Usage
from rootless_pod.oci.reference import parse_reference, parse_source

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("me/app:1.0", "docker.io/me/app:1.0", "me/app:1.0"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/a/b/c:T_-.x", "localhost:5000/a/b/c:T_-.x", "localhost:5000/a/b/c:T_-.x"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"a.org/b@{DIGEST}", f"a.org/b@{DIGEST}", f"a.org/b@{DIGEST}"),
        (f"a.org/b:1@{DIGEST}", f"a.org/b@{DIGEST}", f"a.org/b@{DIGEST}"),
        ("a.org/x__y/z--w", "a.org/x__y/z--w:latest", "a.org/x__y/z--w:latest"),
    ],
)
def test_a_name_is_normalised(text, full, familiar):
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar() == familiar
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    ["", "Upper", "a.org/Upper", "a:", "a:-x", ":1", "a//b", "/a", "a/", "a..b", "a___b", "-a", "a-", "a@sha256:00",
     "a@md5:00", f"a:{'x' * 129}", "a b", "a.org:port/x", "x" * 256, "a.org/é", "a\n", "a:1:2"],
)  # fmt: skip
def test_a_name_that_breaks_the_grammar_is_refused(text):
    with pytest.raises(Usage, match="invalid image name"):
        parse_reference(text)


@settings(database=None)
@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused_and_what_is_taken_is_stable(text):
    try:
        reference = parse_reference(text)
    except Usage:
        return
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "transport", "rest"),
    [
        ("docker://a.org/x", "docker", "a.org/x"),
        ("docker:5000/x", "", "docker:5000/x"),
        ("oci:/p:v1", "oci", "/p:v1"),
        ("docker-archive:f.tar", "docker-archive", "f.tar"),
        ("dir:d", "dir", "d"),
        ("a.org/x:1", "", "a.org/x:1"),
    ],
)
def test_a_transport_is_split_off(text, transport, rest):
    source = parse_source(text)
    assert (source.transport, source.rest) == (transport, rest)

"""Manifests and indexes, good and hostile."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.oci import mediatype
from rootless_pod.oci.manifest import (
    Manifest,
    choose_manifest,
    detect_media_type,
    format_index,
    format_manifest,
    parse_index,
    parse_manifest,
)
from rootless_pod.oci.platform import parse_platform

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


def descriptor(digest=A, size=10, media_type=mediatype.OCI_LAYER_GZIP, **more):
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def manifest(**changes):
    document = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": descriptor(A, 3, mediatype.OCI_CONFIG),
        "layers": [descriptor(B, 4), descriptor(C, 5)],
        "annotations": {"k": "v"},
    }
    document.update(changes)
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def index(*entries, **changes):
    return json.dumps({"schemaVersion": 2, "manifests": list(entries), **changes}).encode()


def entry(digest, platform, media_type=mediatype.OCI_MANIFEST):
    names = ("os", "architecture", "variant")
    fields = dict(zip(names, platform.split("/"), strict=False)) if platform else None
    return descriptor(digest, 7, media_type, **({"platform": fields} if fields else {}))


def test_a_manifest_is_read():
    found = parse_manifest(manifest())
    assert (found.config.digest, [layer.digest for layer in found.layers]) == (A, [B, C])
    assert found.annotations == {"k": "v"}
    assert found.layers[0].size == 4


def test_a_docker_manifest_is_read():
    data = manifest(mediaType=mediatype.DOCKER_MANIFEST)
    assert parse_manifest(data, mediatype.DOCKER_MANIFEST).media_type == mediatype.DOCKER_MANIFEST


def test_a_manifest_without_media_type_takes_the_one_it_came_with():
    assert parse_manifest(manifest(mediaType=...), mediatype.DOCKER_MANIFEST).media_type == mediatype.DOCKER_MANIFEST
    assert parse_manifest(manifest(mediaType=...)).media_type == mediatype.OCI_MANIFEST


def test_parameters_of_a_media_type_do_not_count():
    assert detect_media_type(manifest(), mediatype.OCI_MANIFEST + "; charset=utf-8") == mediatype.OCI_MANIFEST


def test_formatting_a_manifest_and_parsing_it_again_gives_the_same():
    found = parse_manifest(manifest(subject=descriptor(C, 9, mediatype.OCI_MANIFEST), artifactType="x/y"))
    assert parse_manifest(format_manifest(found)) == found
    assert isinstance(found, Manifest)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "manifest"),
        (b"[]", "manifest"),
        (b"{", "manifest"),
        (b"[" * 100_000, "manifest"),
        (manifest(schemaVersion=1), "schemaVersion"),
        (manifest(schemaVersion=...), "schemaVersion"),
        (manifest(config=...), "config"),
        (manifest(config=[]), "config"),
        (manifest(layers=...), "layers"),
        (manifest(layers={}), "layers"),
        (manifest(layers=[1]), r"layers\[0\]"),
        (manifest(layers=[descriptor("sha256:x")]), r"layers\[0\]\.digest"),
        (manifest(layers=[descriptor("sha256:../../../etc/passwd")]), r"layers\[0\]\.digest"),
        (manifest(layers=[descriptor(size=-1)]), r"layers\[0\]\.size"),
        (manifest(layers=[descriptor(size=2**63)]), r"layers\[0\]\.size"),
        (manifest(layers=[descriptor(size="4")]), r"layers\[0\]\.size"),
        (manifest(layers=[descriptor(size=True)]), r"layers\[0\]\.size"),
        (manifest(layers=[descriptor(size=1.5)]), r"layers\[0\]\.size"),
        (manifest(layers=[descriptor(urls=[1])]), r"urls\[0\]"),
        (manifest(annotations={"a": 1}), "annotations"),
        (manifest(annotations={"a": "x\0y"}), "annotations"),
        (manifest(manifests=[]), "ambiguous"),
        (manifest(mediaType=mediatype.DOCKER_SCHEMA1_SIGNED), "schema 1"),
        (manifest(fsLayers=[]), "schema 1"),
        (manifest(mediaType="text/html"), "mediaType"),
        (manifest(mediaType=mediatype.OCI_INDEX), "mediaType"),
        (b'{"annotations":{"a":"\\ud800"},' + manifest(annotations=...)[1:], "annotations"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_field_at_fault(data, field):
    with pytest.raises(Corrupt, match=field):
        parse_manifest(data)


def test_a_manifest_that_contradicts_its_announcement_is_refused():
    with pytest.raises(Corrupt, match="announced"):
        parse_manifest(manifest(), mediatype.OCI_INDEX)


def test_a_manifest_of_more_than_four_mebibytes_is_refused():
    with pytest.raises(Corrupt, match="more than"):
        parse_manifest(manifest(annotations={"a": "x" * (4 << 20)}))


def test_the_manifest_of_the_wanted_platform_is_chosen():
    found = parse_index(index(entry(A, "linux/arm64/v8"), entry(B, "linux/amd64"), entry(C, "unknown/unknown")))
    assert choose_manifest(found, parse_platform("linux/amd64")).digest == B
    assert choose_manifest(found, parse_platform("linux/arm64")).digest == A


def test_a_platform_that_is_not_there_is_not_found_and_the_others_are_named():
    found = parse_index(index(entry(A, "linux/arm64/v8"), entry(C, "unknown/unknown")))
    with pytest.raises(NotFound, match="it has linux/arm64/v8$"):
        choose_manifest(found, parse_platform("linux/s390x"))


def test_a_lone_manifest_without_a_platform_is_taken():
    assert choose_manifest(parse_index(index(entry(A, ""))), parse_platform("linux/amd64")).digest == A


def test_two_manifests_without_a_platform_are_not_guessed_between():
    with pytest.raises(NotFound):
        choose_manifest(parse_index(index(entry(A, ""), entry(B, ""))), parse_platform("linux/amd64"))


def test_formatting_an_index_and_parsing_it_again_gives_the_same():
    found = parse_index(index(entry(A, "linux/arm/v7"), annotations={"x": "y"}))
    assert parse_index(format_index(found)) == found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, database=None)
@given(
    st.dictionaries(
        st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"]), json_values
    )
)
def test_any_json_is_read_or_refused_as_corrupt(document):
    document.setdefault("schemaVersion", 2)
    data = json.dumps(document).encode()
    for parse in (parse_manifest, parse_index):
        with contextlib.suppress(Corrupt):
            parse(data)

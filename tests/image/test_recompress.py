"""Which layers are packed anew, and what is said of them afterwards."""

from __future__ import annotations

import io

import pytest

from rootless_pod.errors import Refused, Usage
from rootless_pod.image.recompress import CHUNKED, Compression, check_target, recompress
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor

PLAIN = Descriptor(media_type=mediatype.OCI_LAYER, digest="sha256:" + "a" * 64, size=1)
GZIP = PLAIN.replace(media_type=mediatype.OCI_LAYER_GZIP)
ZSTD = PLAIN.replace(media_type=mediatype.OCI_LAYER_ZSTD)
NEW = ZSTD.replace(annotations={"io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"})
OLD = ZSTD.replace(annotations={"io.containers.zstd-chunked.manifest-position": "1:2:3:1"})


@pytest.mark.parametrize(
    ("kind", "layer", "wanted"),
    [
        (CHUNKED, PLAIN, CHUNKED),
        (CHUNKED, GZIP, CHUNKED),
        (CHUNKED, ZSTD, CHUNKED),
        (CHUNKED, NEW, ""),
        (CHUNKED, OLD, ""),
        ("zstd", NEW, ""),
        ("zstd", GZIP, "zstd"),
        ("gzip", NEW, "gzip"),
        ("gzip", GZIP, ""),
    ],
)
def test_a_layer_that_is_what_is_asked_for_stays(kind, layer, wanted):
    assert Compression(kind=kind, force=True).wanted(layer, packs=False) == wanted


def test_a_level_that_is_asked_for_has_it_packed_anew():
    assert Compression(kind=CHUNKED, level=9, force=True).wanted(NEW, packs=False) == CHUNKED
    with pytest.raises(Usage, match="zstd:chunked"):
        Compression(kind=CHUNKED, level=99).check()


@pytest.mark.parametrize("form", ["v2s1", "v2s2"])
@pytest.mark.parametrize("kind", ["zstd", CHUNKED])
def test_docker_s_manifests_have_no_word_for_zstd(kind, form):
    with pytest.raises(Refused, match=f"schema {form[-1]} knows no zstd"):
        check_target(kind, form)
    check_target(kind, "oci")
    check_target("gzip", form)


@pytest.mark.parametrize("before", [NEW, OLD])
def test_what_was_said_of_the_old_bytes_is_not_said_of_the_new(tmp_path, before):
    layer = before.replace(media_type=mediatype.OCI_LAYER, annotations={**before.annotations, "kept": "yes"})
    made = recompress(
        io.BytesIO(bytes(1024)), layer, "gzip", None, spool_dir=str(tmp_path), on_progress=lambda _seen: None
    )
    try:
        assert made.descriptor.annotations == {"kept": "yes"}
        assert made.descriptor.media_type == mediatype.OCI_LAYER_GZIP
    finally:
        made.close()

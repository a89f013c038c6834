"""Images that are right but unusual are taken as they are; endless ones are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pathlib
import pty
import struct
import subprocess
import sys
import tarfile

import pytest

from rootless_pod.errors import Corrupt, Refused
from rootless_pod.image.lookup import list_images
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.storage.store import Store

QUIET = PullOptions(quiet=True, single_id=True)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def members(files):
    """Return the pieces of a tar: one for each file, and the end."""
    pieces = []
    for name, data in files.items():
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        pieces.append(out.getvalue()[: 512 + (len(data) + 511) // 512 * 512])
    return [*pieces, bytes(1024)]


def add_raw(image, tar, packed, suffix):
    image.diff_ids.append(digest_of(tar))
    layer = image.keep(packed, f"application/vnd.oci.image.layer.v1.tar{suffix}")
    image.layers.append(layer)
    return layer


def pull_made(paths, image, tmp_path):
    return pull(paths, f"oci:{image.write_layout(tmp_path / 'odd', 'v1')}:v1", QUIET)[0]


def content(paths, image, name, layer=-1):
    return pathlib.Path(Store(paths).layer_path(image.layers[layer]), name).read_bytes()


def stargz_footer(offset):
    """An empty gzip member with the place of the table of contents in its extra field (containerd's stargz, 51 bytes)."""
    extra = b"SG" + struct.pack("<H", 22) + f"{offset:016x}STARGZ".encode()
    head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + struct.pack("<H", len(extra)) + extra
    return head + b"\x01\x00\x00\xff\xff" + bytes(8)


def test_an_estargz_layer_is_read_as_an_ordinary_one(paths, make_image, tmp_path):
    image = make_image({"base": b"base"})
    pieces = members({"a": b"A" * 3000, "b": b"B", "stargz.index.json": b'{"version":1,"entries":[]}'})
    packed = b"".join(gzip.compress(piece, mtime=0) for piece in pieces)
    layer = add_raw(image, b"".join(pieces), packed + stargz_footer(len(packed)), "+gzip")
    layer["annotations"] = {"containerd.io/snapshot/stargz/toc.digest": digest_of(b"toc")}
    pulled = pull_made(paths, image.seal(), tmp_path)
    assert (content(paths, pulled, "a"), content(paths, pulled, "b")) == (b"A" * 3000, b"B")


def test_a_zstd_chunked_layer_is_read_as_an_ordinary_one(paths, make_image, tmp_path):
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    image = make_image({"base": b"base"})
    pieces = members({"a": b"A" * 3000, "b": b"B"})
    manifest = zstd.compress(b'{"version":1}')
    footer = b"GNUlInUx" + bytes(56)
    skipped = b"".join(struct.pack("<II", 0x184D2A50, len(data)) + data for data in (manifest, footer))
    packed = b"".join(zstd.compress(piece) for piece in pieces) + skipped
    layer = add_raw(image, b"".join(pieces), packed, "+zstd")
    layer["annotations"] = {"io.github.containers.zstd-chunked.manifest-checksum": digest_of(manifest)}
    pulled = pull_made(paths, image.seal(), tmp_path)
    assert (content(paths, pulled, "a"), content(paths, pulled, "b")) == (b"A" * 3000, b"B")


def test_empty_layers_and_history_without_a_layer_are_no_obstacle(paths, make_image, tmp_path):
    image = make_image({"base": b"base"})
    nothing = bytes(1024)  # docker's well-known empty layer
    for _ in range(2):
        add_raw(image, nothing, gzip.compress(nothing, mtime=0), "+gzip")
    image.seal(history=[{"created_by": "one"}, {"created_by": "ENV x", "empty_layer": True}, {}, {}])
    pulled = pull_made(paths, image, tmp_path)
    assert len(pulled.layers) == 3
    assert os.listdir(Store(paths).layer_path(pulled.layers[2])) == []
    assert content(paths, pulled, "base", 0) == b"base"


def test_an_image_of_ten_thousand_layers_is_refused_before_one_is_fetched(paths, make_image, tmp_path):
    image = make_image({"base": b"base"})
    image.layers *= 10_000
    image.diff_ids *= 10_000
    with pytest.raises(Refused, match="10000 layers"):
        pull_made(paths, image.seal(), tmp_path)
    assert list_images(paths) == ()
    assert Store(paths).layers() == ()


def test_an_index_whose_only_entry_is_an_index_is_refused(paths, make_image, tmp_path):
    image = make_image({"base": b"base"})
    here = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, ""), "os": "linux"}
    for _ in range(2):
        entry = {**image.keep(image.manifest, image.manifest_type), "platform": here}
        image.manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
        image.manifest_type = INDEX
    with pytest.raises(Corrupt, match="index inside an index"):
        pull_made(paths, image, tmp_path)


PULL = (
    "import sys; from rootless_pod.paths import Paths; from rootless_pod.image.pull import PullOptions, pull\n"
    "print(pull(Paths(graphroot=sys.argv[1], runroot=sys.argv[2], boot_id='b'), sys.argv[3], "
    "PullOptions(single_id=True))[0].id)\n"
)


def start_pull(paths, image, tmp_path, stderr):
    source = f"oci:{image.write_layout(tmp_path / 'layout', 'v1')}:v1"
    return subprocess.Popen(
        [sys.executable, "-c", PULL, paths.graphroot, paths.runroot, source],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )


def test_a_pull_into_a_pipe_writes_a_line_for_each_blob_and_the_id_alone_on_stdout(paths, make_image, tmp_path):
    image = make_image({"a": os.urandom(1000)}, {"b": b"b"})
    said, lines = start_pull(paths, image, tmp_path, subprocess.PIPE).communicate(timeout=60)
    assert said == image.config_digest.removeprefix("sha256:") + "\n"
    for layer in image.layers:
        assert f"Copying blob {layer['digest']}\n" in lines
    assert "Writing manifest to image destination\n" in lines
    assert "\x1b" not in lines


def test_a_pull_at_a_terminal_draws_a_bar_with_bytes_for_each_layer(paths, make_image, tmp_path):
    image = make_image({"a": os.urandom(200_000)}, {"b": os.urandom(300_000)})
    master, slave = pty.openpty()
    process = start_pull(paths, image, tmp_path, slave)
    os.close(slave)
    drawn = b""
    try:
        while part := os.read(master, 4096):
            drawn += part
    except OSError:
        pass  # the other end is closed
    os.close(master)
    said, _none = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == image.config_digest.removeprefix("sha256:") + "\n"
    text = drawn.decode()
    for layer in image.layers:
        assert f"Copying blob {layer['digest'].removeprefix('sha256:')[:12]}" in text
    assert "200.2/200.2 kB" in text or "200.3/200.3 kB" in text

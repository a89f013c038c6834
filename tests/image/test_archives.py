"""Archives and directories: read, written, damaged; skopeo and podman judge."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, Refused, RpodError, Usage
from rootless_pod.image.load import load_file
from rootless_pod.image.lookup import list_images, lookup
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.image.save import gather, save, save_compressed
from tests.storage import tarball as t

QUIET = PullOptions(quiet=True, single_id=True)


def load(paths, file):
    return load_file(paths, file, single_id=True, quiet=True)


def archive_of(directory, path, compress=None):
    with tarfile.open(path, "w") as archive:
        for name in sorted(os.listdir(directory)):
            archive.add(f"{directory}/{name}", name)
    if compress:
        data = compress(pathlib.Path(path).read_bytes())
        pathlib.Path(path).write_bytes(data)
    return str(path)


def docker_archive(path, made, tags, *, rename=None, legacy=False):
    """Write what ``docker save`` writes: layers as DIGEST/layer.tar, in old ones a second layer as a symlink."""
    with tarfile.open(path, "w") as archive:

        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))

        names = []
        for number, layer in enumerate(made.layers):
            plain = gzip.decompress(made.blobs[layer["digest"]])
            names.append(f"layer{number}/layer.tar")
            if legacy:
                add(f"blobs/{number}", plain)
                link = tarfile.TarInfo(names[-1])
                link.type, link.linkname = tarfile.SYMTYPE, f"../blobs/{number}"
                archive.addfile(link)
            else:
                add(names[-1], plain)
        add("config.json", made.blobs[made.config_digest])
        listing = [{"Config": "config.json", "RepoTags": tags, "Layers": rename or names}]
        add("manifest.json", json.dumps(listing).encode())
    return str(path)


@pytest.mark.parametrize("compress", [None, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("stream", [False, True], ids=["file", "pipe"])
def test_an_oci_archive_is_loaded_with_its_digest_and_name(paths, make_image, tmp_path, compress, stream):
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "example.org/team/app:1")
    file = archive_of(layout, tmp_path / "a.tar", compress)
    if stream:
        with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
            (loaded,) = load(paths, cat.stdout)
    else:
        (loaded,) = load(paths, file)
    assert loaded.names == ("example.org/team/app:1",)
    assert loaded.image.manifest_digest == made.digest
    assert lookup(paths, "app:1").id == loaded.image.id


@pytest.mark.parametrize("legacy", [False, True])
def test_a_docker_archive_is_loaded_with_its_image_id(paths, make_image, tmp_path, legacy):
    made = make_image()
    file = docker_archive(tmp_path / "d.tar", made, ["app:1", "example.org/app:2"], legacy=legacy)
    (loaded,) = load(paths, file)
    assert f"sha256:{loaded.image.id}" == made.config_digest
    assert loaded.names == ("docker.io/library/app:1", "example.org/app:2")


def test_an_oci_layout_directory_is_pulled_by_its_tag(paths, make_image, tmp_path):
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    (image,) = pull(paths, f"oci:{layout}:v1", QUIET)
    assert image.manifest_digest == made.digest
    assert image.names == (f"localhost/{layout.lstrip('/')}:v1",)
    with pytest.raises(NotFound, match="v1"):
        pull(paths, f"oci:{layout}:v2", QUIET)


def test_a_missing_path_is_not_found(paths, tmp_path):
    for text in (f"oci:{tmp_path}/none", f"docker-archive:{tmp_path}/none", f"dir:{tmp_path}/none"):
        with pytest.raises(NotFound):
            pull(paths, text, QUIET)


def test_an_archive_with_several_images_wants_a_name_for_pull_and_loads_all_for_load(paths, make_image, tmp_path):
    one, two = make_image({"a": b"1"}), make_image({"a": b"2"})
    for made, name in ((one, "one"), (two, "two")):
        pull(paths, f"oci:{made.write_layout(tmp_path / name, 'x')}:x", QUIET)
    tagged = {"one": one, "two": two}
    from rootless_pod.image.remove import tag_image

    for name, made in tagged.items():
        tag_image(paths, made.config_digest, (f"example.org/{name}:1",))
    both = gather(paths, ("example.org/one:1", "example.org/two:1"), output_format="docker-archive", several=True)
    save(both, output_format="docker-archive", output=str(tmp_path / "both.tar"))
    other = paths.replace(graphroot=str(tmp_path / "other"))
    other.prepare()
    with pytest.raises(Conflict, match="example.org/one:1"):
        pull(other, f"docker-archive:{tmp_path}/both.tar", QUIET)
    (image,) = pull(other, f"docker-archive:{tmp_path}/both.tar:example.org/two:1", QUIET)
    assert f"sha256:{image.id}" == two.config_digest
    assert [loaded.names for loaded in load(other, str(tmp_path / "both.tar"))] == [
        ("example.org/one:1",),
        ("example.org/two:1",),
    ]


def test_every_cut_of_an_archive_is_refused_and_names_nothing(paths, make_image, tmp_path):
    made = make_image({"a": os.urandom(4000)})
    files = [
        archive_of(made.write_layout(tmp_path / "layout", "example.org/a:1"), tmp_path / "o.tar"),
        archive_of(tmp_path / "layout", tmp_path / "z.tar", gzip.compress),
        docker_archive(tmp_path / "d.tar", made, ["a:1"]),
    ]
    for file in files:
        whole = pathlib.Path(file).read_bytes()
        content = len(whole.rstrip(b"\0"))
        for length in (0, 1, 300, 512, 700, content // 3, content // 2, content - 1):
            pathlib.Path(file).write_bytes(whole[:length])
            with pytest.raises(RpodError):
                load(paths, file)
            assert list_images(paths) == ()


def test_a_docker_archive_that_names_a_missing_layer_is_refused(paths, make_image, tmp_path):
    file = docker_archive(tmp_path / "d.tar", make_image(), ["a:1"], rename=["layer0/layer.tar", "none/layer.tar"])
    with pytest.raises(Corrupt, match="none/layer.tar"):
        load(paths, file)


def test_a_docker_archive_with_layers_in_the_wrong_order_is_refused(paths, make_image, tmp_path):
    swapped = ["layer1/layer.tar", "layer0/layer.tar"]
    file = docker_archive(tmp_path / "d.tar", make_image(), ["a:1"], rename=swapped)
    with pytest.raises(Corrupt, match="config says"):
        load(paths, file)


def test_links_that_run_in_circles_or_outside_end_in_words(paths, make_image, tmp_path):
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        for name, target in (("manifest.json", "other"), ("other", "manifest.json"), ("out", "../../etc/passwd")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    with pytest.raises(Corrupt, match="no image"):
        load(paths, str(tmp_path / "c.tar"))


NASTY = {
    "a size below zero": [t.header(b"evil", size_field=b"\xff" * 10 + b"\xfa\x00")],
    "a size below zero in a PAX record": [t.pax([(b"size", b"-1536")]), t.file(b"evil")],
    "an extension of an exbibyte": [t.header(b"p", b"x", size_field=b"\x80" + b"\0" * 3 + b"\x40" + b"\0" * 7)],
    "an extension that does not fit a word": [t.header(b"p", b"L", size_field=b"\x80\0\x40" + b"\0" * 9)],
    "a PAX record of digits alone": [t.pax(b"1" * 200_000)],
    "a sparse member": [t.pax([(b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.size", b"9")]), t.file(b"evil")],
}


@pytest.mark.parametrize("members", NASTY.values(), ids=NASTY)
def test_a_hostile_archive_is_refused_in_words_and_in_no_time(paths, tmp_path, members):
    (tmp_path / "n.tar").write_bytes(t.archive(*members, t.file(b"manifest.json", b"[]")).getvalue())
    with pytest.raises(Corrupt, match="not a whole tar archive"):
        load(paths, str(tmp_path / "n.tar"))


def test_thousands_of_headers_before_a_member_are_read_one_after_the_other(paths, tmp_path):
    members = [t.pax([(b"mtime", b"1")]) * 3000, t.file(b"evil"), t.file(b"manifest.json", b"[]")]
    (tmp_path / "n.tar").write_bytes(t.archive(*members).getvalue())
    with pytest.raises(NotFound, match="holds no image"):
        load(paths, str(tmp_path / "n.tar"))


@pytest.mark.parametrize("text", [b"\xff", b'[{"Config":"c.js', b"[" * 100_000, b"9" * 10_000])
def test_a_damaged_list_of_images_is_called_damaged(paths, tmp_path, text):
    (tmp_path / "n.tar").write_bytes(t.archive(t.file(b"manifest.json", text)).getvalue())
    with pytest.raises(Corrupt, match=r"manifest\.json is damaged"):
        load(paths, str(tmp_path / "n.tar"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_a_flipped_bit_of_a_compressed_archive_is_refused_and_the_file_named(paths, make_image, tmp_path, pack):
    file = docker_archive(tmp_path / "d.tar", make_image({"a": os.urandom(4000)}), ["a:1"])
    data = bytearray(pack(pathlib.Path(file).read_bytes()))
    data[len(data) // 2] ^= 0xFF
    pathlib.Path(file).write_bytes(bytes(data))
    with pytest.raises(Corrupt, match=re.escape(file)):
        load(paths, file)


def test_a_layout_whose_blob_was_changed_is_refused(paths, make_image, tmp_path):
    made = make_image()
    for digest in (made.digest, made.config_digest, made.layers[0]["digest"]):
        layout = made.write_layout(tmp_path / digest[7:20], "v1")
        blob = pathlib.Path(layout, "blobs", digest.replace(":", "/"))
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(bytes(data))
        with pytest.raises(Corrupt):
            pull(paths, f"oci:{layout}:v1", QUIET)
        assert list_images(paths) == ()


def test_a_file_that_is_no_archive_is_refused(paths, tmp_path):
    (tmp_path / "text").write_text("hello\n" * 1000)
    with pytest.raises(Corrupt, match="not a whole tar archive"):
        load(paths, str(tmp_path / "text"))


@pytest.fixture
def stored(paths, make_image, tmp_path):
    made = make_image()
    pull(paths, f"oci:{made.write_layout(tmp_path / 'stored', 'v1')}:v1", QUIET)
    from rootless_pod.image.remove import tag_image

    tag_image(paths, made.config_digest, ("example.org/team/app:1",))
    return made


def saved(paths, output_format, output, *words):
    images = gather(paths, words or ("example.org/team/app:1",), output_format=output_format, several=False)
    save(images, output_format=output_format, output=str(output))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("output_format", "transport", "ref"),
    [
        ("oci-archive", "oci-archive", ":example.org/team/app:1"),
        ("oci-dir", "oci", ":example.org/team/app:1"),
        ("docker-archive", "docker-archive", ":example.org/team/app:1"),
        ("docker-dir", "dir", ""),
    ],
)
def test_skopeo_reads_every_format_with_the_same_image_id(
    paths, stored, skopeo, tmp_path, output_format, transport, ref
):
    saved(paths, output_format, tmp_path / "out")
    place = f"{transport}:{tmp_path}/out{ref}"
    shown = json.loads(skopeo("inspect", place))
    if output_format.startswith("oci"):
        assert shown["Digest"] == stored.digest
    skopeo("copy", place, f"dir:{tmp_path}/copy")
    manifest = json.loads(pathlib.Path(tmp_path, "copy", "manifest.json").read_bytes())
    assert manifest["config"]["digest"] == stored.config_digest


@pytest.mark.parametrize("output_format", ["oci-archive", "oci-dir", "docker-archive", "docker-dir"])
def test_what_is_saved_is_loaded_with_the_same_image_id(paths, stored, tmp_path, output_format):
    saved(paths, output_format, tmp_path / "out")
    other = paths.replace(graphroot=str(tmp_path / "other"))
    other.prepare()
    (loaded,) = load(other, str(tmp_path / "out"))
    assert f"sha256:{loaded.image.id}" == stored.config_digest
    if output_format.startswith("oci"):
        assert loaded.image.manifest_digest == stored.digest
    if output_format != "docker-dir":
        assert loaded.names == ("example.org/team/app:1",)


@pytest.mark.peer
@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive", "oci", "dir"])
def test_what_skopeo_writes_is_read_with_the_same_image_id(paths, make_image, skopeo, tmp_path, transport):
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    ref = "" if transport == "dir" else ":example.org/x:1"
    skopeo("copy", f"oci:{layout}:v1", f"{transport}:{tmp_path}/out{ref}")
    (image,) = pull(paths, f"{transport}:{tmp_path}/out{ref}", QUIET)
    assert f"sha256:{image.id}" == made.config_digest
    if transport.startswith("oci"):
        assert image.manifest_digest == made.digest


@pytest.mark.peer
@pytest.mark.slow
def test_podman_loads_what_rpod_saves_and_the_other_way_round(paths, stored, tmp_path):
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    if os.getuid() != 0:
        pytest.skip("podman's vfs store in a temporary directory is tried as root only")
    # podman refuses a runroot of more than 50 characters.
    runroot = tempfile.mkdtemp(prefix="rpod-p-")
    podman = ["podman", "--root", f"{tmp_path}/p", "--runroot", runroot, "--storage-driver", "vfs"]

    def run(*words):
        done = subprocess.run([*podman, *words], capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    for output_format in ("docker-archive", "oci-archive"):
        saved(paths, output_format, tmp_path / f"{output_format}.tar")
        assert "Loaded image" in run("load", "-i", str(tmp_path / f"{output_format}.tar"))
        assert run("images", "-q", "--no-trunc").strip() == stored.config_digest
        run("save", "--format", output_format, "-o", f"{tmp_path}/back-{output_format}.tar", "example.org/team/app:1")
        other = paths.replace(graphroot=f"{tmp_path}/back-{output_format}")
        other.prepare()
        (loaded,) = load(other, f"{tmp_path}/back-{output_format}.tar")
        assert f"sha256:{loaded.image.id}" == stored.config_digest
        assert loaded.names == ("example.org/team/app:1",)
        run("rmi", "-a", "-f")
    shutil.rmtree(runroot)


def test_a_zstd_image_has_no_place_in_docker_dir(paths, make_image, tmp_path):
    made = make_image(compression="zstd")
    pull(paths, f"oci:{made.write_layout(tmp_path / 'l', 'v1')}:v1", QUIET)
    with pytest.raises(Refused, match="zstd"):
        saved(paths, "docker-dir", tmp_path / "out", made.config_digest)
    saved(paths, "docker-archive", tmp_path / "out.tar", made.config_digest)


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_compress_packs_every_layer_of_a_docker_dir_with_gzip(paths, make_image, tmp_path, compression):
    made = make_image(compression=compression)
    pull(paths, f"oci:{made.write_layout(tmp_path / 'l', 'v1')}:v1", QUIET)
    (image,) = gather(paths, (made.config_digest,), output_format="docker-dir", several=False, packed_anew=True)
    save_compressed(paths, image, str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["config"]["digest"] == made.config_digest
    for layer, diff_id, before in zip(manifest["layers"], made.diff_ids, made.layers, strict=True):
        data = (tmp_path / "out" / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert layer["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"
        assert f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}" == diff_id
        assert (layer["digest"] == before["digest"]) == (compression == "gzip")


def test_a_failed_save_leaves_the_old_file(paths, stored, tmp_path):
    (tmp_path / "out.tar").write_text("old")
    os.unlink(f"{paths.image}/blobs/{stored.layers[0]['digest'].replace(':', '/')}")
    with pytest.raises(Conflict, match="missing"):
        saved(paths, "docker-archive", tmp_path / "out.tar")
    images = gather_before_damage(paths, stored)
    assert images is None
    assert (tmp_path / "out.tar").read_text() == "old"
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith(".out")) == []


def gather_before_damage(paths, stored):
    with pytest.raises(Conflict):
        gather(paths, (stored.config_digest,), output_format="oci-archive", several=False)


def test_a_layer_that_rotted_in_the_store_is_not_saved(paths, stored, tmp_path):
    blob = pathlib.Path(paths.image, "blobs", stored.layers[1]["digest"].replace(":", "/"))
    blob.write_bytes(blob.read_bytes()[:-9] + b"\0" * 9)
    with pytest.raises(Corrupt):
        saved(paths, "docker-archive", tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_a_further_word_is_a_name_unless_it_is_an_image(paths, stored, tmp_path):
    saved(paths, "docker-archive", tmp_path / "n.tar", "example.org/team/app:1", "other/name:7")
    with tarfile.open(tmp_path / "n.tar") as archive:
        listing = json.load(archive.extractfile("manifest.json"))
    assert listing[0]["RepoTags"] == ["example.org/team/app:1", "docker.io/other/name:7"]


def test_a_directory_that_holds_something_is_not_written_into(paths, stored, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(Conflict, match="not empty"):
        saved(paths, "oci-dir", tmp_path / "full")


def test_the_host_image_can_not_be_saved(paths):
    with pytest.raises(Refused):
        saved(paths, "oci-dir", "/nonexistent/x", "host")
    with pytest.raises(Usage):
        gather(paths, ("host",), output_format="tar", several=False)

"""The same image in every format: read from what skopeo and podman write, written for skopeo, podman and umoci to read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import images
import pytest
import trees
from conftest import Rpod
from registries import require

pytestmark = pytest.mark.peer

NAME = "registry.example.org/team/app:1"


def done(*words: str, stdin: bytes | None = None) -> bytes:
    """Run a judge; what it says on stderr is shown when it fails."""
    require(words[0])
    ended = subprocess.run(words, check=False, input=stdin, capture_output=True, timeout=170)
    assert ended.returncode == 0, f"{' '.join(words)}\n{ended.stderr.decode()}"
    return ended.stdout


class Podman:
    """podman with a store of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.words = ["podman", "--root", f"{place}/root", "--runroot", f"{place}/run"]
        self.words += ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]

    def __call__(self, *words: str, stdin: bytes | None = None) -> str:
        return done(*self.words, *words, stdin=stdin).decode()

    def pull(self, layout: Path, room: Path, tag: str) -> str:
        """Bring an image of an OCI layout into the store and return its id."""
        (room / "source").symlink_to(layout)
        return self("pull", "-q", f"oci:{room}/source:{tag}").strip()

    def read_tree(self, image: str) -> dict[str, dict[str, object]]:
        """Return the files of an image as podman mounts it."""
        script = 'root=$("$@" image mount $IMAGE) && /usr/bin/python3 $TREES $root && "$@" image unmount $IMAGE >&2'
        words = ["env", f"IMAGE={image}", f"TREES={trees.__file__}", "sh", "-c", script, "sh", *self.words]
        found: dict[str, dict[str, object]] = json.loads(self("unshare", *words))
        return found

    def end(self) -> None:
        script = (
            f"umount -l {self.place}/root/overlay/*/merged {self.place}/root/overlay 2>/dev/null; rm -rf {self.place}/*"
        )
        subprocess.run([*self.words, "unshare", "sh", "-c", script], check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def podman(debian: bool) -> Iterator[Podman]:
    """A podman whose store is empty at first."""
    require("podman")
    if not debian:
        pytest.skip("podman needs subordinate ids")
    with tempfile.TemporaryDirectory(prefix="rpod-podman-", dir="/var/tmp", ignore_cleanup_errors=True) as place:
        made = Podman(Path(place))
        yield made
        made.end()


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory on disk for archives of some size; podman takes only paths that could be names of images."""
    place = Path(f"/var/tmp/rpod.formats.{os.getpid()}")
    place.mkdir()
    yield place
    shutil.rmtree(place)


def blob_of(layout: Path, digest: str) -> bytes:
    return (layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def config_digest(layout: Path, manifest_digest: str) -> str:
    return str(json.loads(blob_of(layout, manifest_digest))["config"]["digest"])


def diff_ids(layout: Path, manifest_digest: str) -> list[str]:
    return list(json.loads(blob_of(layout, config_digest(layout, manifest_digest)))["rootfs"]["diff_ids"])


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def ends_of(place: str) -> tuple[str, str]:
    """Return the digests of manifest and config that skopeo finds at ``place``."""
    return sha256(done("skopeo", "inspect", "--raw", place)), sha256(
        done("skopeo", "inspect", "--config", "--raw", place)
    )


def inspected(rpod: Rpod, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(rpod("image", "inspect", name))[0]
    return found


# Read what others write.


SKOPEO = {
    "oci-archive": "oci-archive:{}/file:" + NAME,
    "oci": "oci:{}/file:v1",
    "docker-archive": "docker-archive:{}/file:" + NAME,
    "dir": "dir:{}/file",
}


@pytest.mark.parametrize("transport", SKOPEO)
def test_what_skopeo_writes_is_pulled_and_loaded_as_the_same_image(
    rpod: Rpod, layout: Path, layout_digest: str, room: Path, transport: str
) -> None:
    place = SKOPEO[transport].format(room)
    done("skopeo", "copy", "-q", f"oci:{layout}:test", place)
    image = rpod("pull", "-q", place).strip()
    assert f"sha256:{image}" == config_digest(layout, layout_digest)
    found = inspected(rpod, image)
    assert found["RootFS"]["Layers"] == diff_ids(layout, layout_digest)
    if transport != "docker-archive":
        assert found["Digest"] == layout_digest
    if transport.endswith("-archive"):
        assert found["RepoTags"] == [NAME]
    assert rpod("run", "--rm", image, "sh", "-c", "id -un; cat /app/two; ls /app/dir").split() == [
        "app",
        "linked",
        "new",
    ]
    said = rpod("load", "-q", "-i", f"{room}/file")
    assert said.startswith("Loaded image: ")
    assert rpod("images", "-q", "--no-trunc").split() == [f"sha256:{image}"]


KINDS = {"docker-archive": "docker-archive", "oci-archive": "oci-archive", "oci-dir": "oci", "docker-dir": "dir"}
"""What skopeo calls the formats of ``save``."""


class Origin:
    """An image as it was made by hand: where, under which tag, and the digests it must keep."""

    def __init__(self, layout: Path, tag: str) -> None:
        self.layout, self.tag = layout, tag
        self.manifest = str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
        self.config = config_digest(layout, self.manifest)
        self.diff_ids = diff_ids(layout, self.manifest)


@pytest.fixture
def origin(form: str, layout: Path, tmp_path: Path) -> Origin:
    """The Debian image for archives, one of busybox for directories: less to wait for."""
    if form.endswith("-archive"):
        return Origin(layout, "test")
    base = images.busybox_base(images.cache_directory())
    layers = [base.read_bytes(), images.application_layer(b"", b""), images.whiteout_layer()]
    images.LayoutWriter(tmp_path / "small").image([(one, "gzip") for one in layers], {"Cmd": ["sh"]}, "small")
    return Origin(tmp_path / "small", "small")


@pytest.mark.parametrize("form", KINDS)
def test_what_podman_saves_is_loaded_as_the_same_image(
    rpod: Rpod, podman: Podman, origin: Origin, room: Path, form: str
) -> None:
    image = podman.pull(origin.layout, room, origin.tag)
    assert f"sha256:{image}" == origin.config
    podman("tag", image, NAME)
    podman("save", "-q", "--format", form, "-o", f"{room}/file", NAME)
    rpod("load", "-q", "-i", f"{room}/file")
    manifest, config = ends_of(f"{KINDS[form]}:{room}/file")
    (loaded,) = rpod("images", "-q", "--no-trunc").split()
    assert loaded == config
    found = inspected(rpod, loaded)
    assert found["RootFS"]["Layers"] == origin.diff_ids
    if form != "docker-archive":
        assert found["Digest"] == manifest
    if form.endswith("-archive"):
        assert found["RepoTags"] == [NAME]
    assert rpod("run", "--rm", loaded, "sh", "-c", "cat /app/two; ls /app/dir").split() == ["linked", "new"]


def test_an_archive_comes_through_a_pipe_and_through_gzip(rpod: Rpod, tmp_path: Path, room: Path) -> None:
    digest = images.zstd_layout(tmp_path / "layout")
    done(
        "skopeo", "copy", "-q", "--preserve-digests", f"oci:{tmp_path}/layout:mixed", f"oci-archive:{room}/file:{NAME}"
    )
    packed = images.gzip.compress((room / "file").read_bytes(), 1)
    assert rpod("load", "-q", stdin=packed) == f"Loaded image: {NAME}\n"
    assert inspected(rpod, NAME)["Digest"] == digest


def test_zstd_plain_and_gzip_layers_of_one_image_unpack(rpod: Rpod, tmp_path: Path) -> None:
    digest = images.zstd_layout(tmp_path / "layout")
    image = rpod("pull", "-q", f"oci:{tmp_path}/layout:mixed").strip()
    found = inspected(rpod, image)
    assert found["Digest"] == digest
    assert found["RootFS"]["Layers"] == diff_ids(tmp_path / "layout", digest)
    assert rpod("run", "--rm", image, "sh", "-c", "cat /app/two; ls /app/dir; ls /app/gone 2>&1 | wc -l").split() == [
        "linked", "new", "1",
    ]  # fmt: skip


# Written for others.


def test_login_an_oci_layout_of_ours_has_the_digests_it_came_with(
    img: Rpod, layout: Path, layout_digest: str, room: Path
) -> None:
    img("save", "--format", "oci-dir", "-o", f"{room}/out", "img")
    assert ends_of(f"oci:{room}/out") == (layout_digest, config_digest(layout, layout_digest))
    done("skopeo", "copy", "-q", f"oci:{room}/out", f"dir:{room}/copied")
    assert {path.name for path in (room / "out/blobs/sha256").iterdir()} == {
        path.name for path in (layout / "blobs/sha256").iterdir()
    }


def test_umoci_reads_and_unpacks_a_layout_of_ours(img: Rpod, layout: Path, layout_digest: str, room: Path) -> None:
    img("save", "--format", "oci-dir", "-o", f"{room}/out", "img")
    (tag,) = done("umoci", "list", "--layout", f"{room}/out").decode().split()
    said = json.loads(done("umoci", "stat", "--json", "--image", f"{room}/out:{tag}"))
    assert [one["created_by"] for one in said["history"]] == ["layer 0", "layer 1", "layer 2"]
    manifest = json.loads(blob_of(layout, layout_digest))
    assert [one["layer"]["digest"] for one in said["history"]] == [one["digest"] for one in manifest["layers"]]
    done("umoci", "unpack", "--rootless", "--image", f"{room}/out:{tag}", f"{room}/bundle")
    assert (room / "bundle/rootfs/app/two").read_text() == "linked\n"
    assert not (room / "bundle/rootfs/app/gone").exists()
    img("unshare", "rm", "-rf", f"{room}/bundle")


@pytest.mark.parametrize("form", KINDS)
def test_podman_loads_what_rpod_saves_as_the_same_image(
    rpod: Rpod, podman: Podman, origin: Origin, room: Path, form: str
) -> None:
    rpod("tag", rpod("pull", "-q", f"oci:{origin.layout}:{origin.tag}").strip(), NAME)
    rpod("save", "--format", form, "-o", f"{room}/file", NAME)
    manifest, config = ends_of(f"{KINDS[form]}:{room}/file")
    assert config == origin.config
    image = podman("pull", "-q", f"{KINDS[form]}:{room}/file").strip()
    assert f"sha256:{image}" == config
    if form.startswith("oci"):
        assert manifest == origin.manifest
        assert podman("image", "inspect", "--format", "{{.Digest}}", image).strip() == origin.manifest
    assert json.loads(podman("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)) == origin.diff_ids
    podman("rmi", "-fa")
    if form.endswith("-archive"):
        assert NAME in podman("load", "-q", "-i", f"{room}/file")
        (listed,) = podman("images", "-q", "--no-trunc").split()
        assert listed == config
        podman("rmi", "-fa")


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive", "oci-dir", "docker-dir"])
def test_login_what_rpod_saves_another_store_loads_with_the_same_id(
    img: Rpod, rpod: Rpod, layout: Path, layout_digest: str, room: Path, form: str
) -> None:
    if form.endswith("-archive"):
        img("save", "--format", form, "-o", f"{room}/file", "img", NAME)
        assert NAME in rpod("load", "-q", "-i", f"{room}/file")
    else:
        img("save", "--format", form, "-o", f"{room}/file", "img")
        rpod("load", "-q", "-i", f"{room}/file")
    (image,) = set(rpod("images", "-q", "--no-trunc").split())
    assert image == config_digest(layout, layout_digest)
    if form.startswith("oci"):
        assert inspected(rpod, image)["Digest"] == layout_digest
    assert rpod("run", "--rm", image, "cat", "/app/one") == "linked\n"


def test_two_images_in_one_archive_are_both_read_by_podman(
    img: Rpod, podman: Podman, tmp_path: Path, room: Path
) -> None:
    images.zstd_layout(tmp_path / "layout")
    other = img("pull", "-q", f"oci:{tmp_path}/layout:mixed").strip()
    img("tag", other, "localhost/other:1")
    try:
        img("save", "-m", "-o", f"{room}/both", "img", "localhost/other:1")
    finally:
        img("rmi", "-f", other)
    podman("rmi", "-fa")
    said = podman("load", "-q", "-i", f"{room}/both")
    assert "localhost/img:latest" in said
    assert "localhost/other:1" in said


# The same files.

CAPABILITY = bytes.fromhex(
    "0100000200200000000000000000000000000000"
)  # cap_net_raw=ep, struct vfs_cap_data, revision 2
ADDED = {
    ".", "dev", "dev/console", "dev/mqueue", "dev/pts", "dev/shm", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf",
    "proc", "run", "run/.containerenv", "sys",
}  # fmt: skip
"""What any container gets on top of its image: places to mount on, and the directories that hold these."""


def entry(tar: tarfile.TarFile, name: str, content: bytes = b"", **more: object) -> None:
    """Add an entry; ``pax`` are extended headers, ``mtime`` may be text with nanoseconds."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(content), 1_600_000_000, 0o644
    for key in ("mode", "type", "linkname", "uid", "gid"):
        if key in more:
            setattr(info, key, more[key])
    info.pax_headers = dict(more.get("pax", {}))  # type: ignore[call-overload]
    tar.addfile(info, io.BytesIO(content) if content else None)


def layer(fill: Callable[[tarfile.TarFile], None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        fill(tar)
    return out.getvalue()


def first(tar: tarfile.TarFile) -> None:
    entry(tar, "t", type=tarfile.DIRTYPE, mode=0o755)
    for mode in (0o000, 0o400, 0o755, 0o4755, 0o2755, 0o1644, 0o7777):
        entry(tar, f"t/mode-{mode:o}", b"#!/bin/sh\n", mode=mode, uid=7, gid=8)
    entry(tar, "t/sticky", type=tarfile.DIRTYPE, mode=0o1777, uid=1000, gid=1001)
    entry(tar, "t/setgid", type=tarfile.DIRTYPE, mode=0o2770, uid=0, gid=65000)
    entry(tar, "t/nobody", b"n", uid=65534, gid=65534)
    entry(tar, "t/nanoseconds", b"t", pax={"mtime": "1500000000.123456789"})
    entry(tar, "t/epoch", b"t", pax={"mtime": "0"})
    entry(tar, "t/grün-日本", "ü".encode())
    entry(tar, f"t/{'n' * 200}", b"long name")
    for depth in range(1, 7):
        entry(tar, f"t/{'/'.join(['d' * 60] * depth)}", type=tarfile.DIRTYPE, mode=0o755)
    entry(tar, f"t/{'/'.join(['d' * 60] * 6)}/deep", b"long path")
    entry(tar, "t/empty")
    entry(tar, "t/zeros", bytes(1 << 20))
    entry(tar, "t/absolute", type=tarfile.SYMTYPE, linkname="/etc/passwd", mode=0o777, uid=5, gid=6)
    entry(tar, "t/dangling", type=tarfile.SYMTYPE, linkname="../nowhere/at all", mode=0o777)
    entry(tar, "t/fifo", type=tarfile.FIFOTYPE, mode=0o622)
    entry(tar, "t/attributes", b"x", pax={"SCHILY.xattr.user.colour": "blue"})
    entry(tar, "t/attributed", type=tarfile.DIRTYPE, mode=0o700, pax={"SCHILY.xattr.user.on": "directory"})
    entry(tar, "t/ping", b"\x7fELF", mode=0o755, pax={"SCHILY.xattr.security.capability": CAPABILITY.decode()})
    entry(tar, "t/a", b"linked", uid=3, gid=4, mode=0o640)
    entry(tar, "t/b", type=tarfile.LNKTYPE, linkname="t/a")
    entry(tar, "t/sticky/c", type=tarfile.LNKTYPE, linkname="t/a")
    for name in ("file-then-directory", "file-then-link", "kept", "shadowed"):
        entry(tar, f"t/{name}", b"1")
    for name in ("directory-then-file", "emptied", "hidden", "touched"):
        entry(tar, f"t/{name}", type=tarfile.DIRTYPE, mode=0o755)
        entry(tar, f"t/{name}/old", b"old")


def second(tar: tarfile.TarFile) -> None:
    entry(tar, "t/file-then-directory", type=tarfile.DIRTYPE, mode=0o711)
    entry(tar, "t/file-then-directory/in", b"2")
    entry(tar, "t/file-then-link", type=tarfile.SYMTYPE, linkname="kept", mode=0o777)
    entry(tar, "t/directory-then-file", b"2", mode=0o600)
    entry(tar, "t/emptied", type=tarfile.DIRTYPE, mode=0o750, uid=9)
    entry(tar, "t/emptied/.wh..wh..opq")
    entry(tar, "t/.wh.hidden")
    entry(tar, "t/.wh.shadowed")
    entry(tar, "t/touched", type=tarfile.DIRTYPE, mode=0o700, uid=11, gid=12, pax={"mtime": "1400000000.5"})
    entry(tar, "t/touched/new", b"new")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of everything a tar can hold, as an OCI layout with the tag ``odd``."""
    path = tmp_path_factory.mktemp("odd") / "layout"
    base = images.busybox_base(images.cache_directory()).read_bytes()
    layers = [(base, "gzip"), (layer(first), "gzip"), (layer(second), "plain")]
    images.LayoutWriter(path).image(layers, {"Cmd": ["sleep", "1000"]}, "odd")
    return path


def differences(
    ours: dict[str, dict[str, object]], theirs: dict[str, dict[str, object]], but: set[str]
) -> dict[str, object]:
    """Return where two trees differ, field by field; ``but`` are fields and paths that may."""
    found: dict[str, object] = {}
    for name in sorted((set(ours) | set(theirs)) - but):
        here, there = ours.get(name), theirs.get(name)
        if here is None or there is None:
            found[name] = "only there" if here is None else "only here"
        else:
            fields = {
                key: (here.get(key), there.get(key)) for key in {*here, *there} - but if here.get(key) != there.get(key)
            }
            if fields:
                found[name] = fields
    return found


def our_tree(rpod: Rpod, image: str, *options: str) -> dict[str, dict[str, object]]:
    """Return the tree of the root file system of a running container, as its user namespace sees it."""
    container = rpod("run", "-d", "--network", "none", "--user", "0", *options, image, "sleep", "1000").strip()
    merged = rpod.root / "containers" / container / "merged"
    found: dict[str, dict[str, object]] = json.loads(rpod("unshare", "/usr/bin/python3", trees.__file__, str(merged)))
    rpod("rm", "-f", "-t", "0", container)
    return found


def devices(tree: dict[str, dict[str, object]]) -> set[str]:
    """Return the entries that need a real root to make: judges put an empty file there, or nothing."""
    return {
        name
        for name, one in tree.items()
        if one["kind"] == "device" or (name.startswith("dev/") and one.get("size") == 0)
    }


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "pyfuse3", "copy"])
def test_every_entry_of_an_odd_image_is_as_umoci_unpacks_it(
    rpod: Rpod, debian: bool, odd: Path, room: Path, driver: str
) -> None:
    if not debian:
        pytest.skip("owners need subordinate ids")
    image = rpod("pull", "-q", f"oci:{odd}:odd").strip()
    usable(rpod, driver, image)
    require("umoci")
    rpod("unshare", "umoci", "unpack", "--image", f"{odd}:odd", f"{room}/bundle")
    theirs = json.loads(rpod("unshare", "/usr/bin/python3", trees.__file__, f"{room}/bundle/rootfs"))
    rpod("unshare", "rm", "-rf", f"{room}/bundle")
    ours = our_tree(rpod.with_options("--storage-driver", driver), image)
    assert ours["t/b"]["same_as"] == ours["t/sticky/c"]["same_as"] == "t/a"
    assert ours["t/ping"]["xattrs"] == {"security.capability": CAPABILITY.hex()}
    assert ours["t/nanoseconds"]["mtime_ns"] == 1_500_000_000_123_456_789
    assert differences(ours, theirs, ADDED) == {}


def usable(rpod: Rpod, driver: str, image: str) -> None:
    """Skip a storage driver that this machine does not have; in CI all four must be there."""
    ended = rpod.with_options("--storage-driver", driver).run("run", "--rm", image, "true")
    if ended.returncode == 125 and driver.encode() in ended.stderr and not os.environ.get("CI"):
        pytest.skip(f"{driver} does not work here: {ended.stderr.decode()}")
    assert ended.returncode == 0, ended.stderr.decode()


def test_every_file_of_the_debian_image_is_as_umoci_and_podman_have_it(
    img: Rpod, podman: Podman, layout: Path, debian: bool, room: Path
) -> None:
    if not debian:
        pytest.skip("owners need subordinate ids")
    require("umoci")
    ours = our_tree(img, "img")
    assert len(ours) > 2000
    img("unshare", "umoci", "unpack", "--image", f"{layout}:test", f"{room}/bundle")
    umoci = json.loads(img("unshare", "/usr/bin/python3", trees.__file__, f"{room}/bundle/rootfs"))
    img("unshare", "rm", "-rf", f"{room}/bundle")
    but = ADDED | devices(umoci) | devices(ours)
    assert differences(ours, umoci, but) == {}
    image = podman.pull(layout, room, "test")
    assert differences(ours, podman.read_tree(image), but) == {}

"""Images pushed in a rarer form: Docker schema 1 for old registries, zstd:chunked for clients that fetch parts."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import Rpod
from registries import Registry
from test_formats import Podman, podman

__all__ = ["podman"]  # a fixture

pytestmark = [pytest.mark.registry, pytest.mark.peer]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Registry]:
    """A registry that still takes schema 1: it checks each signature."""
    (tmp_path / "old").mkdir()
    made = Registry(tmp_path / "old", more="compatibility:\n  schema1:\n    enabled: true\n")
    yield made
    made.stop()


@pytest.fixture
def image(rpod: Rpod, tmp_path: Path) -> str:
    """An image whose last step changed no file."""
    images.zstd_layout(tmp_path / "layout")
    source = rpod("pull", "-q", f"oci:{tmp_path}/layout:mixed").strip()
    name = rpod("create", source, "true").strip()
    made = rpod("commit", "-q", "--change", "ENV KEPT=yes", name, "localhost/made:1").strip()
    rpod("rm", name)
    return made


def skopeo(*words: str) -> bytes:
    return subprocess.run(["skopeo", *words], check=True, capture_output=True, timeout=120).stdout


@pytest.mark.covers("push --format")
def test_a_manifest_of_schema_1_is_taken_by_registry_skopeo_and_podman(
    rpod: Rpod, podman: Podman, old: Registry, image: str, tmp_path: Path
) -> None:
    target, digest = f"{old.address}/team/app:7", tmp_path / "digest"
    options = ["--tls-verify=false", "--format", "v2s1", "--digestfile", str(digest)]
    rpod("push", "-q", *options, image, target)
    raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{target}"))
    assert (raw["schemaVersion"], raw["name"], raw["tag"]) == (1, "team/app", "7")
    assert len(raw["fsLayers"]) == len(raw["history"])
    (signature,) = raw["signatures"]
    protected = json.loads(base64.urlsafe_b64decode(signature["protected"] + "=="))
    assert base64.urlsafe_b64decode(protected["formatTail"] + "==") == b"}"
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{target}"))
    ours = json.loads(rpod("image", "inspect", image))[0]
    assert seen["Digest"] == digest.read_text()
    assert seen["Env"] == ours["Config"]["Env"]
    assert "KEPT=yes" in seen["Env"]
    skopeo("copy", "-q", "--src-tls-verify=false", "--format", "oci", f"docker://{target}", f"oci:{tmp_path}/back:x")
    back = rpod("pull", "-q", f"oci:{tmp_path}/back:x").strip()
    config = json.loads(rpod("image", "inspect", back))[0]
    assert config["RootFS"] == ours["RootFS"]
    assert config["Config"]["Cmd"] == ours["Config"]["Cmd"]
    theirs = podman("pull", "-q", "--tls-verify=false", target).strip()
    rpod("push", "-q", "--tls-verify=false", "--format", "v2s2", image, f"{target}-new")
    new = podman("pull", "-q", "--tls-verify=false", f"{target}-new").strip()
    assert "/etc/passwd" in {f"/{name.lstrip('./')}" for name in podman.read_tree(new)}
    assert podman.read_tree(theirs) == podman.read_tree(new)
    assert "schema 1" in rpod.error("pull", "-q", "--tls-verify=false", target)


def test_schema_1_is_refused_where_it_has_no_place(rpod: Rpod, image: str, tmp_path: Path) -> None:
    tried = ("push", "-q", "--format", "v2s1")
    for kind in ("oci", "oci-archive", "docker-archive"):
        assert "schema 1" in rpod.error(*tried, image, f"{kind}:{tmp_path}/out-{kind}:x/y:1")
    assert not list(tmp_path.glob("out-*"))
    assert "zstd" in rpod.error(*tried, "--compression-format", "zstd", image, f"dir:{tmp_path}/dir")
    rpod(*tried, image, f"dir:{tmp_path}/dir")
    assert json.loads((tmp_path / "dir/manifest.json").read_text())["schemaVersion"] == 1


FILES = {
    "bin/program": os.urandom(2_500_000),
    "bin/zeros": bytes(700_000),
    "empty": b"",
    "n\u00e4 me": b"words\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A layer with big and small files, a hard link and a name that is not ASCII."""
    path = tmp_path / "tree.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in (".", "bin"):
            images.add(tar, name, mode=0o755, kind=tarfile.DIRTYPE)
        for name, content in FILES.items():
            images.add(tar, name, content, mode=0o755)
        images.add(tar, "bin/hard", kind=tarfile.LNKTYPE, link="bin/program")
        images.add(tar, "bin/sym", kind=tarfile.SYMTYPE, link="program")
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "registry").mkdir()
    made = Registry(tmp_path / "registry")
    yield made
    made.stop()


def chunked_layer(registry: Registry, name: str) -> dict[str, object]:
    words = ["inspect", "--raw", "--tls-verify=false", f"docker://{registry.address}/{name}"]
    (layer,) = json.loads(skopeo(*words))["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    found: dict[str, object] = layer
    return found


def timeless(files: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Leave out times, and the root directory: podman has a mode of its own for it."""
    kept = {name: dict(one) for name, one in files.items() if name != "."}
    for one in kept.values():
        del one["mtime_ns"]
    return kept


def contents(layout: Path) -> list[dict[str, object]]:
    """Return the files of the table of contents of an image's one layer, without where their bytes are."""
    from rootless_pod.storage.compress import zstd_module

    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    (layer,) = json.loads(blob(layout, manifest["digest"]))["layers"]
    (position,) = {value for key, value in layer["annotations"].items() if key.endswith("manifest-position")}
    start, size, _plain, _kind = map(int, position.split(":"))
    packed = blob(layout, layer["digest"])[start : start + size]
    places = ("accesstime", "changetime", "offset", "endOffset", "chunkSize", "chunkDigest")
    entries = json.loads(zstd_module().decompress(packed))["entries"]
    files = [one for one in entries if one["type"] != "chunk"]
    return [{key: value for key, value in one.items() if key not in places} for one in files]


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def test_the_table_of_contents_is_the_one_podman_writes(rpod: Rpod, podman: Podman, tree: Path, tmp_path: Path) -> None:
    ours, theirs = rpod("import", "-q", str(tree)).strip(), podman("import", "-q", str(tree)).strip()
    packed = ("push", "-q", "--compression-format", "zstd:chunked")
    rpod(*packed, ours, f"oci:{tmp_path}/ours:x")
    podman(*packed, theirs, f"oci:{tmp_path}/theirs:x")
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert len(contents(tmp_path / "ours")) == len(FILES) + 4


@pytest.mark.covers("push --compression-format")
def test_zstd_chunked_is_a_zstd_layer_to_all_and_in_parts_to_podman(
    rpod: Rpod, podman: Podman, registry: Registry, tree: Path, tmp_path: Path
) -> None:
    source = rpod("import", "-q", str(tree), "localhost/tree:1").strip().removeprefix("sha256:")
    target = f"{registry.address}/tree:1"
    options = ["--tls-verify=false", "--compression-format", "zstd:chunked"]
    rpod("push", "-q", *options, source, target)
    layer = chunked_layer(registry, "tree:1")
    assert "io.github.containers.zstd-chunked.manifest-position" in layer["annotations"]  # type: ignore[operator]
    rpod("push", "-q", *options, source, target)
    assert chunked_layer(registry, "tree:1") == layer, "the same layer gives the same bytes"
    rpod("rmi", source)
    assert rpod("pull", "-q", "--tls-verify=false", target).strip() == source
    skopeo("copy", "-q", "--src-tls-verify=false", "--dest-decompress", f"docker://{target}", f"dir:{tmp_path}/plain")
    plain = hashlib.sha256(tree.read_bytes()).hexdigest()
    assert (tmp_path / "plain" / plain).read_bytes() == tree.read_bytes()
    # podman asks for the table of contents, then for the files it does not have.
    (tmp_path / "storage.conf").write_text(
        '[storage]\ndriver = "overlay"\n[storage.options]\npull_options = {enable_partial_images = "true"}\n'
    )
    partial = Podman(podman.place / "partial")
    partial.words = ["env", f"CONTAINERS_STORAGE_CONF={tmp_path}/storage.conf", *partial.words]
    try:
        pulled = partial("pull", "-q", "--tls-verify=false", target).strip()
        assert pulled == source
        seen = partial.read_tree(pulled)
    finally:
        partial.end()
    # podman 4.3 sets no times in a partial pull, of its own layers neither.
    assert timeless(seen) == timeless(podman.read_tree(podman("pull", "-q", "--tls-verify=false", target).strip()))
    names = {name.lstrip("./") for name in seen}
    assert names >= {*FILES, "bin/hard", "bin/sym"}
    log = registry.log.read_text()
    assert f'/blobs/{layer["digest"]} HTTP/1.1" 206' in log, "podman fetched no part of it"


def test_a_layer_that_zstd_chunked_can_t_tell_of_is_plain_zstd(rpod: Rpod, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "twice.tar"
    with tarfile.open(path, "w") as tar:
        for content in (b"first", b"second"):
            entry = tarfile.TarInfo("file")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    source = rpod("import", "-q", str(path)).strip().removeprefix("sha256:")
    options = ["--tls-verify=false", "--compression-format", "zstd:chunked"]
    done = rpod.run("push", "-q", *options, source, f"{registry.address}/twice:1")
    assert done.returncode == 0
    assert b"plain zstd: file stands in it twice" in done.stderr
    assert "annotations" not in chunked_layer(registry, "twice:1")
    rpod("rmi", source)
    assert rpod("pull", "-q", "--tls-verify=false", f"{registry.address}/twice:1").strip() == source

"""Images pushed in a rarer form: Docker schema 1 for old registries, zstd:chunked for clients that fetch parts."""

from __future__ import annotations

import base64
import json
import subprocess
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


def test_a_manifest_of_schema_1_is_taken_by_registry_skopeo_and_podman(
    rpod: Rpod, podman: Podman, old: Registry, image: str, tmp_path: Path
) -> None:
    target, digest = f"{old.address}/team/app:7", tmp_path / "digest"
    options = ["--tls-verify=false", "--format", "v2s1", "--compression-format", "gzip", "--digestfile", str(digest)]
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
    rpod("push", "-q", "--tls-verify=false", "--format", "v2s2", "--compression-format", "gzip", image, f"{target}-new")
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
    rpod(*tried, "--compression-format", "gzip", image, f"dir:{tmp_path}/dir")
    assert json.loads((tmp_path / "dir/manifest.json").read_text())["schemaVersion"] == 1

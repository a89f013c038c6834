"""Images and archives made by hand to be broken, and how a good error looks."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import images
from conftest import Rpod


class Archive:
    """Images made by hand for a test, as OCI layouts and docker archives."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def layout(self, name: str, *layers: bytes, command: str = "true") -> Path:
        """Write a layout of busybox and ``layers`` on top; return its path."""
        path = self.place / name
        path.mkdir()
        base = images.busybox_base(images.cache_directory()).read_bytes()
        stack = [(tar, "gzip") for tar in (base, *layers)]
        images.LayoutWriter(path).image(stack, {"Cmd": [command], "Env": ["PATH=/bin:/usr/bin"]}, "bad")
        return path

    def docker(self, layout: Path) -> Path:
        """Write what ``docker save`` makes of a layout of ours, uncompressed layers."""
        blobs = layout / "blobs/sha256"
        index = json.loads((layout / "index.json").read_text())
        manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
        config = manifest["config"]["digest"][7:]
        path = self.place / f"{layout.name}.tar"
        with tarfile.open(path, "w") as tar:
            images.add(tar, f"{config}.json", (blobs / config).read_bytes())
            names = []
            for number, layer in enumerate(manifest["layers"]):
                names.append(f"{number}/layer.tar")
                images.add(tar, names[-1], gzip.decompress((blobs / layer["digest"][7:]).read_bytes()))
            images.add(
                tar,
                "manifest.json",
                json.dumps([{"Config": f"{config}.json", "RepoTags": ["localhost/bad:1"], "Layers": names}]).encode(),
            )
        return path


def one_layer(*entries: tuple[str, dict[str, object]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, how in entries:
            images.add(tar, name, **how)  # type: ignore[arg-type]
    return out.getvalue()


def is_clear(said: str, *words: str) -> None:
    """One sentence that names the thing, then a remedy on a line of its own, and no bug."""
    lines = [line for line in said.splitlines() if line and not line.startswith(("Trying to pull", "rpod: "))]
    assert "Traceback" not in said, said
    assert lines[0].startswith("Error: "), said
    assert len(lines) >= 2, f"no remedy: {said}"
    assert lines[1].startswith("  "), said
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"


def nothing_of_it(rpod: Rpod) -> None:
    """No container, staging directory, partial blob, mount or process is left."""
    assert rpod("ps", "-aq") == ""
    assert list(rpod.root.glob("layers/.*")) == []
    assert list(rpod.root.glob("image/blobs/**/*.part*")) == []
    assert list(rpod.root.glob("names/containers/*")) == []
    assert list(rpod.runroot.glob("*/containers/*")) + list(rpod.runroot.glob("*/netns/*")) == []
    assert rpod.mounts() == []

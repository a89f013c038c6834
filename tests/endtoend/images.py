"""An image made of real Debian packages: three layers with whiteouts, hard links, setuid files and a user of its own.

Made without root by mmdebstrap in a user namespace (about 20 s), kept in the cache directory between runs. Where that
is not possible (no subordinate ids), a small image of busybox alone is made instead, with the same shape.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from pathlib import Path

FORM = 5
USER_ID = 1000
APP = b"import os, sys\nprint('python', sys.version_info[0], os.getuid(), os.getcwd())\n"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def cache_directory() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "rootless-pod-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return "stable"


def debian_base(cache: Path) -> Path:
    """Return a tar of a minimal Debian with apt and python3, made of this machine's own package sources."""
    path = cache / f"base-{codename()}-{FORM}.tar"
    if not path.exists():
        made = path.with_suffix(".part")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--format=tar", "--mode=unshare", "--variant=apt", "--include=python3-minimal,passwd",
             codename(), str(made)],
            check=True, capture_output=True, timeout=600,
        )  # fmt: skip
        made.rename(path)
    return path


def busybox_base(cache: Path) -> Path:
    """Return a tar of busybox with its links, for machines where mmdebstrap can't run."""
    path = cache / f"busybox-{FORM}.tar"
    if not path.exists():
        made = path.with_suffix(".part")
        applets = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
        with tarfile.open(made, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in ("bin", "etc", "tmp", "usr", "usr/bin", "var", "root"):
                add(tar, name, mode=0o1777 if name == "tmp" else 0o755, kind=tarfile.DIRTYPE)
            add(tar, "bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
            for applet in applets:
                if applet != "busybox":
                    add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
            add(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
            add(tar, "etc/group", b"root:x:0:\n")
        made.rename(path)
    return path


def add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    uid: int = 0,
    gid: int = 0,
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(content), mode, kind, link
    info.uid, info.gid, info.mtime = uid, gid, 1_700_000_000.25
    tar.addfile(info, io.BytesIO(content) if content else None)


def application_layer(passwd: bytes, group: bytes) -> bytes:
    """The second layer: a user, a program, hard links, a setuid file, a sparse hole's worth of zeros."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "etc/passwd", passwd + f"app:x:{USER_ID}:{USER_ID}:App:/app:/bin/sh\n".encode())
        add(tar, "etc/group", group + f"app:x:{USER_ID}:\n".encode())
        add(tar, "app", mode=0o755, kind=tarfile.DIRTYPE, uid=USER_ID, gid=USER_ID)
        add(tar, "app/hello.py", APP, uid=USER_ID, gid=USER_ID)
        add(tar, "app/one", b"linked\n", uid=USER_ID, gid=USER_ID)
        add(tar, "app/two", kind=tarfile.LNKTYPE, link="app/one", uid=USER_ID, gid=USER_ID)
        add(tar, "app/setuid", b"#!/bin/sh\nid\n", mode=0o4755)
        add(tar, "app/gone", b"gone\n")
        add(tar, "app/dir", mode=0o755, kind=tarfile.DIRTYPE)
        add(tar, "app/dir/old", b"old\n")
        add(tar, "app/latest", kind=tarfile.SYMTYPE, link="one")
    return out.getvalue()


def whiteout_layer() -> bytes:
    """The third layer: one file taken away, one directory emptied and filled anew."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "app", mode=0o755, kind=tarfile.DIRTYPE, uid=USER_ID, gid=USER_ID)
        add(tar, "app/.wh.gone")
        add(tar, "app/dir", mode=0o755, kind=tarfile.DIRTYPE)
        add(tar, "app/dir/.wh..wh..opq")
        add(tar, "app/dir/new", b"new\n")
    return out.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class LayoutWriter:
    """Writes an OCI image layout by hand: the expected values of the tests come from here, not from rpod."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes) -> tuple[str, int]:
        name = digest(data)
        (self.path / "blobs/sha256" / name.removeprefix("sha256:")).write_bytes(data)
        return name, len(data)

    def image(self, layers: list[tuple[bytes, str]], config: dict[str, object], tag: str) -> str:
        """Write one image; ``layers`` are (plain tar, ``gzip`` | ``zstd`` | ``plain``). Return the manifest's digest."""
        descriptors, diff_ids = [], []
        for tar, form in layers:
            data, suffix = compressed(tar, form)
            name, size = self.blob(data)
            diff_ids.append(digest(tar))
            media = f"application/vnd.oci.image.layer.v1.tar{suffix}"
            descriptors.append({"mediaType": media, "digest": name, "size": size})
        document = {
            "architecture": MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(layers))],
        }
        config_name, config_size = self.blob(json.dumps(document).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_name,
                "size": config_size,
            },
            "layers": descriptors,
        }
        manifest_name, manifest_size = self.blob(json.dumps(manifest).encode())
        index = {
            "schemaVersion": 2,
            "manifests": [
                {
                    "mediaType": manifest["mediaType"],
                    "digest": manifest_name,
                    "size": manifest_size,
                    "annotations": {"org.opencontainers.image.ref.name": tag},
                }
            ],
        }
        (self.path / "index.json").write_text(json.dumps(index))
        return manifest_name


def compressed(tar: bytes, form: str) -> tuple[bytes, str]:
    if form == "gzip":
        return gzip.compress(tar, 1, mtime=0), "+gzip"
    if form == "zstd":
        done = subprocess.run(["zstd", "-q", "-3", "-c"], input=tar, capture_output=True, check=True)
        return done.stdout, "+zstd"
    return tar, ""


def member(base: Path, name: str) -> bytes:
    with tarfile.open(base) as tar:
        for candidate in (name, f"./{name}"):
            try:
                found = tar.extractfile(candidate)
            except KeyError:
                continue
            if found is not None:
                return found.read()
    return b""


def image_layout(*, debian: bool) -> tuple[Path, str]:
    """Return (layout directory, manifest digest) of the test image, tag ``test``; made once and kept."""
    cache = cache_directory()
    kind = "debian" if debian else "busybox"
    path = cache / f"layout-{kind}-{FORM}"
    if not path.exists():
        base = debian_base(cache) if debian else busybox_base(cache)
        made = cache / f"layout-{kind}-{FORM}.{os.getpid()}"
        writer = LayoutWriter(made)
        config = {
            "User": "app",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FROM_IMAGE=yes"],
            "Cmd": ["sh", "-c", "echo default command"],
            "WorkingDir": "/app",
            "Labels": {"maker": "rpod tests"},
            "ExposedPorts": {"8080/tcp": {}},
            "StopSignal": "SIGTERM",
        }
        layers = [
            (base.read_bytes(), "gzip"),
            (application_layer(member(base, "etc/passwd"), member(base, "etc/group")), "gzip"),
            (whiteout_layer(), "gzip"),
        ]
        writer.image(layers, config, "test")
        made.rename(path)
    index = json.loads((path / "index.json").read_text())
    return path, index["manifests"][0]["digest"]


def zstd_layout(target: Path) -> str:
    """Write a small busybox image with a zstd, a gzip and a plain layer; return the manifest's digest."""
    base = busybox_base(cache_directory())
    writer = LayoutWriter(target)
    layers = [
        (base.read_bytes(), "zstd"),
        (application_layer(member(base, "etc/passwd"), member(base, "etc/group")), "plain"),
        (whiteout_layer(), "gzip"),
    ]
    return writer.image(layers, {"Cmd": ["sh"]}, "mixed")

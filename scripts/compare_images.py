"""The two images of scripts/compare-podman, in one docker archive, made by hand of busybox."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

import images

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREATED = "2024-01-02T03:04:05Z"


def layer(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            if name.endswith("/"):
                images.add(tar, name.rstrip("/"), mode=0o755, kind=tarfile.DIRTYPE)
            else:
                images.add(tar, name, content)
    return out.getvalue()


def config(inner: dict[str, object], layers: list[bytes], commands: list[str]) -> bytes:
    document = {
        "architecture": images.MACHINES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "author": "somebody",
        "created": CREATED,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [images.digest(one) for one in layers]},
        "history": [{"created": CREATED, "created_by": command} for command in commands],
    }
    return json.dumps(document).encode()


def write_archive(path: Path) -> None:
    """Write ``localhost/img:latest`` (a shell) and ``localhost/app:1`` (an entry point, a user, a volume, a port)."""
    base = images.busybox_base(images.cache_directory()).read_bytes()
    files = layer(("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/app:/bin/sh\n"),
                  ("etc/group", b"root:x:0:\napp:x:1000:\nextra:x:2000:app\n"), ("app/", b""), ("app/hello", b"hello\n"),
                  ("data/", b""), ("data/seed", b"seed\n"), ("etc/motd", b"one\ntwo\n"))  # fmt: skip
    more = layer(("app/", b""), ("app/second", b"second\n"))
    plain = {"Env": [PATH], "Cmd": ["sh"], "Labels": {"maker": "compare"}}
    app = {
        "User": "app", "Env": [PATH, "FROM_IMAGE=yes"], "Entrypoint": ["/bin/echo", "entry"], "Cmd": ["default", "words"],
        "WorkingDir": "/app", "Labels": {"maker": "compare", "version": "1"}, "ExposedPorts": {"8080/tcp": {}},
        "Volumes": {"/data": {}}, "StopSignal": "SIGINT",
    }  # fmt: skip
    shell = ["ADD busybox /", 'CMD ["sh"]']
    kinds = [
        ("localhost/img:latest", config(plain, [base, files], shell), [base, files]),
        ("localhost/app:1", config(app, [base, files, more], [*shell, "COPY second /app"]), [base, files, more]),
    ]
    rows = []
    with tarfile.open(path, "w") as tar:
        written = set()
        for name, document, layers in kinds:
            image = hashlib.sha256(document).hexdigest()
            members = [(f"{image}.json", document)]
            members += [(f"{hashlib.sha256(one).hexdigest()}.tar", one) for one in layers]
            for member, content in members:
                if member not in written:
                    written.add(member)
                    images.add(tar, member, content)
            rows.append({"Config": members[0][0], "RepoTags": [name], "Layers": [member for member, _ in members[1:]]})
        images.add(tar, "manifest.json", json.dumps(rows).encode())

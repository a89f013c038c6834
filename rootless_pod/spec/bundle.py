"""The bundle: config.json and the files the container's mounts show. HOT."""

from __future__ import annotations

import os

from rootless_pod import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.spec.generate import Spec


def config_text(spec: Spec) -> str:
    """Return the whole config.json; the seccomp text ends ``linux``, the last key, and is never parsed."""
    text = jsontext.dumps(spec.config)
    return f'{text[:-2]},"seccomp":{spec.seccomp}}}}}' if spec.seccomp else text


def write_bundle(run_dir: str, spec: Spec) -> str:
    """Write the files of ``spec`` into ``run_dir``, which is ours alone; return the path of config.json.

    Raises:
        OSError: a file can't be written; the caller removes the directory.
    """
    for name, text in spec.files:
        # In the container these are bind mounts that every user there may read.
        _write(f"{run_dir}/{name}", text, 0o644)
    path = f"{run_dir}/config.json"
    _write(path, config_text(spec), 0o600)
    return path


def _write(path: str, text: str, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        if mode != 0o600:
            os.fchmod(fd, mode)
        view = memoryview(text.encode(errors="surrogateescape"))
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)

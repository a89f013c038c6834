"""The embedded image ``host``: the machine's own root file system, no download."""

from __future__ import annotations

import os

from rootless_pod.oci.image import Image, ImageConfig
from rootless_pod.oci.platform import host_platform

HOST_NAME = "host"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


def host_image() -> Image:
    """Return the image ``host``: no layers, the machine's PATH, the user's shell, working directory ``/``."""
    environment = os.environ
    env = [f"PATH={_PATH}"]
    env += [f"{name}={environment[name]}" for name in _KEPT if environment.get(name)]
    config = ImageConfig(
        env=tuple(env),
        cmd=(_shell(environment.get("SHELL", "")),),
        working_dir="/",
        architecture=host_platform().architecture,
        os="linux",
    )
    return Image(
        id=HOST_NAME,
        manifest_digest="",
        manifest_media_type="",
        names=(HOST_NAME,),
        config=config,
        layers=(),
        is_host=True,
    )


def _shell(wanted: str) -> str:
    """Return the user's shell if it will be there inside (below /bin or /usr), else ``/bin/sh``."""
    if wanted.startswith(("/bin/", "/usr/bin/", "/usr/local/bin/")) and os.access(wanted, os.X_OK):
        return wanted
    return "/bin/sh"

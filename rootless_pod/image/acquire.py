"""From a name to an image whose layers are all unpacked. No network module is imported unless it pulls."""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound, RpodError, Usage
from rootless_pod.image.lookup import lookup
from rootless_pod.oci.reference import parse_source
from rootless_pod.storage.lowers import has_layer, is_single_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machines whose images need no closer look."""
PULL_POLICIES = ("always", "missing", "never", "newer")


def acquire(
    paths: Paths,
    name: str,
    *,
    pull_policy: str = "missing",
    platform: str | None = None,
    quiet: bool = False,
    tls_verify: bool | None = None,
    authfile: str | None = None,
    creds: str | None = None,
    single_id: bool,
) -> Image:
    """Return the image ``name`` with every layer unpacked, pulled first if ``pull_policy`` says so.

    ``tls_verify=None`` leaves it to registries.conf. A layer that is missing from the layer store while its blob is
    here is unpacked again. After a failure the store is as it was.

    Raises:
        NotFound: neither here nor in a registry.
        Usage: a bad name or policy.
        Refused, TimedOut, HostUnready, Corrupt: the pull failed.
    """
    if pull_policy not in PULL_POLICIES:
        raise Usage(f"unknown pull policy {pull_policy!r}", remedy=f"use one of: {', '.join(PULL_POLICIES)}")
    local = _local(paths, name, platform, quiet=quiet)
    if local is not None and (local.is_host or pull_policy in ("missing", "never") or _is_local_only(name)):
        return _ready(paths, local, single_id=single_id)
    if pull_policy == "never":
        raise NotFound(f"no image {name!r} here, and --pull=never", remedy=f"run: rpod pull {name}", exit_code=125)
    from rootless_pod.image.pull import PullOptions, pull

    options = PullOptions(
        platform=platform,
        quiet=quiet,
        tls_verify=tls_verify,
        authfile=authfile,
        creds=creds,
        newer=pull_policy == "newer",
        single_id=single_id,
    )
    try:
        return pull(paths, name, options)[0]
    except RpodError:
        if local is None or pull_policy != "newer":
            raise
        return _ready(paths, local, single_id=single_id)


def _is_local_only(name: str) -> bool:
    return parse_source(name).transport == "containers-storage"


def _local(paths: Paths, name: str, platform: str | None, *, quiet: bool) -> Image | None:
    """Return the image if it is here and fits the platform."""
    if parse_source(name).transport not in ("", "docker", "containers-storage"):
        return None
    try:
        image = lookup(paths, name)
    except NotFound:
        return None
    if image.is_host:
        return image
    if platform is None and _ARCHITECTURES.get(os.uname().machine) == image.config.architecture:
        return image
    from rootless_pod.oci.platform import Platform, host_platform, parse_platform, rank

    has = Platform(os=image.config.os, architecture=image.config.architecture, variant=image.config.variant)
    if platform is not None:
        return image if rank(parse_platform(platform), has) is not None else None
    if has.architecture and rank(host_platform(), has) is None and not quiet:
        from rootless_pod import log

        log.warn(f"image {name} is for {has}, this machine is {host_platform()}")
    return image


def _ready(paths: Paths, image: Image, *, single_id: bool) -> Image:
    """Unpack what is missing of a local image; one found through a list gets an entry of its own, so that it stays."""
    if not image.names and not image.is_host and not image.store:
        from rootless_pod.image.install import list_bare

        list_bare(paths, image)
    if all(has_layer(paths.layer_roots, chain) for chain in image.layers) and (
        single_id or not any(is_single_id(paths.layers, chain) for chain in image.layers)
    ):
        return image
    from rootless_pod.image.install import unpack_missing

    unpack_missing(paths, image, single_id=single_id)
    return image

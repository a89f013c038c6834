"""``image sign``: a simple signature of an image that is in a registry already; nothing of the image is fetched."""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.ends import open_source, split_end
from rootless_pod.image.sign import Signing, open_signers
from rootless_pod.image.trust.deposit import LookasideDeposit, store_directory
from rootless_pod.image.trust.payload import Claim
from rootless_pod.image.trust.registriesd import read_registries_d
from rootless_pod.image.trust.scope import registry_scopes
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import detect_media_type, parse_index
from rootless_pod.oci.mediatype import is_index
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.trust.signer import Signer
    from rootless_pod.paths import Paths


class SignOptions(Frozen):
    """How to sign: whose key, where the signatures go ("": as registries.d says), and all images of a list too."""

    signing: Signing
    directory: str = ""
    every: bool = False
    access: Access


def sign_images(paths: Paths, images: tuple[str, ...], options: SignOptions) -> None:
    """Sign images of registries (``docker://NAME``), each under the name it is given by.

    Raises:
        Usage: a name is none of a registry's.
        NotFound: there is no such image, key or directory.
        Refused, ProgramFailed, HostUnready: it can't be signed, or the signature can't be kept.
    """
    if options.directory and not os.path.isdir(options.directory):
        raise NotFound(f"there is no directory {options.directory}", remedy=f"mkdir {options.directory}", exit_code=125)
    (signer,) = open_signers(options.signing)
    for image in images:
        _sign(paths, image, signer, options)


def _sign(paths: Paths, image: str, signer: Signer, options: SignOptions) -> None:
    end = split_end(image)
    if end.transport != "docker":
        raise Usage(
            f"cannot determine canonical Docker reference for destination {image}",
            remedy="name an image of a registry: docker://REGISTRY/NAME:TAG",
        )
    reference = parse_reference(end.rest)
    opened = open_source(paths, end, options.access)
    try:
        data, claimed = opened.source.manifest()
    finally:
        opened.close()
    media_type = detect_media_type(data, claimed or None)
    if options.every and not is_index(media_type):
        raise Refused(
            f"{image} is not a multi-architecture image (manifest type {media_type})", remedy="leave out --all"
        )
    store = options.directory or store_directory(read_registries_d().staging(registry_scopes(reference)))
    deposit = LookasideDeposit(os.path.abspath(store), reference.repository)
    digests = [of_bytes(data)]
    if options.every:
        digests += [entry.digest for entry in parse_index(data, media_type).manifests]
    for digest in digests:
        deposit.put(signer, Claim(digest=digest, reference=str(reference)), top=True)

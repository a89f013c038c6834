"""Where new signatures are put: the places that ``check`` looks in.

A signature by the same key for the same name and manifest is replaced; all others stay.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
from abc import ABC, abstractmethod
from functools import partial
from urllib.parse import unquote, urlsplit

from rootless_pod import jsontext
from rootless_pod.errors import NotFound, Refused, RpodError
from rootless_pod.image.layout import disk_error
from rootless_pod.image.registry.source import RegistrySource
from rootless_pod.image.source import read_small
from rootless_pod.image.trust.attachments import signature_tag
from rootless_pod.image.trust.lookaside import read_files
from rootless_pod.image.trust.signature import (
    MAX_SIGNATURE_BYTES,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    Signature,
    format_stored,
)
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import Manifest, format_manifest, parse_manifest
from rootless_pod.oci.mediatype import OCI_CONFIG, OCI_MANIFEST, is_index
from rootless_pod.state.record import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.formats.writers import DirectoryDestination
    from rootless_pod.image.registry.upload import Uploader
    from rootless_pod.image.trust.payload import Claim
    from rootless_pod.image.trust.signer import Signer


def store_directory(url: str) -> str:
    """Return the directory that the URL of a lookaside store means.

    Raises:
        Refused: it is not a directory's.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "file":
        raise Refused(
            f"writing directly to a {parts.scheme or url} lookaside is not supported",
            remedy="name a directory as lookaside-staging (file:///…) in registries.d, and publish that",
        )
    return unquote(parts.path).rstrip("/")


class Deposit(ABC):
    """One place for the signatures of one image (or of a list and its images)."""

    @abstractmethod
    def put(self, signer: Signer, claim: Claim, *, top: bool) -> None:
        """Sign ``claim`` and keep the signature; ``top``: it is about the manifest that gets the name.

        Raises:
            Refused, HostUnready, ProgramFailed: it could not be made or kept.
        """


class LookasideDeposit(Deposit):
    """The lookaside store of a repository, a directory of this machine."""

    def __init__(self, store: str, repository: str) -> None:
        """Write below the directory ``store``."""
        self._base = store
        self._repository = repository

    def put(self, signer: Signer, claim: Claim, *, top: bool) -> None:  # noqa: ARG002 - each digest has its directory
        """Write it as a numbered file."""
        directory = f"{self._base}/{self._repository}@{claim.digest.replace(':', '=')}"
        try:
            os.makedirs(directory, exist_ok=True)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as cause:
            raise self._fault(cause, directory) from cause
        try:
            # Two pushes of one image must not take the same number.
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = f"{directory}/signature-{_number(read_files(directory), signer, claim, directory)}"
            write_bytes(path, format_stored(signer.sign(claim)), mode=0o644)
        except OSError as cause:
            raise self._fault(cause, directory) from cause
        finally:
            os.close(lock)

    def _fault(self, cause: OSError, directory: str) -> RpodError:
        fault = disk_error(cause, f"cannot write a signature into {directory}", self._base)
        if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            fault.remedy = f"make {self._base} writable, or name another lookaside-staging in registries.d"
        return fault


def _number(found: tuple[Signature, ...], signer: Signer, claim: Claim, shown: str) -> int:
    """Return the number of a new signature: that of the one it replaces, else the first free one."""
    for number, signature in enumerate(found, 1):
        if signer.claim_of(signature) == claim:
            return number
    _check_room(len(found), shown)
    return len(found) + 1


def _check_room(there: int, shown: str) -> None:
    if there >= MAX_SIGNATURES:
        raise Refused(f"{shown} has {there} signatures already, the most there may be", remedy="remove old ones there")


class DirectoryDeposit(Deposit):
    """A ``dir:`` image, which holds one signature of each manifest after the push: ours."""

    def __init__(self, directory: DirectoryDestination) -> None:
        """Write into ``directory`` when it is committed."""
        self._directory = directory

    def put(self, signer: Signer, claim: Claim, *, top: bool) -> None:
        """Have it written with the image."""
        prefix = "" if top else f"{claim.digest.partition(':')[2]}-"
        self._directory.keep(f"{prefix}signature-1", format_stored(signer.sign(claim)))


class AttachedDeposit(Deposit):
    """Beside the image in its registry, under cosign's tag. Source: sigstore/cosign, specs/SIGNATURE_SPEC.md."""

    def __init__(self, uploader: Uploader, shown: str) -> None:
        """Write through ``uploader``; ``shown`` is ``registry/repository``."""
        self._uploader = uploader
        self._client = uploader.reader()
        self._shown = shown

    def put(self, signer: Signer, claim: Claim, *, top: bool) -> None:  # noqa: ARG002 - each digest has its tag
        """Add it to those under the tag."""
        tag = signature_tag(claim.digest)
        before = self._read(tag)
        kept = [one for one in before.layers if signer.claim_of(self._signature(one)) != claim]
        _check_room(len(kept), f"{self._shown}:{tag}")
        signature = signer.sign(claim)
        self._upload(signature.data)
        made = _descriptor(signature.data, PAYLOAD_TYPE).replace(annotations=dict(signature.annotations))
        layers = (*kept, made)
        config = _config(layers)
        self._upload(config)
        manifest = before.replace(config=_descriptor(config, OCI_CONFIG), layers=layers)
        self._uploader.put_manifest(tag, format_manifest(manifest), manifest.media_type)

    def _read(self, tag: str) -> Manifest:
        """Return the signatures there as a manifest, an empty one where there are none."""
        try:
            data, claimed = self._client.manifest(tag)
        except NotFound:
            return Manifest(config=_descriptor(b"{}", OCI_CONFIG), layers=(), media_type=OCI_MANIFEST)
        if is_index(claimed):
            raise Refused(f"{self._shown}:{tag} is a list of images, where signatures belong", remedy="remove that tag")
        return parse_manifest(data, claimed or None)

    def _signature(self, layer: Descriptor) -> Signature:
        if layer.media_type != PAYLOAD_TYPE:
            return Signature(place="", data=b"", simple=False)
        source = RegistrySource(self._client, self._shown, self._shown)
        payload = read_small(source, layer, limit=MAX_SIGNATURE_BYTES)
        return Signature(
            place="", data=payload, simple=False, media_type=layer.media_type, annotations=layer.annotations
        )

    def _upload(self, data: bytes) -> None:
        descriptor = _descriptor(data, "")
        if not self._uploader.has_blob(descriptor.digest):
            self._uploader.upload(descriptor, partial(io.BytesIO, data))


def _descriptor(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=of_bytes(data), size=len(data))


def _config(layers: tuple[Descriptor, ...]) -> bytes:
    """Return a config that makes an image of signatures, for registries that take nothing else."""
    rootfs = {"type": "layers", "diff_ids": [one.digest for one in layers]}
    return jsontext.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}).encode()

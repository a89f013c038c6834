"""``import``: one layer from a root file system, given as a tar (file, stream, URL) or as a directory."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, HostUnready, NotFound, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.compose import Composition, compose
from rootless_pod.image.instructions import apply_instructions
from rootless_pod.oci.platform import normalise, parse_platform
from rootless_pod.oci.reference import parse_reference
from rootless_pod.state.events import emit
from rootless_pod.storage.compress import open_compressed
from rootless_pod.storage.diff import write_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths
    from rootless_pod.storage.compress import Readable

_PIECE = 1 << 20
_MOST_REDIRECTS = 10
_FOREIGN = (b"\xfd7zXZ\0", b"BZh")


class ImportRequest(Frozen):
    """Where the tree comes from (a path, an URL, "-" for standard input) and what the image is told of it."""

    source: str
    name: str = ""
    changes: tuple[str, ...] = ()
    message: str = ""
    platform: str = ""


def import_image(paths: Paths, request: ImportRequest, *, single_id: bool) -> Image:
    """Make an image of one layer. After a failure no name has changed.

    Raises:
        NotFound: no such file, or the server does not have it.
        Corrupt: it is no tar, or damaged.
        Usage: a bad name, instruction or platform.
    """
    names = (str(parse_reference(request.name, default_registry="localhost")),) if request.name else ()
    inner: dict[str, Any] = {}
    apply_instructions(inner, request.changes)
    platform = normalise(parse_platform(request.platform)) if request.platform else None
    composition = Composition(
        base=None,
        inner=inner,
        comment=request.message or "imported from tarball",
        created_by=f"/bin/sh -c #(nop) ADD file:{request.source} in /",
        names=names,
        architecture=platform.architecture if platform else "",
        system=platform.os if platform else "",
        variant=platform.variant if platform else "",
    )
    image = compose(paths, composition, lambda sink: _write(request.source, sink), single_id=single_id)
    emit(paths, "image", "import", id=image.id, name=request.source)
    if request.name:
        emit(paths, "image", "tag", id=image.id, name=request.name)
    return image


def _write(source: str, sink: Callable[[bytes], object]) -> None:
    if os.path.isdir(source):
        write_layer(sink, source, is_upper=False)
        return
    if "://" in source:
        _write_url(source, sink)
        return
    if source in ("-", "/dev/stdin"):
        _copy(os.fdopen(os.dup(0), "rb"), "standard input", sink)
        return
    try:
        file = open(source, "rb")
    except OSError as cause:
        raise NotFound(f"cannot read {source}: {cause.strerror}", remedy="check the path", exit_code=125) from cause
    _copy(file, source, sink)


def _copy(file: BinaryIO, shown: str, sink: Callable[[bytes], object]) -> None:
    """Hand on the plain tar in ``file``, and close it."""
    with file:
        try:
            reader = _foreign(file) or open_compressed(file, shown)
            if not _pass_on(reader, sink):
                raise Corrupt(f"{shown} is empty", remedy="give a tar archive of a root file system")
        except (EOFError, ValueError) as cause:
            raise Corrupt(f"{shown} is damaged: {cause}", remedy="export or download it anew") from cause


def _foreign(file: BinaryIO) -> Readable | None:
    """Return a reader for xz and bzip2, which tar archives (not layers) come in."""
    start = file.peek(6)[:6] if hasattr(file, "peek") else b""
    if start.startswith(_FOREIGN[0]):
        import lzma

        return lzma.open(file)
    if start.startswith(_FOREIGN[1]):
        import bz2

        return bz2.open(file)
    return None


def _pass_on(reader: Readable, sink: Callable[[bytes], object]) -> int:
    total = 0
    while data := reader.read(_PIECE):
        sink(data)
        total += len(data)
    return total


def _write_url(url: str, sink: Callable[[bytes], object], hops: int = _MOST_REDIRECTS) -> None:
    if not url.startswith(("http://", "https://")):
        raise Refused(f"cannot import from {url}", remedy="give an http or https address, a file or a directory")
    import io

    import urllib3

    pool = _pool(url)
    try:
        answer = pool.request(
            "GET", url, preload_content=False, redirect=False, timeout=urllib3.Timeout(connect=30, read=120)
        )
    except urllib3.exceptions.HTTPError as cause:
        raise HostUnready(f"cannot download {url}: {cause}", remedy="check the address and the network") from cause
    try:
        if answer.status in (301, 302, 303, 307, 308):
            _write_url(_followed(url, answer.headers.get("Location", ""), hops), sink, hops - 1)
            return
        if answer.status != 200:
            raise NotFound(f"{url}: the server answers {answer.status}", remedy="check the address", exit_code=125)
        answer.decode_content = False
        answer.auto_close = False  # whoever reads to the end asks once more
        try:
            _copy(io.BufferedReader(answer), url, sink)  # type: ignore[type-var,arg-type,unused-ignore]
        except urllib3.exceptions.HTTPError as cause:
            raise Corrupt(f"{url}: the download broke off: {cause}", remedy="run the same command again") from cause
    finally:
        answer.release_conn()


def _pool(url: str) -> Any:
    """Return a pool that goes through the proxy of the environment, if there is one for this address."""
    import urllib.request
    from urllib.parse import urlsplit

    import urllib3

    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _followed(url: str, target: str, hops: int) -> str:
    from urllib.parse import urljoin

    found = urljoin(url, target)
    if not target or hops == 0:
        raise Refused(f"{url} redirects without end or to nowhere", remedy="give the address it really has")
    if url.startswith("https:") and not found.startswith("https:"):
        raise Refused(
            f"{url} redirects to {found}, which is not encrypted", remedy="give that address itself if you trust it"
        )
    return found

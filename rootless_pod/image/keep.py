"""Keep an image while a container's record is written: an ``rmi`` beside it comes either before or after. HOT."""

from __future__ import annotations

from rootless_pod.errors import NotFound
from rootless_pod.image.layout import open_layout
from rootless_pod.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths


class KeptImage:
    """A context in which the image is here; whoever removes images looks for containers under the same lock."""

    def __init__(self, paths: Paths, image: Image | None) -> None:
        """Nothing is held for no image, the machine itself, or an image in somebody else's store."""
        self._paths = paths
        self._image = image if image is not None and not image.is_host and not image.store else None
        self._lock = Lock(f"{paths.locks}/image.lock", shared=True)

    def __enter__(self) -> None:
        """Hold it.

        Raises:
            NotFound: it was removed after it had been looked up.
        """
        if self._image is None:
            return
        self._lock.acquire()
        digest = self._image.manifest_digest
        if not any(entry.digest == digest for entry in open_layout(self._paths).entries()):
            self._lock.release()
            name = next(iter(self._image.names), self._image.id[:12])
            raise NotFound(f"image {name} was removed meanwhile", remedy=f"run: rpod pull {name}", exit_code=125)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        self._lock.release()

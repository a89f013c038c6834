"""What every step of a container's life needs to know of its surroundings. HOT."""

from __future__ import annotations

import os
import sys

from rootless_pod.frozen import Frozen
from rootless_pod.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths
    from rootless_pod.userns.pause import UserNamespace


class Places(Frozen):
    """The places, and the drivers asked for by name (None: choose): enough to call another rpod."""

    paths: Paths
    storage_driver: str | None = None
    storage_options: tuple[str, ...] = ()
    runtime: str | None = None
    runtime_is_default: bool = False
    runtime_flags: tuple[str, ...] = ()
    conmon: str | None = None
    log_level: str = "warn"
    hooks_dirs: tuple[str, ...] = ()
    cdi_dirs: tuple[str, ...] = ()

    def command(self, *words: str) -> tuple[str, ...]:
        """Return an argv that calls rpod with the same places and drivers; it needs no environment to find itself."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        argv = [sys.executable, "-I", "-S", "-X", "utf8", f"{package}/__main__.py"]
        argv += ["--root", self.paths.graphroot, "--runroot", self.paths.runroot]
        for option, value in (
            ("--storage-driver", self.storage_driver),
            ("--runtime", self.runtime),
            ("--conmon", self.conmon),
        ):
            if value:
                argv += [option, value]
        argv += ["--storage-opt", "additionalimagestore="]  # those below are all: storage.conf has been read
        for store in self.paths.additional:
            argv += ["--storage-opt", f"additionalimagestore={store}"]
        for flag in self.runtime_flags:
            argv += ["--runtime-flag", flag]
        for directory in self.hooks_dirs:
            argv += ["--hooks-dir", directory]
        for directory in self.cdi_dirs:
            argv += ["--cdi-spec-dir", directory]
        if not events.are_kept():
            argv += ["--events-backend", "none"]
        return (*argv, *words)


class Context(Places):
    """The same, in the user's namespace."""

    namespace: UserNamespace

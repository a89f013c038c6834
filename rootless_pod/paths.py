"""Where rpod keeps things: what lasts (graphroot) and what ends with the boot (runroot).

Both are tested, not trusted: a missing or foreign runtime directory falls back
to ``/dev/shm/rpod-UID`` or ``/tmp/rpod-UID``. Source: ARCHITECTURE, decision 3.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready
from rootless_pod.frozen import Frozen
from rootless_pod.modulecache import runtime_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


MARKER = "rootless-pod-store"
"""A file in each root that rpod made, or found to hold nothing but its own."""
_OWN_NAMES = frozenset(
    {
        MARKER, "containers", "events", "image", "image-cache", "image-mounts", "layers", "locks", "names", "networks",
        "pods", "scratch", "secrets", "unwritten", "volumes",
    }
)  # fmt: skip
_EVER_SINCE = frozenset({"containers", "image", "layers", "locks", "names", "volumes"})
_OWN_BEGINNINGS = ("configuration.json", "modules-")
_BOOT_ID_LENGTH = 32
_STORE_LENGTH = 8
_HEX = frozenset("0123456789abcdef")


class Paths(Frozen):
    """The two roots and every place below them (all ``str``, absolute)."""

    graphroot: str
    runroot: str
    boot_id: str
    store: str = ""
    """Tells graphroots apart that share a runroot: each has its own directory there."""
    runroot_reason: str = ""
    additional: tuple[str, ...] = ()
    """Graphroots of others whose images and layers are used where they lie, and never written."""

    @property
    def image(self) -> str:
        """The image store: a plain OCI image layout."""
        return f"{self.graphroot}/image"

    @property
    def layers(self) -> str:
        """Unpacked layers, one directory a chain id."""
        return f"{self.graphroot}/layers"

    @property
    def layer_roots(self) -> tuple[str, ...]:
        """Where unpacked layers are looked for: ``layers`` first, then the stores of others."""
        return (self.layers, *[f"{store}/layers" for store in self.additional])

    @property
    def containers(self) -> str:
        """One directory a container, with what lasts."""
        return f"{self.graphroot}/containers"

    @property
    def pods(self) -> str:
        """One directory a pod."""
        return f"{self.graphroot}/pods"

    @property
    def volumes(self) -> str:
        """One directory a named volume."""
        return f"{self.graphroot}/volumes"

    @property
    def networks(self) -> str:
        """One record a named network."""
        return f"{self.graphroot}/networks"

    @property
    def locks(self) -> str:
        """Lock files that belong to no single object."""
        return f"{self.graphroot}/locks"

    @property
    def bootroot(self) -> str:
        """All that ends with the boot."""
        return f"{self.runroot}/{self.boot_id}{self.store and '-'}{self.store}"

    @property
    def bundles(self) -> str:
        """One bundle directory a container that was started in this boot."""
        return f"{self.bootroot}/containers"

    @property
    def exits(self) -> str:
        """The monitor's exit files."""
        return f"{self.bootroot}/exits"

    @property
    def netns(self) -> str:
        """Network namespaces kept by a bind mount."""
        return f"{self.bootroot}/netns"

    @property
    def leases(self) -> str:
        """One directory a named network, in it a file for each container that has addresses there."""
        return f"{self.bootroot}/networks"

    @property
    def runtime_root(self) -> str:
        """The OCI runtime's ``--root``."""
        return f"{self.bootroot}/runtime"

    @property
    def probes(self) -> str:
        """Cached answers of the ``choose`` modules."""
        return f"{self.bootroot}/probes"

    @property
    def volume_users(self) -> str:
        """Who has volumes of other drivers mounted: a directory a user, a file a volume."""
        return f"{self.bootroot}/volumes/users"

    @property
    def events(self) -> str:
        """The event log of this boot."""
        return f"{self.bootroot}/events"

    def names(self, kind: str) -> str:
        """Return the directory of reserved names of a kind (``containers``, ``pods`` …)."""
        return f"{self.graphroot}/names/{kind}"

    def container(self, container_id: str) -> str:
        """Return the lasting directory of one container."""
        return f"{self.containers}/{container_id}"

    def pod(self, pod_id: str) -> str:
        """Return the directory of one pod."""
        return f"{self.pods}/{pod_id}"

    def bundle(self, container_id: str) -> str:
        """Return the bundle directory of one container."""
        return f"{self.bundles}/{container_id}"

    def prepare(self) -> None:
        """Make the directories (0700); cheap when they are there.

        Raises:
            HostUnready: a root can't be made or written.
        """
        places = (
            self.graphroot,
            self.image,
            self.layers,
            self.containers,
            self.volumes,
            self.locks,
            self.names("containers"),
            self.runroot,
            self.bootroot,
            self.bundles,
            self.exits,
            self.netns,
            self.runtime_root,
            self.probes,
        )
        # Each is looked for: another command may have made some of them, or have been killed while it did.
        if all(map(os.path.isdir, places)):
            return
        fresh = [root for root in (self.graphroot, self.runroot) if _holds_only_ours(root)]
        for path in places:
            try:
                os.makedirs(path, mode=0o700, exist_ok=True)
            except OSError as cause:
                raise HostUnready(
                    f"cannot make {path}: {cause.strerror}",
                    remedy="give a writable place with --root DIR (or XDG_DATA_HOME) and --runroot DIR",
                ) from cause
        for root in fresh:
            _mark(root)


def is_own_entry(name: str) -> bool:
    """Tell whether ``name`` is one that rpod gives to something at the top of a root."""
    return _is_boot(name) or name in _OWN_NAMES or name.startswith(_OWN_BEGINNINGS)


def _is_boot(name: str) -> bool:
    """Tell whether ``name`` is that of the directory of a boot, with the store it belongs to or from before that."""
    boot, _dash, store = name.partition("-")
    return len(boot) == _BOOT_ID_LENGTH and len(store) in (0, _STORE_LENGTH) and set(boot + store) <= _HEX


def is_of_another_store(name: str, store: str) -> bool:
    """Tell whether ``name`` at the top of a runroot is the directory of another graphroot's boot."""
    _boot, dash, other = name.partition("-")
    return bool(dash) and _is_boot(name) and other != store


def is_marked(root: str) -> bool:
    """Tell whether rpod made ``root``, or found nothing in it but what is its own."""
    return os.path.isfile(f"{root}/{MARKER}") and not os.path.islink(f"{root}/{MARKER}")


def _holds_only_ours(root: str) -> bool:
    """Tell whether ``root`` is empty or missing, or a root of ours from before there were markers."""
    try:
        names = set(os.listdir(root))
        ours = all(is_own_entry(name) for name in names)
        return ours and (not names or names >= _EVER_SINCE or any(map(_is_boot, names)))
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _mark(root: str) -> None:
    """Leave the marker by which ``system reset`` knows what it may delete; without it nothing else is worse."""
    try:
        fd = os.open(f"{root}/{MARKER}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    os.write(fd, b"This directory is rpod's; it is deleted by: rpod system reset\n")
    os.close(fd)


def _runroot_candidates(name: int) -> Iterator[tuple[str, str]]:
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and given.startswith("/"):
        yield given, f"{given}/rootless-pod"
    if given != f"/run/user/{name}":
        yield f"/run/user/{name}", f"/run/user/{name}/rootless-pod"
    yield "/dev/shm", f"/dev/shm/rpod-{name}"  # noqa: S108 - owner and mode are checked
    yield "/tmp", f"/tmp/rpod-{name}"  # noqa: S108 - owner and mode are checked


def _owned_private_directory(path: str, uid: int) -> bool:
    """Make ``path`` (0700) or check that it is a directory of ours that nobody else can enter."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        return found.st_uid == uid and not found.st_mode & 0o022 and os.access(path, os.W_OK | os.X_OK)
    finally:
        os.close(fd)


def _choose_runroot(uid: int) -> tuple[str, str]:
    given = os.environ.get("XDG_RUNTIME_DIR")
    for parent, path in _runroot_candidates(runtime_uid()):
        shared = parent.endswith(("/shm", "/tmp"))  # noqa: S108 - owner and mode are tested
        if (shared or _belongs_to(parent, uid)) and _owned_private_directory(path, uid):
            reason = "" if given == parent else f"XDG_RUNTIME_DIR is {_fault(given, uid)}; using {path}"
            return path, reason
    raise HostUnready(
        "no private runtime directory: XDG_RUNTIME_DIR, /dev/shm and /tmp are all missing, foreign or not writable",
        remedy="give one with --runroot DIR",
    )


def _belongs_to(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return False


def _fault(given: str | None, uid: int) -> str:
    if not given:
        return "not set"
    if not given.startswith("/"):
        return "no absolute path"
    return "not writable" if _belongs_to(given, uid) else "missing or not yours"


def _data_home() -> str:
    data = os.environ.get("XDG_DATA_HOME")
    if data and data.startswith("/"):
        return data
    home = os.environ.get("HOME")
    if not home or not home.startswith("/"):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = "/nonexistent"
    return f"{home}/.local/share"


def find_paths(root: str | None = None, runroot: str | None = None) -> Paths:
    """Choose both roots from options, the environment and what the host really has.

    Raises:
        HostUnready: no runtime directory is usable.
    """
    import binascii

    from rootless_pod.linux.procfs import boot_id

    graphroot = os.path.abspath(root) if root else f"{_data_home()}/rootless-pod"
    if runroot:
        chosen, reason = os.path.abspath(runroot), ""
    else:
        chosen, reason = _choose_runroot(os.getuid())
    store = f"{binascii.crc32(os.fsencode(os.path.realpath(graphroot))):08x}"
    return Paths(graphroot=graphroot, runroot=chosen, boot_id=boot_id(), store=store, runroot_reason=reason)

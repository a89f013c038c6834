"""The network namespace that all named networks of a store lie in, and the program that leads out of it.

There is one per store and boot. A bind mount holds it; the program (slirp4netns, or pasta) ends by itself
when the last descriptor of the pipe ``alive`` is closed: each container's monitor holds one. What was killed is found
out by whoever comes next and made anew. All that changes anything holds ``lock``.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, RpodError, TimedOut
from rootless_pod.linux import netns
from rootless_pod.network.lease import leased_networks
from rootless_pod.network.netns import make_netns, remove_netns
from rootless_pod.slirp.driver import Accident, HelperRequest, kill_helper
from rootless_pod.slirp.pasta import Pasta
from rootless_pod.slirp.slirp4netns import Slirp4netns
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths
    from rootless_pod.slirp.driver import Helper, NetworkDriver

_NAMESPACE = "netns"
_HELPER = "helper.json"
_ALIVE = "alive"
_PROGRAMS = (b"slirp4netns", b"pasta", b"passt", b"pasta.avx2", b"passt.avx2")


def place(paths: Paths) -> str:
    """Return the directory of what belongs to the namespace; no network can have its name."""
    return f"{paths.leases}/.shared"


def netns_path(paths: Paths) -> str:
    """Return the file of the namespace."""
    return f"{place(paths)}/{_NAMESPACE}"


def lock(paths: Paths) -> Lock:
    """Return the lock of everything here: the namespace, its bridges, the leases."""
    os.makedirs(place(paths), mode=0o700, exist_ok=True)
    return Lock(f"{place(paths)}/lock")


def in_use_lock(paths: Paths) -> Lock:
    """Return the lock that those hold who need the namespace without a lease; it does not end meanwhile."""
    os.makedirs(place(paths), mode=0o700, exist_ok=True)
    return Lock(f"{place(paths)}/users", shared=True)


def is_there(paths: Paths) -> bool:
    """Tell whether the namespace is there."""
    try:
        return netns.is_netns(netns_path(paths))
    except OSError:
        return False


def make(paths: Paths) -> bool:
    """Make the namespace if it is not there, and return whether it was made; the lock is held.

    Raises:
        HostUnready: the kernel refuses.
    """
    if is_there(paths):
        return False
    _end_helper(paths)  # of a namespace that nothing holds any more
    make_netns(place(paths), _NAMESPACE)
    return True


def hold_alive(paths: Paths) -> int:
    """Return a descriptor that keeps the way out from ending, for as long as any copy of it is open."""
    path = f"{place(paths)}/{_ALIVE}"
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    # Opened for both, it waits for no reader.
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


class WayOut:
    """The program that connects the namespace with the host's network, perhaps just being started.

    Made by ``lead_out`` under the lock; ``wait_ready`` and ``close`` need none.
    """

    def __init__(self, paths: Paths) -> None:
        """Know of no program yet."""
        self._paths = paths
        self._driver: NetworkDriver | None = None
        self._helper: Helper | None = None
        self._starting: Lock | None = None
        self._left: list[NetworkDriver] = []
        self._had_accident = False

    def start(self, candidates: list[NetworkDriver] | None = None, *, fresh: bool = False) -> None:
        """Start the first program that is installed, unless one lives; the lock is held.

        ``fresh``: the namespace has just been made, so that nobody can be in it.

        Raises:
            HostUnready, ProgramFailed: none is installed, or none can be started.
        """
        paths = self._paths
        if _helper_lives(paths):
            return
        probes = paths.probes
        self._left = [Slirp4netns(probes), Pasta(probes)] if candidates is None else candidates
        if not fresh:
            _end_unrecorded(paths)
        if self._starting is None:
            self._starting = _starting_lock(paths)
            self._starting.acquire()
        refused: RpodError | None = None
        while self._left:
            driver = self._left.pop(0)
            try:
                self._launch(driver)
            except (HostUnready, ProgramFailed) as cause:
                refused = refused or cause
                continue
            return
        self._finished()
        raise refused or HostUnready(
            "no program connects named networks with the outside", remedy="as root: apt install slirp4netns"
        )

    def _launch(self, driver: NetworkDriver) -> None:
        paths, request = self._paths, _request(self._paths)
        driver.check(request)
        # Only its reading end is handed over: the program ends with the last that can write.
        exit_fd = os.open(f"{place(paths)}/{_ALIVE}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            helper = driver.start(request, exit_fd)
        finally:
            os.close(exit_fd)
        self._driver, self._helper = driver, helper
        addresses = driver.addresses(request)
        record = {"driver": driver.name, "pid": helper.pid, "started": helper.started}
        reached = {"dns": addresses.dns or "", "host": addresses.host or ""}
        write_record(f"{place(paths)}/{_HELPER}", {**record, **reached})

    def wait_ready(self) -> None:
        """Return when there is a way out, whoever started it.

        Raises:
            ProgramFailed, TimedOut: no program works.
        """
        if self._helper is None or self._driver is None:
            with _starting_lock(self._paths):  # whoever starts it holds this until it is ready
                pass
            if _helper_lives(self._paths):
                return
            with lock(self._paths):
                self.start()
            if self._helper is None:
                return
            self.wait_ready()
            return
        try:
            self._driver.wait_ready(_request(self._paths), self._helper)
        except (ProgramFailed, TimedOut) as cause:
            self._helper.kill()
            self._helper.close()
            self._helper = None
            log.debug(cause.message)
            self._finished()  # before the other lock: those who hold that one wait for this
            if isinstance(cause, Accident) and not self._had_accident:
                self._had_accident = True
                self._left.insert(0, self._driver)
            if not self._left:
                raise
            try:
                with lock(self._paths):
                    self.start(self._left)
            except (HostUnready, ProgramFailed):
                raise cause from None
            self.wait_ready()
        finally:
            self._finished()

    def _finished(self) -> None:
        if self._starting is not None:
            self._starting.release()
            self._starting = None

    def close(self) -> None:
        """Close what is ours; the program stays. Idempotent."""
        if self._helper is not None:
            self._helper.close()
        self._finished()


def end_if_unused(paths: Paths) -> bool:
    """End the program and the namespace if no container is on a named network; the lock is held."""
    if leased_networks(paths):
        return False
    users = Lock(f"{place(paths)}/users")
    if not users.acquire(wait=False):
        return False
    try:
        _end_helper(paths)
        remove_netns(netns_path(paths))
    finally:
        users.release()
    return True


def helper_of(paths: Paths) -> dict[str, object]:
    """Return ``driver``, ``pid`` and ``started`` of the program, or {}.

    ``dns`` and ``host`` are the addresses, "" for none, that forward names and lead to the host.
    """
    try:
        return read_record(f"{place(paths)}/{_HELPER}")
    except (NotFound, RpodError):
        return {}


def _helper_lives(paths: Paths) -> bool:
    from rootless_pod.linux import procfs

    record = helper_of(paths)
    pid, started = record.get("pid"), record.get("started")
    return isinstance(pid, int) and isinstance(started, int) and procfs.is_alive(pid, started)


def _end_helper(paths: Paths) -> None:
    record = helper_of(paths)
    pid, started = record.get("pid"), record.get("started")
    if isinstance(pid, int) and isinstance(started, int):
        kill_helper(pid, started)
        os.unlink(f"{place(paths)}/{_HELPER}")


def _end_unrecorded(paths: Paths) -> None:
    """End a program whose starter was killed before it could write who it is: two can't lead out of one namespace."""
    from rootless_pod.linux import procfs

    word = os.fsencode(netns_path(paths))
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if word in words and os.path.basename(words[0]) in _PROGRAMS:
            kill_helper(int(name), procfs.start_time(int(name)))


def _request(paths: Paths) -> HelperRequest:
    return HelperRequest(netns_path=netns_path(paths), run_dir=place(paths))


def _starting_lock(paths: Paths) -> Lock:
    return Lock(f"{place(paths)}/starting")

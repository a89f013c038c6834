"""Choose how a container is connected where the user leaves it open: pasta, else slirp4netns.

The real thing is tried once, in a namespace made for it; the answer is cached until the kernel, the boot, a
program's file or the host's default route changes.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux import link, mount, netns, procfs
from rootless_pod.programs.find import find_program
from rootless_pod.slirp.driver import Accident, HelperRequest
from rootless_pod.slirp.features import identity
from rootless_pod.slirp.pasta import Pasta
from rootless_pod.slirp.slirp4netns import Slirp4netns
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.slirp.driver import NetworkDriver

_CACHE = "network.json"


class Choice(Frozen):
    """The driver (None: neither works), why it was chosen, and what spoke against those before it."""

    driver: NetworkDriver | None
    reason: str
    refused: tuple[tuple[str, str, str], ...] = ()


def drivers(probes_dir: str | None) -> tuple[NetworkDriver, ...]:
    """Return the drivers in the order of preference."""
    return (Pasta(probes_dir), Slirp4netns(probes_dir))


def driver_named(name: str, probes_dir: str | None) -> NetworkDriver:
    """Return the driver of ``--network NAME``."""
    return next(driver for driver in drivers(probes_dir) if driver.name == name)


def choose_network(*, probes_dir: str, candidates: tuple[NetworkDriver, ...] | None = None) -> Choice:
    """Return the first driver that works here; from the cache where nothing changed since.

    The caller must be in the user's namespaces, as for a container.
    """
    known = drivers(probes_dir) if candidates is None else candidates
    cache = f"{probes_dir}/{_CACHE}"
    key = _cache_key(known)
    cached = _read_cache(cache, key, known)
    if cached is not None:
        return cached
    choice = _try_in_order(known, probes_dir)
    record = {
        "key": key,
        "driver": choice.driver.name if choice.driver else "",
        "reason": choice.reason,
        "refused": [list(entry) for entry in choice.refused],
    }
    try:
        write_bytes(cache, jsontext.dumps(record).encode())
    except OSError:
        pass  # the answer is good without a cache
    return choice


def forget(probes_dir: str) -> None:
    """Drop the cached answer: what worked once has just failed."""
    try:
        os.unlink(f"{probes_dir}/{_CACHE}")
    except FileNotFoundError:
        pass


def probe(driver: NetworkDriver, probes_dir: str) -> None:
    """Connect a namespace made for this and take it down again.

    Raises:
        RpodError: it does not work; the message and the remedy say why.
    """
    driver.features()
    scratch = f"{probes_dir}/.{driver.name}.{os.getpid()}.{os.urandom(4).hex()}"
    os.mkdir(scratch, 0o700)
    path = f"{scratch}/netns"
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            netns.bind_new(path)
        except OSError as cause:
            raise HostUnready(
                f"cannot make a network namespace: {cause.strerror}", remedy="run: rpod doctor"
            ) from cause
        request = HelperRequest(netns_path=path, run_dir=scratch)
        try:
            _try(driver, request)
        except Accident:
            _try(driver, request)
    finally:
        _clear(scratch, path)


def _try(driver: NetworkDriver, request: HelperRequest) -> None:
    driver.check(request)
    exit_fd, keep_fd = os.pipe2(os.O_CLOEXEC)
    try:
        helper = driver.start(request, exit_fd)
    except BaseException:
        os.close(keep_fd)
        raise
    finally:
        os.close(exit_fd)
    try:
        driver.wait_ready(request, helper)
    finally:
        helper.kill()
        helper.close()
        os.close(keep_fd)
        try:
            os.waitpid(helper.pid, 0)
        except ChildProcessError:
            pass  # wait_ready reaped it to learn its exit code


def _clear(scratch: str, path: str) -> None:
    try:
        mount.umount(path)
    except OSError:
        pass
    for name in os.listdir(scratch):
        os.unlink(f"{scratch}/{name}")
    os.rmdir(scratch)


def _try_in_order(known: tuple[NetworkDriver, ...], probes_dir: str) -> Choice:
    refused: list[tuple[str, str, str]] = []
    for driver in known:
        try:
            probe(driver, probes_dir)
        except RpodError as cause:
            refused.append((driver.name, cause.message, cause.remedy or ""))
            continue
        before = "; ".join(f"{name}: {_in_short(name, why)}" for name, why, _remedy in refused)
        reason = f"{driver.name} works here" + (f" ({before})" if before else "")
        return Choice(driver=driver, reason=reason, refused=tuple(refused))
    before = "; ".join(f"{name}: {_in_short(name, why)}" for name, why, _remedy in refused)
    return Choice(driver=None, reason=f"no network program works here ({before})", refused=tuple(refused))


def _in_short(name: str, why: str) -> str:
    """Return what a program said, without the command line: the reason goes into one line with those of others."""
    said = why.partition(" (ran: ")[0].removeprefix(f"{name} failed: ")
    parts = said.split("; ")
    return "; ".join([part for part in parts if not part.startswith("WARNING: ")] or parts)


def _cache_key(known: tuple[NetworkDriver, ...]) -> list[object]:
    programs: list[object] = []
    for driver in known:
        path = find_program(driver.name)
        programs.append(identity(path) if path else None)
    return [
        os.uname().release,
        procfs.boot_id(),
        list(link.default_interfaces()),
        os.access("/dev/net/tun", os.R_OK | os.W_OK),
        programs,
    ]


def _read_cache(cache: str, key: list[object], known: tuple[NetworkDriver, ...]) -> Choice | None:
    try:
        record = jsontext.loads(read_bytes(cache))
        if record["key"] != key:
            return None
        refused = tuple((str(name), str(why), str(remedy)) for name, why, remedy in record["refused"])
        reason = str(record["reason"])
        wanted = record["driver"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not wanted:
        return Choice(driver=None, reason=reason, refused=refused)
    found = next((driver for driver in known if driver.name == wanted), None)
    return None if found is None else Choice(driver=found, reason=reason, refused=refused)

"""Checks of what the machine offers to every user: directories, devices, kernel settings, programs, packages."""

from __future__ import annotations

import os
import sys

from rootless_pod.doctor.finding import FAILED, LIMITED, NOTE, Finding, as_administrator, from_error, install, ok
from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.linux import procfs, statfs
from rootless_pod.linux.cgroup import find_delegation, find_manager
from rootless_pod.programs.find import find_program
from rootless_pod.programs.package import distribution, how_to_install
from rootless_pod.programs.run import run
from rootless_pod.programs.systemd import socket_path
from rootless_pod.userns.subid import user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.linux.cgroup import Delegation
    from rootless_pod.paths import Paths

_CONTROLLERS = ("cpu", "memory", "pids")
_LEAST_FREE_BYTES = 1 << 30
_DELEGATE = (
    "mkdir -p /etc/systemd/system/user@.service.d && "
    r"printf '[Service]\nDelegate=cpu cpuset io memory pids\n' > /etc/systemd/system/user@.service.d/delegate.conf && "
    "systemctl daemon-reload"
)
_ELSEWHERE = "keep containers on a local disk: export XDG_DATA_HOME=/var/tmp/$USER (or give --root DIR)"
# Package → state where it is missing, what is lost.
_PACKAGES = (
    (("urllib3",), LIMITED, "images can't be pulled from registries"),
    (("compression.zstd", "backports.zstd"), LIMITED, "layers packed with zstd can't be read"),
    (("isal",), NOTE, "layers packed with gzip unpack at half the speed"),
    (("typer",), NOTE, "help is plain text"),
    (("rich",), NOTE, "no progress bars and colours"),
    (("dns",), NOTE, "containers of named networks don't find each other by name"),
)


def check_python() -> list[Finding]:
    """Import the packages rpod can use; the version of Python is right, or we would not run."""
    findings = [ok("python", f"{sys.version.split()[0]} at {sys.executable}")]
    for names, state, loss in _PACKAGES:
        package = distribution(names[-1])
        subject = f"package {package}"
        if not any(_imports(name) for name in names):
            text = f"not installed: {loss}"
            findings.append(Finding(subject=subject, state=state, text=text, remedy=how_to_install(package)))
        elif package == "urllib3" and (too_old := _too_old()):
            findings.append(from_error(subject, state, too_old))
        else:
            findings.append(ok(subject, "imports"))
    return findings


def _too_old() -> RpodError | None:
    try:
        __import__("rootless_pod.image.registry.transport")
    except HostUnready as error:
        return error
    return None


def _imports(name: str) -> bool:
    try:
        __import__(name)
    except Exception:
        return False
    return True


def check_runtime_directory(paths: Paths) -> list[Finding]:
    """Tell where things lie that end with the boot, and make it."""
    if paths.runroot_reason:
        remedy = f"run: export XDG_RUNTIME_DIR=/run/user/{os.getuid()} (or as root: loginctl enable-linger {_user()})"
        return [Finding(subject="runtime directory", state=NOTE, text=paths.runroot_reason, remedy=remedy)]
    try:
        os.makedirs(paths.bootroot, mode=0o700, exist_ok=True)
        _write_trial(paths.bootroot)
    except OSError as cause:
        text = f"{paths.runroot} can't be written: {cause.strerror}"
        remedy = "give a directory of yours: --runroot DIR, or unset XDG_RUNTIME_DIR"
        return [Finding(subject="runtime directory", state=FAILED, text=text, remedy=remedy)]
    return [ok("runtime directory", paths.runroot)]


def check_graphroot(paths: Paths) -> list[Finding]:
    """Write into the place of images and containers, and look at the disk it lies on."""
    subject = "storage place"
    try:
        os.makedirs(paths.graphroot, mode=0o700, exist_ok=True)
        _write_trial(paths.graphroot)
    except OSError as cause:
        text = f"{paths.graphroot} can't be written: {cause.strerror}"
        remedy = "give a writable place: export XDG_DATA_HOME=/var/tmp/$USER (or --root DIR)"
        return [Finding(subject=subject, state=FAILED, text=text, remedy=remedy)]
    kind = statfs.filesystem_type(paths.graphroot)
    disk = os.statvfs(paths.graphroot)
    free_bytes = disk.f_bavail * disk.f_frsize
    where = f"{paths.graphroot} ({kind}, {free_bytes / 1e9:.1f} GB free)"
    if disk.f_flag & os.ST_NOEXEC:
        text = f"{where} is mounted noexec: programs of images can't run"
        return [Finding(subject=subject, state=LIMITED, text=text, remedy=_ELSEWHERE)]
    if kind in statfs.NETWORK_FILESYSTEMS:
        text = f"{where} is a network file system: slow, and without overlay and sub-ids"
        return [Finding(subject=subject, state=LIMITED, text=text, remedy=_ELSEWHERE)]
    if free_bytes < _LEAST_FREE_BYTES:
        return [Finding(subject=subject, state=LIMITED, text=f"{where} is nearly full", remedy="run: rpod rmi IMAGE")]
    return [ok(subject, where)]


def _write_trial(directory: str) -> None:
    path = f"{directory}/.doctor-{os.urandom(6).hex()}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"trial")
    finally:
        os.close(fd)
        os.unlink(path)


def _user() -> str:
    return user_name(os.getuid())


def check_programs(conmon: str | None = None) -> list[Finding]:
    """Start the monitor and the init program for their version; without the monitor no container runs."""
    wanted = conmon or "conmon"
    findings = [_program("monitor conmon", wanted, FAILED, "no container can run")]
    findings.append(_program("init catatonit", "catatonit", NOTE, "rpod run --init does not work"))
    return findings


def _program(subject: str, name: str, state: str, loss: str) -> Finding:
    path = find_program(name)
    if path is None:
        return Finding(subject=subject, state=state, text=f"{name} is not installed: {loss}", remedy=install(name))
    try:
        answer = run([path, "--version"], timeout_seconds=20)
    except (RpodError, OSError) as cause:
        return Finding(subject=subject, state=state, text=f"{path} does not start: {cause}", remedy=install(name))
    if answer.code != 0:
        text = f"{path} --version ends with {answer.code}: {loss}"
        return Finding(subject=subject, state=state, text=text, remedy=install(name))
    lines = answer.stdout.decode(errors="replace").splitlines() or [""]
    return ok(subject, f"{lines[0].strip()} at {path}")


def check_devices() -> list[Finding]:
    """Open the two devices that file systems and networks in user space need."""
    return [
        _device("/dev/fuse", "fuse", "fuse-overlayfs and pyfuse3 do not work"),
        _device("/dev/net/tun", "tun", "slirp4netns and pasta do not work: containers share the host's network"),
    ]


def _device(path: str, module: str, loss: str) -> Finding:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        remedy = as_administrator(f"modprobe {module}")
        return Finding(subject=path, state=LIMITED, text=f"there is no {path}: {loss}", remedy=remedy)
    except OSError as cause:
        remedy = as_administrator(f"chmod 0666 {path}")
        return Finding(subject=path, state=LIMITED, text=f"{path}: {cause.strerror}: {loss}", remedy=remedy)
    return ok(path, "opens")


def check_cgroups(delegation: Delegation | None = None) -> list[Finding]:
    """Find out whether limits (``--memory`` and others) can be applied."""
    found = find_delegation() if delegation is None else delegation
    if found.layout != "v2":
        text = f"cgroups are {found.layout}, not version 2: limits of memory, cpu and processes are refused"
        remedy = "boot with the kernel option systemd.unified_cgroup_hierarchy=1"
        return [Finding(subject="cgroups", state=LIMITED, text=text, remedy=remedy)]
    if delegation is None and (not found.path or found.unit) and socket_path():
        found, words = find_manager(), "your systemd gives a container with limits a scope of its own"
    else:
        words = f"{found.path} is yours"
    if not found.path:
        text = "no cgroup is delegated to this session: limits of memory, cpu and processes are refused"
        remedy = "start rpod by: systemd-run --user --scope -p Delegate=yes rpod …"
        return [Finding(subject="cgroups", state=LIMITED, text=text, remedy=remedy)]
    missing = [name for name in _CONTROLLERS if name not in found.controllers]
    if missing:
        text = f"{words}, but without {', '.join(missing)}: limits of that kind are refused"
        return [Finding(subject="cgroups", state=LIMITED, text=text, remedy=as_administrator(_DELEGATE))]
    return [ok("cgroups", f"version 2: {words}, with {', '.join(found.controllers)}")]


def check_kernel() -> list[Finding]:
    """Read the settings that take single things away."""
    return [_check_ping(), _check_ports(), _check_seccomp()]


def _setting(path: str) -> str:
    try:
        return procfs.read_text(path).strip()
    except OSError:
        return ""


def _check_ping() -> Finding:
    subject, text = "ping", _setting("/proc/sys/net/ipv4/ping_group_range")
    numbers = [int(word) for word in text.split() if word.isdigit()]
    groups = {os.getgid(), *os.getgroups()}
    if len(numbers) == 2 and any(numbers[0] <= group <= numbers[1] for group in groups):
        return ok(subject, f"allowed for groups {numbers[0]} to {numbers[1]}")
    remedy = as_administrator("sysctl -w net.ipv4.ping_group_range='0 2147483647'")
    loss = f"ping out of a container gets no answer (net.ipv4.ping_group_range is {text or 'not there'})"
    return Finding(subject=subject, state=NOTE, text=loss, remedy=remedy)


def _check_ports() -> Finding:
    subject, text = "low ports", _setting("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if text == "0":
        return ok(subject, "every port can be published")
    remedy = as_administrator("sysctl -w net.ipv4.ip_unprivileged_port_start=80")
    return Finding(subject=subject, state=NOTE, text=f"ports below {text or 1024} can't be published", remedy=remedy)


def _check_seccomp() -> Finding:
    if "kill" in _setting("/proc/sys/kernel/seccomp/actions_avail"):
        return ok("seccomp", "the kernel filters system calls")
    text = "the kernel has no seccomp: containers run without a filter of system calls"
    remedy = "boot a kernel with CONFIG_SECCOMP_FILTER, or run with --security-opt seccomp=unconfined"
    return Finding(subject="seccomp", state=LIMITED, text=text, remedy=remedy)


def check_lingering(directory: str = "/var/lib/systemd/linger", systemd: str = "/run/systemd/system") -> list[Finding]:
    """Tell whether containers live on when the user logs out."""
    user = _user()
    if os.geteuid() == 0 or not os.path.isdir(systemd):
        return [ok("logout", "nothing ends containers when you log out")]
    if os.path.exists(f"{directory}/{user}"):
        return [ok("logout", "lingering is on: containers live on when you log out")]
    text = "containers may be ended when you log out: lingering is off"
    return [Finding(subject="logout", state=NOTE, text=text, remedy=f"run: loginctl enable-linger {user}")]


def check_places(root: str | None, runroot: str | None) -> tuple[Paths | None, list[Finding]]:
    """Find the two roots and try that of this boot; None where there is no place for it."""
    from rootless_pod.paths import find_paths

    try:
        paths = find_paths(root, runroot)
    except RpodError as error:
        return None, [from_error("runtime directory", FAILED, error)]
    return paths, check_runtime_directory(paths)

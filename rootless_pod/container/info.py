"""What ``info`` says: podman's fields, and every driver with the reason it was chosen or refused."""

from __future__ import annotations

import os
import sys
import time

from rootless_pod.config.storage import find_file
from rootless_pod.container.lookup import list_all
from rootless_pod.errors import RpodError
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.userns.idmap import IdRange

NOT_KNOWN = "Unknown"
_VERSION_SECONDS = 10.0
_MEGABYTE_KEYS = {"memFree": "MemAvailable", "memTotal": "MemTotal", "swapFree": "SwapFree", "swapTotal": "SwapTotal"}


def gather(context: Context, version: str) -> dict[str, Any]:
    """Return everything; drivers are chosen as a run would choose them (answers kept from before count)."""
    drivers = choices(context)
    return {
        "host": _host(context, drivers),
        "store": _store(context, drivers),
        "registries": _registries(),
        "plugins": {
            "volume": ["local"],
            "network": ["bridge", "pasta", "slirp4netns", "host", "none"],
            "log": ["k8s-file", "none", "passthrough", "journald"],
            "authorization": None,
        },
        "version": _version(version),
        "drivers": drivers,
    }


# -- drivers


def choices(context: Context) -> dict[str, Any]:
    """Return the choice of storage, network, runtime and monitor: name ("" where none works), reason, those refused."""
    paths = context.paths
    return {
        "userNamespace": {
            "reason": context.namespace.reason,
            "singleId": context.namespace.single_id,
            "pausePid": context.namespace.pid,
        },
        "storage": _choice(lambda: _chosen_storage(context)),
        "network": _choice(lambda: _chosen_network(context)),
        "runtime": _choice(lambda: _chosen_runtime(context)),
        "monitor": _choice(lambda: _chosen_monitor(context)),
        "runRoot": {"path": paths.runroot, "reason": paths.runroot_reason or "asked for, or XDG_RUNTIME_DIR"},
    }


def _choice(choose: Any) -> dict[str, Any]:
    try:
        name, path, reason, refused = choose()
    except RpodError as error:
        return {"name": "", "path": "", "reason": error.message, "remedy": error.remedy or "", "refused": []}
    rows = [{"name": other, "reason": why, "remedy": remedy} for other, why, remedy in refused]
    return {"name": name, "path": path, "reason": reason, "remedy": "", "refused": rows}


def _chosen_storage(context: Context) -> tuple[str, str, str, Any]:
    from rootless_pod.fuse.choose import choose_storage

    choice = choose_storage(
        context.storage_driver, probes_dir=context.paths.probes, scratch_dir=f"{context.paths.graphroot}/scratch"
    )
    name = choice.driver.name
    return name, find_program(name) or "", choice.reason, choice.refused


def _chosen_network(context: Context) -> tuple[str, str, str, Any]:
    from rootless_pod.slirp.choose import choose_network

    choice = choose_network(probes_dir=context.paths.probes)
    if choice.driver is None:
        return "host", "", choice.reason, choice.refused
    return choice.driver.name, find_program(choice.driver.name) or "", choice.reason, choice.refused


def _chosen_runtime(context: Context) -> tuple[str, str, str, Any]:
    from rootless_pod.container.drivers import runtime_choice

    choice = runtime_choice(context)
    return choice.driver.name, choice.driver.path, choice.reason, choice.refused


def _chosen_monitor(context: Context) -> tuple[str, str, str, Any]:
    from rootless_pod.container.drivers import conmon_path

    path = conmon_path(context)
    return os.path.basename(path), path, "named with --conmon" if context.conmon else "the monitor rpod has", ()


# -- host


def _host(context: Context, drivers: dict[str, Any]) -> dict[str, Any]:
    from rootless_pod.linux.cgroup import find_delegation, find_manager
    from rootless_pod.oci.platform import host_platform

    system, cgroups = os.uname(), find_delegation()
    if cgroups.layout == "v2" and (not cgroups.path or cgroups.unit):
        cgroups = find_manager()
    wanted = {"conmon": drivers["monitor"]["path"], "ociRuntime": drivers["runtime"]["path"]}
    wanted |= {name: find_program(name) or "" for name in ("slirp4netns", "pasta")}
    packages = _packages(tuple(path for path in wanted.values() if path))
    programs = {key: _program(path, packages) for key, path in wanted.items()}
    return {
        "arch": host_platform().architecture,
        "buildahVersion": "",
        "cgroupManager": "cgroupfs",
        "cgroupVersion": _cgroup_version(),
        "cgroupControllers": list(cgroups.controllers),
        "conmon": {"package": programs["conmon"]["package"], **_located(programs["conmon"], "path")},
        "cpus": os.cpu_count() or 1,
        "cpuUtilization": _cpu_utilization(),
        "distribution": _distribution(),
        "eventLogger": "file",
        "hostname": system.nodename,
        "idMappings": {
            "gidmap": _map(context.namespace.id_map.gids),
            "uidmap": _map(context.namespace.id_map.uids),
        },
        "kernel": system.release,
        "linkmode": "dynamic",
        "logDriver": "k8s-file",
        **_memory(),
        "networkBackend": "builtin",
        "rootlessNetworkCmd": drivers["network"]["name"],
        "ociRuntime": {
            "name": drivers["runtime"]["name"],
            "package": programs["ociRuntime"]["package"],
            **_located(programs["ociRuntime"], "path"),
        },
        "os": "linux",
        "pasta": {"package": programs["pasta"]["package"], **_located(programs["pasta"], "executable")},
        "remoteSocket": {"exists": False, "path": ""},
        "security": _security(context),
        "serviceIsRemote": False,
        "slirp4netns": {
            "package": programs["slirp4netns"]["package"],
            **_located(programs["slirp4netns"], "executable"),
        },
        "uptime": _uptime(),
    }


def _located(program: dict[str, str], key: str) -> dict[str, str]:
    return {key: program["path"], "version": program["version"]}


def _program(path: str, packages: dict[str, str]) -> dict[str, str]:
    version = ""
    if path:
        try:
            version = run([path, "--version"], timeout_seconds=_VERSION_SECONDS).stdout.decode(errors="replace").strip()
        except (RpodError, OSError):
            version = ""
    return {"path": path, "version": version, "package": packages.get(path, NOT_KNOWN if path else "")}


def _packages(paths: tuple[str, ...]) -> dict[str, str]:
    """Return path → package as ``name_version_architecture`` (dpkg) or rpm's name; unknown ones are left out."""
    try:
        if find_program("dpkg-query"):
            return _debian_packages(paths)
        if find_program("rpm"):
            answers = {path: run(["rpm", "-qf", path], timeout_seconds=_VERSION_SECONDS) for path in paths}
            return {path: one.stdout.decode().strip() for path, one in answers.items() if one.code == 0}
    except (RpodError, OSError):
        return {}
    return {}


def _debian_packages(paths: tuple[str, ...]) -> dict[str, str]:
    owners = run(["dpkg-query", "-S", *paths], timeout_seconds=_VERSION_SECONDS).stdout.decode(errors="replace")
    owner_of = {path: name for name, _colon, path in (line.rpartition(": ") for line in owners.splitlines())}
    names = sorted(set(owner_of.values()))
    if not names:
        return {}
    form = "${binary:Package} ${Package}_${Version}_${Architecture}\n"
    answer = run(["dpkg-query", "-W", f"--showformat={form}", *names], timeout_seconds=_VERSION_SECONDS)
    full: dict[str, str] = {}
    for line in answer.stdout.decode(errors="replace").splitlines():
        name, _blank, text = line.partition(" ")
        full[name] = full[name.partition(":")[0]] = text
    return {path: full.get(name, NOT_KNOWN) for path, name in owner_of.items()}


def _map(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
    return [{"container_id": one.container_id, "host_id": one.host_id, "size": one.size} for one in ranges]


def _cpu_utilization() -> dict[str, float]:
    """Return percents since the boot. Source: proc(5), /proc/stat."""
    try:
        numbers = [int(word) for word in procfs.read_text("/proc/stat").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        numbers = []
    total = sum(numbers)
    if len(numbers) < 4 or not total:
        return {"userPercent": 0.0, "systemPercent": 0.0, "idlePercent": 0.0}
    user, system, idle = numbers[0] + numbers[1], sum(numbers[2:3] + numbers[5:7]), numbers[3]
    shares = {"userPercent": user, "systemPercent": system, "idlePercent": idle}
    return {key: round(100 * share / total, 2) for key, share in shares.items()}


def _distribution() -> dict[str, str]:
    """Return what os-release(5) says."""
    values: dict[str, str] = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = procfs.read_text(path).splitlines()
        except OSError:
            continue
        values = {key: value.strip("\"'") for key, _equals, value in (line.partition("=") for line in lines)}
        break
    found = {"distribution": values.get("ID", NOT_KNOWN), "version": values.get("VERSION_ID", NOT_KNOWN)}
    if values.get("VERSION_CODENAME"):
        found["codename"] = values["VERSION_CODENAME"]
    return found


def _memory() -> dict[str, int]:
    values: dict[str, int] = {}
    try:
        for line in procfs.read_text("/proc/meminfo").splitlines():
            key, _colon, rest = line.partition(":")
            values[key] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return {key: values.get(name, 0) for key, name in _MEGABYTE_KEYS.items()}


def _uptime() -> str:
    """Return the time since the boot in podman's words: ``1h 2m 3.00s``, with days in brackets behind."""
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    hours, rest = divmod(int(seconds), 3600)
    text = f"{hours}h {rest // 60}m {rest % 60:.2f}s"
    return f"{text} (Approximately {seconds / 86400:.2f} days)" if hours >= 24 else text


def _cgroup_version() -> str:
    """Return ``v2`` where cgroup2 is what /sys/fs/cgroup shows, except by our own mount over an older hierarchy."""
    from rootless_pod.linux.cgroup import find_layout
    from rootless_pod.runtime.cgroup2 import is_our_view

    if find_layout() == "v2" and not is_our_view():
        return "v2"
    try:
        lines = procfs.read_text("/proc/self/cgroup").splitlines()
    except OSError:
        lines = []
    return "v2" if lines and all(line.startswith("0::") for line in lines) else "v1"


def _security(context: Context) -> dict[str, Any]:
    from rootless_pod.spec.host import read_host_facts
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.spec.security import choose_capabilities

    host = read_host_facts()
    capabilities = choose_capabilities(SpecRequest(), 0, host).to_json().get("bounding", [])
    return {
        "apparmorEnabled": host.apparmor,
        "capabilities": ",".join(capabilities),
        "rootless": context.namespace.host_uid != 0,
        "seccompEnabled": os.path.exists("/proc/sys/kernel/seccomp/actions_avail"),
        "seccompProfilePath": "built in",
        "selinuxEnabled": host.selinux,
    }


# -- store, registries, version


def _store(context: Context, drivers: dict[str, Any]) -> dict[str, Any]:
    from rootless_pod.image.lookup import list_images
    from rootless_pod.linux.statfs import filesystem_type

    paths = context.paths
    states = [one.status.name for one in list_all(paths)]
    running, paused = states.count("running") + states.count("stopping"), states.count("paused")
    disk = os.statvfs(paths.graphroot)
    return {
        "configFile": find_file(),
        "containerStore": {
            "number": len(states),
            "paused": paused,
            "running": running,
            "stopped": len(states) - running - paused,
        },
        "graphDriverName": drivers["storage"]["name"],
        "graphOptions": {},
        "graphRoot": paths.graphroot,
        "graphRootAllocated": disk.f_blocks * disk.f_frsize,
        "graphRootUsed": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        "graphStatus": {"Backing Filesystem": filesystem_type(paths.graphroot), "Reason": drivers["storage"]["reason"]},
        "imageCopyTmpDir": paths.layers,
        "imageStore": {"number": len(list_images(paths))},
        "runRoot": paths.runroot,
        "transientStore": False,
        "volumePath": paths.volumes,
    }


def _registries() -> dict[str, Any]:
    """Return the search list, and by prefix what registries.conf says of single registries."""
    from rootless_pod.config.registries import read_registries

    try:
        found = read_registries()
    except RpodError as error:
        return {"error": error.message}
    table: dict[str, Any] = {"search": list(found.search)} if found.search else {}
    for one in found.registries:
        table[one.prefix] = {
            "Blocked": one.blocked,
            "Insecure": one.insecure,
            "Location": one.location,
            "MirrorByDigestOnly": one.mirror_by_digest_only,
            "Mirrors": [
                {"Location": mirror.location, "Insecure": mirror.insecure, "PullFromMirror": mirror.pull_from}
                for mirror in one.mirrors
            ],
            "Prefix": one.prefix,
        }
    return table


def _version(version: str) -> dict[str, Any]:
    from rootless_pod.oci.platform import host_platform

    return {
        "APIVersion": version,
        "Built": 0,
        "BuiltTime": "",
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "OsArch": f"linux/{host_platform().architecture}",
        "PythonVersion": ".".join(str(part) for part in sys.version_info[:3]),
        "Version": version,
    }

"""The options before the command's name, shared by every command. HOT."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Command, Globals, Option
from rootless_pod.errors import Usage

_LEVELS = ("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic")
_REMOTE = "rpod has no service to speak to, each command does its own work; leave the option out"

GLOBAL_OPTIONS: tuple[Option, ...] = (
    Option(
        name="--cdi-spec-dir",
        kind="list",
        metavar="DIR",
        completes="directory",
        help="Look for CDI devices here (default /etc/cdi and /var/run/cdi)",
    ),
    Option(
        name="--cgroup-manager",
        metavar="MANAGER",
        choices=("cgroupfs",),
        default="cgroupfs",
        hidden=True,
        refuse="rpod uses the cgroup that is delegated to it, and by itself asks systemd for a scope where limits need "
        "one; leave the option out",
    ),
    Option(name="--conmon", metavar="PATH", completes="file", help="The conmon program to use as monitor"),
    Option(name="--connection", short="-c", hidden=True, refuse=_REMOTE),
    Option(
        name="--events-backend",
        metavar="BACKEND",
        choices=("file", "none"),
        help="Where events are kept: file, or none",
        refuse="events are kept in a file of rpod's own; use --events-backend file",
    ),
    Option(
        name="--hooks-dir",
        kind="list",
        metavar="DIR",
        completes="directory",
        help="Also run the OCI hooks that this directory describes",
    ),
    Option(name="--identity", hidden=True, refuse=_REMOTE),
    Option(
        name="--log-level",
        metavar="LEVEL",
        choices=_LEVELS,
        default="warn",
        help="Show messages of this level and above",
    ),
    Option(
        name="--module",
        kind="list",
        metavar="NAME",
        completes="file",
        help="Also read this module of containers.conf (a path, or a name in containers.conf.modules)",
    ),
    Option(
        name="--namespace",
        hidden=True,
        refuse="rpod has no namespaces of libpod; keep containers apart with --root DIR --runroot DIR",
    ),
    Option(
        name="--network-cmd-path",
        hidden=True,
        refuse="slirp4netns and pasta are found by name; put the directory of the one you want first in PATH",
    ),
    Option(
        name="--imagestore",
        hidden=True,
        refuse="images lie in the store; use --root DIR, and --storage-opt additionalimagestore=DIR for shared ones",
    ),
    Option(
        name="--network-backend",
        hidden=True,
        refuse="there is one network backend; choose the network of a container with --network",
    ),
    Option(
        name="--network-config-dir",
        hidden=True,
        refuse="rpod has no networks to configure; choose the network of a container with --network",
    ),
    Option(name="--noout", kind="flag", help="Print nothing on stdout"),
    Option(name="--out", metavar="FILE", completes="file", help="Print to this file instead of stdout"),
    Option(name="--remote", short="-r", kind="flag", hidden=True, refuse=_REMOTE),
    Option(
        name="--root",
        metavar="DIR",
        completes="directory",
        help="Where images, containers and volumes are kept",
    ),
    Option(
        name="--runroot",
        metavar="DIR",
        completes="directory",
        help="Where what ends with the boot is kept",
    ),
    Option(name="--runtime", metavar="NAME|PATH", help="The OCI runtime: crun, runc or a path"),
    Option(name="--runtime-flag", kind="list", metavar="FLAG", help="Global flag for the OCI runtime (without --)"),
    Option(name="--ssh", hidden=True, refuse=_REMOTE),
    Option(
        name="--storage-driver",
        metavar="DRIVER",
        choices=("overlay", "fuse-overlayfs", "pyfuse3", "copy", "vfs"),
        help="How root file systems are mounted",
    ),
    Option(
        name="--storage-opt",
        kind="list",
        metavar="KEY=VALUE",
        help="Option for the storage driver; additionalimagestore=DIR: also use the images of that store, read-only",
    ),
    Option(
        name="--syslog",
        kind="flag",
        hidden=True,
        refuse="rpod writes to stderr only; redirect stderr to logger(1)",
    ),
    Option(
        name="--tmpdir",
        hidden=True,
        refuse="rpod has one place for what ends with the boot; use --runroot DIR",
    ),
    Option(
        name="--transient-store",
        kind="flag",
        hidden=True,
        refuse="what ends with the boot lies in the runtime directory already; use rpod run --rm",
    ),
    Option(name="--url", hidden=True, refuse=_REMOTE),
    Option(
        name="--volumepath",
        hidden=True,
        refuse="volumes lie in the store; use --root DIR, or mount a directory with -v DIR:/path",
    ),
    Option(name="--version", short="-v", kind="flag", help="Show the version and exit"),
)

RPOD = Command(
    name="rpod",
    summary="Containers without root and without a daemon",
    options=GLOBAL_OPTIONS,
    arguments=(Argument(name="COMMAND", kind="rest", help="The command and its words"),),
    interspersed=False,
    needs_userns=False,
)

# Known after the command's name too, as podman's are; their short forms are not.
INHERITED: set[int] = set()
"""The descriptors above 2 that our caller gave us: ``cli`` fills it in before anything else is opened."""

PERSISTENT: tuple[Option, ...] = tuple(option for option in GLOBAL_OPTIONS if option.name != "--version")


def make_globals(values: dict[str, object], after: dict[str, object]) -> Globals:
    """Join the options before the command's name and those after it (which win; lists are appended).

    Raises:
        Usage: an option needs another one.
    """
    joined = {key: value for key, value in values.items() if key in Globals._fields}
    for key, value in after.items():
        if key not in joined:
            continue  # an option that only has to be spelled right, such as --cgroup-manager cgroupfs
        held = joined[key]
        joined[key] = (*held, *value) if isinstance(held, tuple) and isinstance(value, tuple) else value
    if joined["storage_driver"] == "vfs":
        joined["storage_driver"] = "copy"
    for key in ("root", "runroot"):
        if joined[key] == "":
            raise Usage(f"option --{key} is empty", remedy=f"give a directory: --{key} DIR")
    return Globals(**joined)  # type: ignore[arg-type]

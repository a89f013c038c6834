"""Options of ``run`` and ``create`` about rights, namespaces and resources. HOT."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text, texts

_V1 = "cgroup v2 has no such control; leave the option out"
_LEFT_OUT = "Of cgroup v1; left out with a warning"


def _refused(name: str, reason: str, kind: str = "text") -> Option:
    return Option(name=name, kind=kind, hidden=True, refuse=reason)


_G = "Security"
SECURITY: tuple[Option, ...] = (
    flag("--privileged", "Give all rights that the user's namespace holds", group=_G),
    texts("--cap-add", "Add a capability", split=True, metavar="CAPABILITY", group=_G),
    texts("--cap-drop", "Drop a capability", split=True, metavar="CAPABILITY", group=_G),
    texts(
        "--security-opt",
        "no-new-privileges, seccomp=FILE|unconfined, mask=PATHS, unmask=PATHS|ALL, label=disable, apparmor=…",
        metavar="OPTION",
        group=_G,
    ),
    flag("--read-only", "Make the root file system read-only", group=_G),
    flag(
        "--read-only-tmpfs",
        "With --read-only, keep /run, /tmp and /var/tmp writable (default true)",
        default=True,
        group=_G,
    ),
    texts(
        "--sysctl", "Set a kernel parameter of the container's namespaces", split=True, metavar="KEY=VALUE", group=_G
    ),
    text(
        "--seccomp-policy",
        "Whose seccomp profile: default, or image (that in its label io.containers.seccomp.profile)",
        default="default",
        choices=("default", "image"),
        metavar="POLICY",
        group=_G,
    ),
    texts(
        "--secret",
        "Show a secret below /run/secrets or in a variable: NAME[,type=mount|env][,target=…][,uid=…,gid=…,mode=…]",
        dest="secrets",
        metavar="SECRET",
        group=_G,
    ),
    _refused("--device-cgroup-rule", "a user without root has no device cgroup; add the device with --device PATH"),
    texts(
        "--gpus",
        "Add NVIDIA GPUs: all, a number, or device=0,1 (as --device nvidia.com/gpu=…)",
        metavar="GPUS",
        group=_G,
    ),
)

_G = "Namespaces"
NAMESPACES: tuple[Option, ...] = (
    text(
        "--userns",
        "User namespace: host, keep-id[:uid=,gid=], nomap, auto, ns:PATH, container:NAME",
        metavar="MODE",
        group=_G,
    ),
    text("--pid", "Process namespace: private, host, container:NAME, ns:PATH", metavar="MODE", group=_G),
    text("--ipc", "IPC namespace: private, host, none, shareable, container:NAME, ns:PATH", metavar="MODE", group=_G),
    text("--uts", "Host name namespace: private, host, container:NAME, ns:PATH", metavar="MODE", group=_G),
    text("--cgroupns", "Cgroup namespace: private, host, container:NAME, ns:PATH", metavar="MODE", group=_G),
    texts("--uidmap", "Map of user ids, CONTAINER:INNER:SIZE", split=True, metavar="MAP", group=_G),
    texts("--gidmap", "Map of group ids, CONTAINER:INNER:SIZE", split=True, metavar="MAP", group=_G),
    text("--subuidname", "Take the user ids lent to this name in /etc/subuid", metavar="NAME", group=_G),
    text("--subgidname", "Take the group ids lent to this name in /etc/subgid", metavar="NAME", group=_G),
)

_G = "Resources"
RESOURCES: tuple[Option, ...] = (
    Option(name="--memory", short="-m", kind="size", default="", metavar="SIZE", help="Most memory", group=_G),
    text("--memory-swap", "Most memory and swap together (-1: no limit)", metavar="SIZE", group=_G),
    Option(
        name="--memory-reservation",
        kind="size",
        default="",
        metavar="SIZE",
        help="Memory to stay below when the host runs short",
        group=_G,
    ),
    Option(name="--cpus", kind="float", default="", metavar="NUMBER", help="Most processors, such as 1.5", group=_G),
    Option(
        name="--cpu-shares",
        short="-c",
        kind="uint",
        default="",
        keep_text=True,
        metavar="NUMBER",
        help="Weight among others that want the processor (1024 is usual)",
        group=_G,
    ),
    Option(
        name="--cpu-quota",
        kind="int",
        default="",
        keep_text=True,
        metavar="MICROSECONDS",
        help="Processor time in each period",
        group=_G,
    ),
    Option(
        name="--cpu-period",
        kind="uint",
        default="",
        keep_text=True,
        metavar="MICROSECONDS",
        help="Length of a period",
        group=_G,
    ),
    text("--cpuset-cpus", "Processors that may be used, such as 0-3", metavar="LIST", group=_G),
    text("--cpuset-mems", "Memory nodes that may be used", metavar="LIST", group=_G),
    Option(
        name="--pids-limit",
        kind="int",
        default="",
        keep_text=True,
        metavar="NUMBER",
        help="Most processes (-1: no limit)",
        group=_G,
    ),
    texts("--ulimit", "Resource limit NAME=SOFT[:HARD], or host", split=True, metavar="LIMIT", group=_G),
    Option(name="--shm-size", kind="size", default="", metavar="SIZE", help="Size of /dev/shm (default 64m)", group=_G),
    text(
        "--cgroups",
        "Whether the container gets cgroups",
        default="enabled",
        choices=("enabled", "disabled", "no-conmon", "split"),
        metavar="MODE",
        group=_G,
    ),
    text("--cgroup-parent", "The cgroup to make the container's in", metavar="PATH", group=_G),
    texts("--cgroup-conf", "Write a file of the container's cgroup v2", split=True, metavar="FILE=VALUE", group=_G),
    text("--blkio-weight", "Weight among others that want a block device (10 to 1000)", metavar="NUMBER", group=_G),
    texts("--blkio-weight-device", "Weight for one device", split=True, metavar="DEVICE:WEIGHT", group=_G),
    texts("--device-read-bps", "Most bytes a second read from a device", split=True, metavar="DEVICE:SIZE", group=_G),
    texts("--device-write-bps", "Most bytes a second written to it", split=True, metavar="DEVICE:SIZE", group=_G),
    texts("--device-read-iops", "Most reads a second from a device", split=True, metavar="DEVICE:NUMBER", group=_G),
    texts("--device-write-iops", "Most writes a second to it", split=True, metavar="DEVICE:NUMBER", group=_G),
    Option(name="--cpu-rt-period", kind="uint", metavar="MICROSECONDS", help=_LEFT_OUT, group=_G),
    Option(name="--cpu-rt-runtime", kind="int", metavar="MICROSECONDS", help=_LEFT_OUT, group=_G),
    Option(name="--memory-swappiness", kind="int", metavar="NUMBER", help=_LEFT_OUT, group=_G),
    _refused("--kernel-memory", _V1),
    _refused("--oom-kill-disable", _V1, "flag"),
    _refused("--rdt-class", "resctrl groups need root; leave the option out"),
    _refused(
        "--shm-size-systemd", "the extra mounts of systemd mode have the kernel's size; use --tmpfs PATH:size=SIZE"
    ),
)

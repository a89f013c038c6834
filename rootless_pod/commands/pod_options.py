"""The options of ``pod create``. Spelling and types: podman-pod-create(1)."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text, texts
from rootless_pod.commands.run_options_limits import NAMESPACES, RESOURCES, SECURITY
from rootless_pod.commands.run_options_places import NETWORK, STORAGE

_LIMITS = frozenset(
    (
        "--memory", "--memory-swap", "--cpus", "--cpu-shares", "--cpuset-cpus", "--cpuset-mems", "--cgroup-parent",
        "--shm-size", "--blkio-weight", "--blkio-weight-device", "--device-read-bps", "--device-write-bps",
    )
)  # fmt: skip
_NETWORK = frozenset(
    (
        "--network", "--publish", "--hostname", "--add-host", "--dns", "--dns-option", "--dns-search", "--no-hosts",
        "--hosts-file",
        "--ip", "--ip6", "--mac-address", "--network-alias",
    )
)  # fmt: skip
_NAMESPACES = frozenset(("--userns", "--pid", "--uts", "--uidmap", "--gidmap", "--subuidname", "--subgidname"))


def _some(options: tuple[Option, ...], names: frozenset[str], **changes: str) -> tuple[Option, ...]:
    return tuple(one.replace(**changes) for one in options if one.name in names)


_G = "Pod"
POD: tuple[Option, ...] = (
    text("--name", "Name of the pod", "-n", metavar="NAME", group=_G),
    flag("--replace", "Remove a pod of the same name first", group=_G),
    texts("--label", "Set a label", "-l", dest="labels", metavar="KEY=VALUE", group=_G),
    texts("--label-file", "Read labels from a file", dest="label_files", split=True, completes="file", group=_G),
    text("--pod-id-file", "Write the pod's id to a file", metavar="FILE", completes="file", group=_G),
    text(
        "--share",
        "Namespaces the containers share: cgroup, ipc, net, pid, user, uts or none; +NAME adds to the default"
        " (default ipc,net,uts)",
        default=None,
        metavar="NAMES",
        group=_G,
    ),
    flag(
        "--share-parent",
        "Lay the cgroups of the containers below the pod's (default true)",
        default=True,
        group=_G,
    ),
    text(
        "--exit-policy",
        "What becomes of the pod when its last container exits: continue or stop",
        default="continue",
        metavar="POLICY",
        group=_G,
    ),
)
_G = "Infra container"
INFRA: tuple[Option, ...] = (
    flag("--infra", "Make a container that holds the shared namespaces (default true)", default=True, group=_G),
    text("--infra-name", "Name of the infra container", metavar="NAME", group=_G),
    text("--infra-image", "Make the infra container from an image", metavar="IMAGE", completes="image", group=_G),
    text("--infra-command", "With --infra-image: what it runs", metavar="COMMAND", group=_G),
    text(
        "--infra-conmon-pidfile",
        "Write the process id of the infra container's monitor to a file",
        metavar="FILE",
        completes="file",
        group=_G,
    ),
)
POD_OPTIONS: tuple[Option, ...] = (
    *POD,
    *INFRA,
    *_some(NETWORK, _NETWORK),
    *_some(STORAGE, frozenset(("--volume", "--volumes-from", "--device"))),
    *_some(SECURITY, frozenset(("--security-opt", "--sysctl"))),
    *_some(NAMESPACES, _NAMESPACES),
    *_some(RESOURCES, _LIMITS),
)

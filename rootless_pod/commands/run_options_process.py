"""Options of ``run`` and ``create`` about the process, its image and its name. HOT.

Spelling and types: podman-run(1). A key that is a field of ``SpecRequest`` has that field's type and default.
"""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text, texts


def _refused(name: str, reason: str, **more: str) -> Option:
    return Option(name=name, hidden=True, refuse=reason, **more)  # type: ignore[arg-type]


_G = "Process"
PROCESS: tuple[Option, ...] = (
    text("--entrypoint", "Program to start instead of the image's (a word or a JSON list)", default=None, group=_G),
    texts(
        "--env",
        "Set a variable (NAME=value), or hand on the caller's (NAME, PRE*)",
        "-e",
        metavar="NAME=VALUE",
        group=_G,
    ),
    texts("--env-file", "Read variables from a file", dest="env_files", split=True, completes="file", group=_G),
    flag("--env-host", "Hand on all variables of the caller", group=_G),
    texts(
        "--env-merge", "Build a variable from the image's, such as PATH=${PATH}:/more", metavar="NAME=VALUE", group=_G
    ),
    texts("--unsetenv", "Leave out a default variable", metavar="NAME", group=_G),
    flag("--unsetenv-all", "Leave out all default variables", group=_G),
    flag("--http-proxy", "Hand on the caller's proxy variables (default true)", default=True, group=_G),
    text("--workdir", "Working directory in the container", "-w", dest="working_dir", metavar="DIR", group=_G),
    text("--user", "User and group in the container (name or id)", "-u", metavar="USER[:GROUP]", group=_G),
    texts(
        "--group-add", "Add a supplementary group, or keep-groups", dest="groups", split=True, metavar="GROUP", group=_G
    ),
    flag("--interactive", "Keep stdin open", "-i", dest="stdin_open", group=_G),
    flag("--tty", "Give the container a terminal", "-t", dest="terminal", group=_G),
    texts(
        "--attach",
        "Attach to these streams only (stdin, stdout, stderr)",
        "-a",
        split=True,
        metavar="STREAM",
        group=_G,
    ),
    flag("--init", "Run an init as process 1 that forwards signals and reaps", group=_G),
    text("--init-path", "The init program on the host", metavar="PATH", completes="file", group=_G),
    text("--stop-signal", "Signal that asks the container to stop (default SIGTERM)", metavar="SIGNAL", group=_G),
    Option(
        name="--stop-timeout",
        kind="uint",
        default=10,
        metavar="SECONDS",
        help="Seconds that stop waits before it kills (default 10)",
        group=_G,
    ),
    Option(name="--timeout", kind="uint", metavar="SECONDS", help="Kill the container after this time", group=_G),
    text("--umask", "Umask of the process (default 0022)", metavar="OCTAL", group=_G),
    text("--tz", "Time zone (Area/City, or local)", dest="timezone", metavar="ZONE", group=_G),
    Option(
        name="--oom-score-adj",
        kind="int",
        metavar="NUMBER",
        help="How eagerly the kernel ends it when memory runs out (-1000 to 1000)",
        group=_G,
    ),
    Option(
        name="--systemd",
        choices=("true", "false", "always"),
        default="true",
        metavar="MODE",
        help="Prepare what a systemd in the container needs (true: when it is the command)",
        group=_G,
    ),
    texts(
        "--hostuser", "Add a user of the host to /etc/passwd", dest="hostusers", split=True, metavar="USER", group=_G
    ),
    text("--passwd-entry", "The line for the user in /etc/passwd", metavar="LINE", group=_G),
    text("--group-entry", "The line for the group in /etc/group", metavar="LINE", group=_G),
    text(
        "--sdnotify",
        "Who tells systemd ($NOTIFY_SOCKET) that it is ready: container, conmon (at once), healthy, or ignore",
        default="container",
        choices=("container", "conmon", "healthy", "ignore"),
        metavar="MODE",
        group=_G,
    ),
    text("--personality", "Execution domain: LINUX or LINUX32", metavar="DOMAIN", group=_G),
    _refused("--preserve-fd", "only a number of descriptors can be handed on; use --preserve-fds COUNT"),
)

RUN_ONLY: tuple[Option, ...] = (
    flag("--detach", "Run in the background and print the container's id", "-d", group=_G),
    text(
        "--detach-keys",
        "Keys that detach the terminal (default ctrl-p,ctrl-q)",
        default="ctrl-p,ctrl-q",
        metavar="KEYS",
        group=_G,
    ),
    flag("--sig-proxy", "Hand signals on to the process (default true)", default=True, group=_G),
    flag("--passwd", "Add the user to /etc/passwd and /etc/group (default true)", default=True, group=_G),
    Option(
        name="--preserve-fds",
        kind="uint",
        default=0,
        metavar="COUNT",
        help="Hand on this many descriptors after stderr",
        group=_G,
    ),
    flag("--rmi", "Remove the image too, unless another container uses it; implies --rm", group=_G),
)

_G = "Container"
CONTAINER: tuple[Option, ...] = (
    text("--name", "Name of the container", metavar="NAME", group=_G),
    flag("--replace", "Remove a container of the same name first", group=_G),
    flag("--rm", "Remove the container when it exits", group=_G),
    texts("--label", "Set a label", "-l", dest="labels", metavar="KEY=VALUE", group=_G),
    texts("--label-file", "Read labels from a file", dest="label_files", split=True, completes="file", group=_G),
    texts(
        "--annotation",
        "Set an annotation of the OCI spec",
        dest="annotations",
        split=True,
        metavar="KEY=VALUE",
        group=_G,
    ),
    text("--cidfile", "Write the container's id to a file", metavar="FILE", completes="file", group=_G),
    text("--pidfile", "Write the process id to a file", metavar="FILE", completes="file", group=_G),
    text("--conmon-pidfile", "Write the monitor's process id to a file", metavar="FILE", completes="file", group=_G),
    text(
        "--log-driver",
        "Where the output goes",
        default="k8s-file",
        choices=("k8s-file", "json-file", "none", "passthrough", "journald", ""),
        metavar="DRIVER",
        group=_G,
    ),
    texts("--log-opt", "Option of the log driver: path=, max-size=, tag=", split=True, metavar="KEY=VALUE", group=_G),
    text(
        "--restart",
        "Start it again when it exits: no, always, on-failure[:RETRIES] or unless-stopped",
        metavar="POLICY",
        group=_G,
    ),
    texts(
        "--requires",
        "Containers that are started before it, and can't be removed before it",
        split=True,
        completes="container",
        metavar="CONTAINER",
        group=_G,
    ),
    flag("--dry-run", "Print what would happen (namespaces, mounts, network, config.json) and do nothing", group=_G),
    text("--pod", "Make it a container of this pod (new:NAME makes the pod)", metavar="POD", group=_G),
    text("--pod-id-file", "Read the pod's id from a file", metavar="FILE", completes="file", group=_G),
)

_G = "Image"
IMAGE: tuple[Option, ...] = (
    text(
        "--pull",
        "When to pull the image",
        default="missing",
        choices=("always", "missing", "never", "newer", "true", "false"),
        metavar="POLICY",
        group=_G,
    ),
    flag("--quiet", "Show no progress of a pull", "-q", group=_G),
    text("--platform", "Choose the image for OS/ARCH[/VARIANT]", metavar="PLATFORM", group=_G),
    text("--arch", "Choose the image for this architecture", metavar="ARCH", group=_G),
    text("--os", "Choose the image for this system", metavar="OS", group=_G),
    text("--variant", "Choose the image for this variant", metavar="VARIANT", group=_G),
    text("--authfile", "File of registry credentials", metavar="FILE", completes="file", group=_G),
    text("--creds", "Credentials for the registry", metavar="USER[:PASSWORD]", group=_G),
    text("--cert-dir", "Directory of certificates for the registry", metavar="DIR", completes="directory", group=_G),
    flag("--tls-verify", "Speak HTTPS and check certificates (default true)", default=True, group=_G),
    flag("--rootfs", "The first argument is a directory that holds a root file system", group=_G),
    flag(
        "--disable-content-trust",
        "",
        hidden=True,
        refuse="images are always checked by digest, there is no other trust to switch off; leave the option out",
    ),
    _refused("--decryption-key", "encrypted images are not supported; pull a decrypted copy"),
)

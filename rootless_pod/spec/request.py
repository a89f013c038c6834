"""What the user asked about the container's process, as typed; ``generate`` gives it a meaning. HOT."""

from __future__ import annotations

from rootless_pod.frozen import Frozen


class SpecRequest(Frozen):
    """The options of ``run``/``create`` that end up in the OCI runtime-spec.

    Texts are as typed on the command line: ``spec/`` parses them and raises
    ``Usage`` naming the option. An empty text, an empty tuple or ``None`` says
    "not given". Lists keep the order of the command line.
    """

    # the process
    command: tuple[str, ...] = ()  # the words after the image
    entrypoint: str | tuple[str, ...] | None = None  # a shell word or a JSON array; "" clears the image's
    env: tuple[str, ...] = ()  # "NAME=value", "NAME" (value of the caller's environment), "PRE*"
    env_file: tuple[str, ...] = ()  # the lines of the files of --env-file, already read, in the same syntax
    default_env: tuple[str, ...] = ()  # of containers.conf; the image's own win over it
    env_host: bool = False
    env_merge: tuple[str, ...] = ()  # "PATH=${PATH}:/more"
    unsetenv: tuple[str, ...] = ()
    unsetenv_all: bool = False
    http_proxy: bool = True  # hand http_proxy & co. of the caller's environment on
    working_dir: str = ""
    user: str = ""  # name|uid[:group|gid]
    groups: tuple[str, ...] = ()  # --group-add: name, gid or keep-groups
    hostname: str = ""
    terminal: bool = False
    stdin_open: bool = False
    init: bool = False
    init_path: str = ""  # the init program on the host (catatonit), found by the conductor
    umask: str = ""
    timezone: str = ""  # --tz: Area/City, "local" or ""
    oom_score_adj: int | None = None
    stop_signal: str = ""
    systemd: str = "true"  # true|false|always
    preserve_fds: int = 0
    personality: str = ""  # LINUX, LINUX32

    # passwd and group of the container
    passwd: bool = True
    passwd_entry: str = ""
    group_entry: str = ""
    hostusers: tuple[str, ...] = ()

    # security
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    default_capabilities: tuple[str, ...] = ()  # of containers.conf, instead of ours
    security_opt: tuple[str, ...] = ()  # no-new-privileges, seccomp=, label=, apparmor=, mask=, unmask=, proc-opts=
    seccomp_policy: str = "default"  # default, or image: the profile that the image carries in a label
    read_only: bool = False
    read_only_tmpfs: bool = True
    sysctl: tuple[str, ...] = ()
    default_sysctl: tuple[str, ...] = ()  # of containers.conf: those of shared namespaces are left out
    default_ulimit: tuple[str, ...] = ()  # of containers.conf: cut to our own hard limits
    ulimit: tuple[str, ...] = ()  # "host" or "nofile=1024:2048"

    # mounts and devices
    shm_size: str = ""
    tmpfs: tuple[str, ...] = ()  # "/dst[:options]"
    devices: tuple[str, ...] = ()  # "/dev/x[:/dev/y[:rwm]]"
    image_volume: str = "bind"  # bind|tmpfs|ignore (bind = an anonymous volume)
    bind_hosts: bool = True  # bind run_dir/hosts at /etc/hosts (False: --no-hosts)
    bind_resolv_conf: bool = True
    bind_hostname: bool = True

    # namespaces
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    userns: str = ""  # host, private, keep-id[:uid=,gid=,size=], nomap, auto, ns:PATH, container:ID
    cgroupns: str = ""
    uidmap: tuple[str, ...] = ()  # container:inner:size in the user's namespace
    gidmap: tuple[str, ...] = ()

    # resources
    cgroups: str = "enabled"  # enabled|disabled|no-conmon|split
    cgroup_parent: str = ""
    memory: str = ""
    memory_swap: str = ""
    memory_reservation: str = ""
    cpus: str = ""
    cpu_shares: str = ""
    cpu_quota: str = ""
    cpu_period: str = ""
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: str = ""
    blkio_weight: str = ""
    blkio_weight_device: tuple[str, ...] = ()  # "/dev/sda:200"
    device_read_bps: tuple[str, ...] = ()  # "/dev/sda:1mb"
    device_write_bps: tuple[str, ...] = ()
    device_read_iops: tuple[str, ...] = ()  # "/dev/sda:1000"
    device_write_iops: tuple[str, ...] = ()
    default_pids_limit: str = ""  # of containers.conf, where there is a cgroup that can hold it
    cgroup_conf: tuple[str, ...] = ()  # "memory.high=1073741824"

    # words kept beside the process
    annotations: tuple[str, ...] = ()  # "key=value"
    labels: tuple[str, ...] = ()  # "key=value"

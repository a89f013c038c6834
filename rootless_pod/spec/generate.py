"""Everything prepared → the OCI runtime-spec of one container. HOT.

Pure apart from reading /etc/passwd and /etc/group inside the root file system and looking whether what the options
name exists. Source: runtime-spec 1.0.2 (what crun 1.8 and runc 1.1 read); podman 4.3.1 (probed) for the defaults.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.linux.procfs import read_text
from rootless_pod.spec import devices, mounts, namespaces, process, rootless, security
from rootless_pod.spec.quantities import parse_octal, parse_pair
from rootless_pod.spec.resources import choose_resources
from rootless_pod.spec.rootless import NO_MAPPING, UserMapping
from rootless_pod.spec.user import KEEP_GROUPS, User, find_user, group_line, passwd_line, read_accounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless_pod.fuse.driver import IdShift
    from rootless_pod.oci.image import ImageConfig
    from rootless_pod.oci.runtime import ResolvedMount
    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.namespaces import Namespaces
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.spec.user import Accounts
    from rootless_pod.userns.idmap import IdMap, IdRange

OCI_VERSION = "1.0.2"
_SECCOMP_LABEL = "io.containers.seccomp.profile"
_HOST_NAME_MAX = 64


class Spec(Frozen):
    """The spec of one container, and what has to be there before the runtime sees it.

    ``config`` lacks ``linux.seccomp``, which is kept as text (``bundle.config_text`` puts both together).
    ``files`` are written into the run directory; ``directories`` (path, owner) and ``appends`` (path, line) belong
    into the mounted root file system (``prepare.prepare_rootfs``). Owners are ids of the user's namespace.
    """

    config: dict[str, Any]
    seccomp: str
    seccomp_name: str
    user: User
    owner: tuple[int, int]  # the process's ids in the user's namespace
    mapping: UserMapping
    shift: IdShift | None = None
    files: tuple[tuple[str, str], ...] = ()
    directories: tuple[tuple[str, tuple[int, int]], ...] = ()
    appends: tuple[tuple[str, str], ...] = ()
    systemd: bool = False
    needs_crun: str = ""  # why runc (1.1) can't run it
    notes: tuple[str, ...] = ()


def generate(
    request: SpecRequest,
    *,
    container_id: str,
    image_config: ImageConfig | None,
    rootfs: str,
    netns_path: str | None,
    run_dir: str,
    id_map: IdMap,
    host: HostFacts,
    volumes: tuple[ResolvedMount, ...] = (),
    namespaces: Mapping[str, str | None] | None = None,
    cgroups_path: str | None = None,
    image_name: str = "",
    runtime: str = "crun",
    joined_mapping: UserMapping | None = None,
) -> Spec:
    """Make the spec.

    ``netns_path``: None is the host's network, "" a new empty one made by the runtime. ``namespaces`` holds the
    paths of joined ones (pid, ipc, uts, user, cgroup), ``joined_mapping`` the ranges of a joined user namespace.
    ``cgroups_path`` is the container's own cgroup, or None.

    Raises:
        Usage, NotFound, Refused, HostUnready: what an option asks for is wrong, missing or not possible here.
    """
    return _Making(
        request=request,
        container_id=container_id,
        image=image_config,
        rootfs=rootfs,
        run_dir=run_dir,
        id_map=id_map,
        host=host,
        cgroups_path=cgroups_path,
        image_name=image_name,
        runtime=runtime,
        joined_mapping=joined_mapping,
    ).make(netns_path, volumes, namespaces or {})


class _Making(Frozen):
    """The arguments of one call, so that each part of the spec can be a short method."""

    request: SpecRequest
    container_id: str
    image: ImageConfig | None
    rootfs: str
    run_dir: str
    id_map: IdMap
    host: HostFacts
    cgroups_path: str | None
    image_name: str
    runtime: str
    joined_mapping: UserMapping | None

    def make(
        self, netns_path: str | None, volumes: tuple[ResolvedMount, ...], joined: Mapping[str, str | None]
    ) -> Spec:
        """Decide in the order in which one thing depends on another."""
        request, host = self.request, self.host
        accounts = read_accounts(self.rootfs)
        mapping, user = self._mapping_and_user(joined.get("user"), accounts)
        args = process.compose_args(request, self.image)
        systemd = self._systemd(args)
        spaces = namespaces.choose_namespaces(request, joined, host, netns_path=netns_path, mapping=mapping)
        options = security.parse_security(request.security_opt, host)
        capabilities = security.choose_capabilities(request, user.uid, host)
        carried = self.image.labels.get(_SECCOMP_LABEL, "") if request.seccomp_policy == "image" and self.image else ""
        seccomp, seccomp_name = security.choose_seccomp(
            options, host, capabilities, privileged=request.privileged, carried=carried
        )
        files, appends, user = self._accounts(accounts, mapping, user)
        hostname = self._hostname(spaces)
        table = self._mounts(spaces, mapping, options, volumes, systemd=systemd, copies=len(files) > 1)
        masked, readonly = security.choose_paths(
            options, privileged=request.privileged, bound_sys=mounts.binds_sys(spaces)
        )
        directory = process.choose_directory(request, self.image)
        uids, gids = (mapping.uids, mapping.gids) if mapping.own else (None, None)
        owner = (_outer(uids, user.uid), _outer(gids, user.gid))
        environment = process.compose_environment(request, self.image, host, hostname=hostname, home=user.home)
        if systemd:
            environment = (*environment, f"container_uuid={self.container_id[:32]}")
        linux: dict[str, Any] = {
            "namespaces": spaces.to_json(),
            "sysctl": namespaces.choose_sysctls(request, spaces),
            "maskedPaths": list(masked),
            "readonlyPaths": list(readonly),
            **self._linux(spaces, mapping, table),
        }
        config: dict[str, Any] = {
            "ociVersion": OCI_VERSION,
            "process": {
                "terminal": request.terminal,
                "user": self._process_user(user),
                "args": list(args),
                "env": list(environment),
                "cwd": directory,
                "capabilities": capabilities.to_json(),
                "rlimits": process.compose_limits(request, host),
                "noNewPrivileges": options.no_new_privileges,
                **self._oom_score(),
            },
            "root": {"path": self.rootfs, "readonly": request.read_only},
            **({"hostname": hostname} if spaces.uts == namespaces.NEW else {}),
            "mounts": [mount.to_json() for mount in table],
            "annotations": self._annotations(systemd=systemd),
            "linux": linux,  # last: bundle.config_text relies on it
        }
        return Spec(
            config=config,
            seccomp=seccomp,
            seccomp_name=seccomp_name,
            user=user,
            owner=owner,
            mapping=mapping,
            shift=rootless.id_shift(mapping, self.id_map),
            files=files,
            directories=((directory, owner),) if directory != "/" else (),
            appends=appends,
            systemd=systemd,
            needs_crun=self._needs_crun(mapping),
            notes=tuple(note for note in (mapping.reason, self._note_of_root(accounts, user)) if note),
        )

    def _mapping_and_user(self, join_path: str | None, accounts: Accounts) -> tuple[UserMapping, User]:
        request = self.request
        mapping = rootless.plan_mapping(
            request.userns, self.id_map, uidmap=request.uidmap, gidmap=request.gidmap, join_path=join_path
        )
        if join_path and self.joined_mapping is not None:
            mapping = self.joined_mapping.replace(path=join_path) if self.joined_mapping.own else NO_MAPPING
        if KEEP_GROUPS in request.groups and len(request.groups) > 1:
            raise Usage("the '--group-add keep-groups' option is not allowed with any other --group-add options")
        added = () if request.groups == (KEEP_GROUPS,) else request.groups
        wanted = request.user or (self.image.user if self.image else "") or mapping.default_user
        user = find_user(accounts, wanted, added)
        if mapping.own and self.id_map.single_id and ":" not in wanted and len(mapping.gids) == 1:
            # The one group there is: a user without a row would be in group 0, which nobody can be here.
            user = user.replace(gid=mapping.gids[0].container_id, groups=())
        if not mapping.own and self.id_map.single_id and (user.uid, user.gid) != (0, 0):
            if self.runtime == "runc":
                # runc wants an id 0 in the container; the one id there is can't be two. It is the same one outside.
                user = find_user(accounts, "0:0", ())
            else:
                mapping = rootless.imply_mapping(user.uid, user.gid, self.id_map)
        rootless.require_mapped(user.uid, user.gid, mapping, self.id_map)
        return mapping, user

    def _note_of_root(self, accounts: Accounts, user: User) -> str:
        """Say it where the process is root though another user was meant."""
        wanted = self.request.user or (self.image.user if self.image else "")
        if not wanted or self.runtime != "runc" or not self.id_map.single_id or user.uid != 0:
            return ""
        if find_user(accounts, wanted, ()).uid == 0:
            return ""
        return f"runs as root (your own id) and not as {wanted}: runc can't give the only id another number, crun can"

    def _needs_crun(self, mapping: UserMapping) -> str:
        if self.request.personality:
            return "--personality is known to crun alone"
        if KEEP_GROUPS in self.request.groups and self.host.setgroups_allowed:
            return "--group-add keep-groups is an extension of crun"
        if mapping.own and not mapping.path and rootless.to_parent(mapping.uids, 0) is None:
            return "the container's user namespace has no id 0, which runc wants"
        return ""

    def _process_user(self, user: User) -> dict[str, Any]:
        value: dict[str, Any] = {"uid": user.uid, "gid": user.gid, "umask": 0o022}
        if self.request.umask:
            value["umask"] = parse_octal(self.request.umask, "--umask", maximum=0o777)
        # setgroups(2) is denied in a namespace with one id: the kernel then keeps the caller's groups.
        if user.groups and self.host.setgroups_allowed and KEEP_GROUPS not in self.request.groups:
            value["additionalGids"] = list(user.groups)
        return value

    def _systemd(self, args: tuple[str, ...]) -> bool:
        mode = self.request.systemd.lower()
        if mode not in ("true", "false", "always"):
            raise Usage(f"--systemd: {self.request.systemd!r} is not a mode", remedy="use true, false or always")
        wanted = process.runs_systemd(mode, args)
        if wanted and self.host.cgroups.layout != "v2" and mode == "always":
            raise HostUnready(
                f"--systemd always needs cgroups v2, and this machine has {self.host.cgroups.layout}",
                remedy="boot with systemd.unified_cgroup_hierarchy=1",
            )
        return wanted

    def _hostname(self, spaces: Namespaces) -> str:
        hostname = self.request.hostname
        if len(hostname) > _HOST_NAME_MAX or "/" in hostname or "\n" in hostname:
            raise Usage(f"--hostname {hostname!r} is not a host name of at most {_HOST_NAME_MAX} characters")
        if hostname:
            return hostname
        shared = namespaces.HOST in (spaces.net, spaces.uts)
        return self.host.hostname if shared else self.container_id[:12]

    def _accounts(
        self, accounts: Accounts, mapping: UserMapping, user: User
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], User]:
        """Name the user and group the image does not list: appended to its files, or shown as copies if read-only."""
        request, host = self.request, self.host
        files = [(".containerenv", self._container_env())]
        lines: dict[str, list[str]] = {"/etc/passwd": [], "/etc/group": []}
        if request.passwd and accounts.passwd:
            name = host.user_name if mapping.keeps_user and not request.user else ""
            home = host.user_home if name and os.path.isabs(host.user_home) else "/"
            if not user.listed:
                lines["/etc/passwd"].append(passwd_line(user, request.passwd_entry, name=name))
                user = user.replace(name=name or str(user.uid), home=user.home if not name else "/")
            if accounts.group and not user.group_listed:
                lines["/etc/group"].append(group_line(user, request.group_entry, name=name))
            listed = {row[0] for row in accounts.passwd}
            wanted = [one for one in request.hostusers if one not in listed]
            lines["/etc/passwd"] += [_host_passwd_line(one, home) for one in wanted]
        if not request.read_only:
            appends = tuple((path, line) for path, added in lines.items() for line in added)
            return tuple(files), appends, user
        if any(lines.values()):
            for path, rows in (("/etc/passwd", accounts.passwd), ("/etc/group", accounts.group)):
                text = "\n".join([*(":".join(row) for row in rows), *lines[path]]) + "\n"
                files.append((path.rpartition("/")[2], text))
        return tuple(files), (), user

    def _container_env(self) -> str:
        lines = ['engine="rpod"', f'id="{self.container_id}"', f'image="{self.image_name}"', "rootless=1"]
        return "\n".join(lines) + "\n"

    def _mounts(
        self,
        spaces: Namespaces,
        mapping: UserMapping,
        options: security.SecurityOptions,
        volumes: tuple[ResolvedMount, ...],
        *,
        systemd: bool,
        copies: bool,
    ) -> tuple[ResolvedMount, ...]:
        request = self.request
        kernel = mounts.kernel_mounts(
            request,
            spaces,
            self.host,
            mapping=mapping,
            id_map=self.id_map,
            proc_options=options.proc_options,
            writable_cgroup=systemd and self.host.cgroups.layout == "v2",
        )
        asked = devices.device_mounts(request.devices)
        wanted = (*mounts.tmpfs_mounts(request.tmpfs), *volumes, *asked)
        if request.privileged:
            taken = {mount.target for mount in wanted}
            wanted += tuple(mount for mount in devices.privileged_devices() if mount.target not in taken)
        return mounts.merge(
            kernel,
            mounts.file_mounts(request, run_dir=self.run_dir, accounts=copies),
            mounts.scratch_mounts(request, systemd=systemd),
            wanted,
        )

    def _linux(self, spaces: Namespaces, mapping: UserMapping, table: tuple[ResolvedMount, ...]) -> dict[str, Any]:
        linux: dict[str, Any] = {}
        if spaces.user == namespaces.NEW:
            linux["uidMappings"] = rootless.mapping_json(mapping.uids)
            linux["gidMappings"] = rootless.mapping_json(mapping.gids)
        has_cgroup = self.cgroups_path is not None and self.request.cgroups != "disabled"
        linux["resources"] = choose_resources(self.request, self.host.cgroups, has_cgroup=has_cgroup)
        if has_cgroup:
            linux["cgroupsPath"] = self.cgroups_path
        if self.request.personality:
            linux["personality"] = {"domain": process.choose_personality(self.request.personality)}
        propagation = mounts.root_propagation(table)
        if propagation:
            linux["rootfsPropagation"] = propagation
        return linux

    def _oom_score(self) -> dict[str, int]:
        wanted = self.request.oom_score_adj
        if wanted is None:
            return {}
        if not -1000 <= wanted <= 1000:
            raise Usage(f"--oom-score-adj {wanted} is out of range (-1000 to 1000)")
        try:
            own = int(read_text("/proc/self/oom_score_adj"))
        except (OSError, ValueError):
            own = 0
        if wanted < own:
            raise Refused(
                f"--oom-score-adj {wanted}: only root may go below this session's own value, {own}",
                remedy=f"use {own} or more",
            )
        return {"oomScoreAdj": wanted}

    def _annotations(self, *, systemd: bool) -> dict[str, str]:
        annotations = {"io.container.manager": "rpod"}
        if systemd:
            annotations["org.opencontainers.image.stopSignal"] = str(process.SYSTEMD_STOP_SIGNAL)
        if KEEP_GROUPS in self.request.groups:
            annotations["run.oci.keep_original_groups"] = "1"
        annotations.update(parse_pair(text, "--annotation") for text in self.request.annotations)
        return annotations


def _outer(ranges: tuple[IdRange, ...] | None, container_id: int) -> int:
    """Return an id as the user's namespace has it; the same where the container has no namespace of its own."""
    if not ranges:
        return container_id
    outer = rootless.to_parent(ranges, container_id)
    return 0 if outer is None else outer


def _host_passwd_line(name: str, home: str) -> str:
    import pwd

    from rootless_pod.errors import NotFound

    try:
        entry = pwd.getpwnam(name)
    except KeyError as cause:
        raise NotFound(f"--hostuser: the host has no user {name!r}") from cause
    directory = home if home != "/" else entry.pw_dir
    return f"{entry.pw_name}:*:{entry.pw_uid}:{entry.pw_gid}:{entry.pw_gecos}:{directory}:{entry.pw_shell}"

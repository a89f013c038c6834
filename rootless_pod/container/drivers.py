"""Which drivers a container uses, and taking its root file system down with the one it was mounted by. HOT."""

from __future__ import annotations

from rootless_pod.runtime.choose import choose_runtime
from rootless_pod.storage.rootfs import RootfsRecord, unmount_rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.fuse.driver import StorageDriver
    from rootless_pod.runtime.driver import Choice, Runtime


def runtime_choice(context: Context, wanted: str | None = None) -> Choice:
    """Return the OCI runtime for new containers, and why it is this one."""
    choice = choose_runtime(
        wanted or context.runtime,
        probes_dir=context.paths.probes,
        runtime_root=context.paths.runtime_root,
    )
    choice.driver.flags = tuple(f"--{flag.removeprefix('--')}" for flag in context.runtime_flags)
    return choice


def wanted_runtime(context: Context, config: ContainerConfig, *, again: bool = False) -> str | None:
    """Return the runtime to start a container with: typed now, its own, or as configured (None: choose).

    ``again``: a start nobody typed anything for.
    """
    own = config.request.runtime
    if own and (again or context.runtime_is_default or context.runtime is None):
        return own
    return context.runtime


def runtime_of(context: Context, state: dict[str, Any]) -> Runtime:
    """Return the runtime a container was started with."""
    return runtime_choice(context, state.get("runtime")).driver


def storage_driver(context: Context, state: dict[str, Any], *, id_shift: bool = False) -> StorageDriver:
    """Return the storage driver: the one the container was mounted with before, else the choice for this store."""
    from rootless_pod.fuse.choose import choose_storage

    return choose_storage(
        state.get("driver") or context.storage_driver,
        probes_dir=context.paths.probes,
        scratch_dir=f"{context.paths.graphroot}/scratch",
        id_shift=id_shift,
    ).driver


def conmon_path(context: Context) -> str:
    """Return the monitor program.

    Raises:
        HostUnready: it is not installed.
    """
    from rootless_pod.errors import HostUnready
    from rootless_pod.programs.find import find_program

    path = find_program(context.conmon or "conmon")
    if path is None:
        raise HostUnready(
            f"the monitor {context.conmon or 'conmon'} is not installed",
            remedy="ask an administrator to run: apt-get install conmon",
        )
    return path


def unmount(context: Context, container: Container) -> None:
    """Take down the container's root file system, whoever mounted it; idempotent."""
    record = container.state.get("rootfs")
    if record:
        unmount_rootfs(paths=context.paths, container_id=container.id, record=RootfsRecord.from_json(record))
    else:
        unmount_path(f"{context.paths.container(container.id)}/merged")


def unmount_path(path: str) -> None:
    """Take every mount off ``path``; nothing mounted is fine."""
    from rootless_pod.linux import mount

    try:
        while True:
            mount.umount(path)
    except OSError:
        return

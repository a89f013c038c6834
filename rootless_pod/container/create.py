"""Create a container: an id, a directory, a name, a record. Nothing is mounted, nothing runs. HOT."""

from __future__ import annotations

import os
import time

from rootless_pod.container.identity import claim_id, reserve_random_name
from rootless_pod.container.record import ContainerConfig, record_of
from rootless_pod.container.remove import drop_directory, drop_unborn, remove
from rootless_pod.container.request import ContainerRequest
from rootless_pod.container.tell import tell
from rootless_pod.container.undo import Undo
from rootless_pod.errors import Conflict, NotFound, Usage
from rootless_pod.image.keep import KeptImage
from rootless_pod.state import names
from rootless_pod.state.containers import ContainerLock
from rootless_pod.state.record import write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.oci.image import Image
    from rootless_pod.state.lock import Lock


def create(
    context: Context, request: ContainerRequest, image: Image | None, *, container_id: str = ""
) -> ContainerConfig:
    """Make the container's directory and record, and reserve its name; ``container_id`` fixes its id.

    After a failure, or a kill before the record is written, there is no container of this name.

    Raises:
        Conflict: the name is taken (``--replace`` removes the holder), or the cid file exists.
        Usage, NotFound: a value of the request can't be meant, or names a container that is not there.
    """
    if request.cid_file and os.path.exists(request.cid_file):
        raise Conflict(f"container id file {request.cid_file} exists already", remedy="name another file, or remove it")
    if (request.pod or request.pod_id_file) and not request.pod_id:
        from rootless_pod.container.pod.join import join

        request = join(context, request)
    if not request.pod_id or request.infra:
        return _make(context, request, image, container_id)
    from rootless_pod.state.pods import PodLock

    with PodLock(context.paths, request.pod_id, shared=True):  # the pod can't go meanwhile
        return _make(context, request, image, container_id)


def _make(context: Context, request: ContainerRequest, image: Image | None, container_id: str) -> ContainerConfig:
    joined = joined_containers(context, request)
    if request.log.driver == "journald":
        from rootless_pod.monitor.conmon import check_journal

        check_journal()
    if request.secrets:
        from rootless_pod.container.secrets import with_ids

        request = request.replace(secrets=with_ids(context.paths, request.secrets))
    if request.network.joins:
        from rootless_pod.container.networks import with_names

        request = request.replace(network=with_names(context.paths, request.network))
    if request.health is not None or (image is not None and image.config.healthcheck):
        from rootless_pod.container.health import resolve

        request = request.replace(health=resolve(request.health, image.config.healthcheck if image else None))
    if request.sdnotify == "healthy" and (request.health is None or request.health.test == ("NONE",)):
        raise Usage(
            'sdnotify policy "healthy" requires a healthcheck to be set', remedy="give the check with --health-cmd"
        )
    if context.runtime and not context.runtime_is_default:
        request = request.replace(runtime=context.runtime)
    required = required_containers(context, request) if request.requires else ()
    container_id, lock = _claim_id(context, container_id)
    directory = context.paths.container(container_id)
    with lock, Undo() as undo:
        undo.push(drop_directory, directory)
        name = _reserve_name(context, request, container_id)
        undo.push(names.release, context.paths.names("containers"), name, container_id)
        config = ContainerConfig(
            id=container_id,
            name=name,
            created_ns=time.time_ns(),
            request=request,
            image_id=image.id if image is not None else "",
            image_name=_image_name(request, image),
            command=_shown_command(request, image),
            entrypoint=_entrypoint_words(request, image),
            labels=_labels(request, image),
            stop_signal=stop_signal(request, image),
            joined=joined,
            required=required,
        )
        if config.dependencies:
            from rootless_pod.container.dependents import add, drop

            undo.push(drop, context.paths, container_id, config.dependencies)
            add(context.paths, container_id, config.dependencies)
        _make_volumes(context, request)
        if request.secrets:
            from rootless_pod.container.secrets import copy_mounted

            copy_mounted(context.paths, container_id, request.secrets)
        with KeptImage(context.paths, image):
            write_record(f"{directory}/container.json", record_of(config))
        if request.cid_file:
            _write_cid_file(request.cid_file, container_id)
        tell(context.paths, config, "create")
    return config


def _make_volumes(context: Context, request: ContainerRequest) -> None:
    """Make the named volumes that are not there yet; they stay, whatever becomes of the container."""
    wanted = [one.source for one in request.mounts if one.kind == "volume" and one.source]
    if wanted:
        from rootless_pod.volumes.volume import create as create_volume

        for name in wanted:
            create_volume(context.paths, name, exist_ok=True)


def _claim_id(context: Context, wanted: str) -> tuple[str, Lock]:
    """Make the directory of a new container and take its lock."""
    paths = context.paths
    if wanted and os.path.isdir(paths.container(wanted)):
        drop_unborn(paths, wanted)
    return claim_id(paths.container, lambda container_id: ContainerLock(paths, container_id), wanted)


def _write_cid_file(path: str, container_id: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(container_id)
    except OSError as cause:
        raise Usage(f"cannot write the container id file {path}: {cause.strerror}") from cause


def _reserve_name(context: Context, request: ContainerRequest, container_id: str) -> str:
    directory, objects = context.paths.names("containers"), context.paths.containers
    if request.name:
        name = names.check_name(request.name)
        if names.owner(directory, name) is not None:
            from rootless_pod.container.rename import drop_leftover

            drop_leftover(context.paths, name)
        if request.replace_existing:
            _remove_holder(context, name)
        held = names.owner(directory, name)
        if held is not None:
            drop_unborn(context.paths, held)
        names.reserve(directory, name, container_id, objects=objects)
        return name
    return reserve_random_name(directory, container_id, objects=objects)


def _remove_holder(context: Context, name: str) -> None:
    held = names.owner(context.paths.names("containers"), name)
    if held is None:
        return
    try:
        remove(context, held, force=True, volumes=True, timeout_seconds=0)
    except NotFound:
        return


def _image_name(request: ContainerRequest, image: Image | None) -> str:
    """Return the full name the image was asked for by, or its first name, or what was typed."""
    if image is None:
        return ""
    for name in image.names:
        if name in (request.image, f"{request.image}:latest") or name.endswith(
            (f"/{request.image}", f"/{request.image}:latest")
        ):
            return name
    return image.names[0] if image.names else image.id


def _shown_command(request: ContainerRequest, image: Image | None) -> tuple[str, ...]:
    """Return entrypoint and words as the container will run them, for ``ps`` and ``inspect``."""
    if request.infra and not request.image:
        return ()  # a program of ours
    from rootless_pod.spec.process import compose_args

    return compose_args(request.process.replace(init=False), image.config if image is not None else None)


def _entrypoint_words(request: ContainerRequest, image: Image | None) -> int:
    from rootless_pod.spec.process import parse_entrypoint

    entrypoint = parse_entrypoint(request.process.entrypoint)
    if entrypoint is None and image is not None:
        entrypoint = image.config.entrypoint
    return len(entrypoint or ())


def _labels(request: ContainerRequest, image: Image | None) -> dict[str, str]:
    labels = dict(image.config.labels) if image is not None else {}
    labels.update(text.partition("=")[::2] for text in request.process.labels)
    return labels


def stop_signal(request: ContainerRequest, image: Image | None) -> int:
    """Return the number of the signal that stops the container: option, image, what a systemd in it takes, SIGTERM.

    Raises:
        Usage: the option names no signal.
    """
    wanted = request.process.stop_signal
    if wanted:
        return parse_signal(wanted)
    if image is not None and image.config.stop_signal:
        try:
            return parse_signal(image.config.stop_signal)
        except Usage:
            return 15
    from rootless_pod.spec.process import SYSTEMD_STOP_SIGNAL, runs_systemd

    return SYSTEMD_STOP_SIGNAL if runs_systemd(request.process.systemd, _shown_command(request, image)) else 15


def parse_signal(text: str) -> int:
    """Return a signal's number from ``TERM``, ``SIGTERM``, ``sigterm``, ``RTMIN+3`` or ``15``.

    Raises:
        Usage: there is no such signal.
    """
    from rootless_pod.linux.signals import numbers

    if text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    number = numbers().get(f"SIG{base}")
    if number is not None and (not plus or offset.isdigit()):
        found = number + (int(offset) if plus else 0)
        if 1 <= found <= 64:
            return found
    raise Usage(f"unknown signal {text!r}", remedy="use a name such as TERM or a number from 1 to 64")


def required_containers(context: Context, request: ContainerRequest) -> tuple[str, ...]:
    """Return the ids of the containers named by ``--requires``.

    Raises:
        NotFound: there is no such container.
    """
    from rootless_pod.container.lookup import find_id

    found = []
    for name in request.requires:
        try:
            found.append(find_id(context.paths, name))
        except NotFound as cause:
            raise NotFound(
                f"{name!r} is not a valid container, cannot be used as a dependency",
                remedy="create it first; see what is there: rpod ps -a",
            ) from cause
    return tuple(dict.fromkeys(found))


def joined_containers(context: Context, request: ContainerRequest) -> dict[str, str]:
    """Return the containers whose namespaces are shared, by ``--network``, ``--pid`` … ``container:NAME``.

    Raises:
        NotFound: there is no such container.
    """
    wishes = {
        "network": request.network.mode,
        "pid": request.process.pid,
        "ipc": request.process.ipc,
        "uts": request.process.uts,
        "user": request.process.userns,
        "cgroup": request.process.cgroupns,
    }
    joined: dict[str, str] = {}
    for namespace, wish in wishes.items():
        if wish.startswith("container:"):
            from rootless_pod.container.lookup import find_id

            joined[namespace] = find_id(context.paths, wish.partition(":")[2])
    return joined

"""``commit``: an image from what a container changed, or (``squash``) from all it holds."""

from __future__ import annotations

from rootless_pod import log
from rootless_pod.container.contents import Steady, base_image, find_layers, write_changes, write_tree
from rootless_pod.container.lookup import find
from rootless_pod.container.status import RUNNING
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, HostUnready, NotFound, TimedOut
from rootless_pod.frozen import Frozen
from rootless_pod.image.compose import Composition, compose
from rootless_pod.image.inspect import raw_config
from rootless_pod.image.instructions import add_key, apply_instructions, set_env
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.oci.image import Image


class CommitRequest(Frozen):
    """What ``commit`` was asked: ``name`` "" leaves the image without one."""

    name: str = ""
    changes: tuple[str, ...] = ()
    author: str = ""
    message: str = ""
    docker: bool = False
    squash: bool = False
    pause: bool = False
    include_volumes: bool = False


def commit(context: Context, word: str, request: CommitRequest) -> Image:
    """Make an image of the container ``word``; it goes on as it was. After a failure no name has changed.

    Raises:
        NotFound: no such container.
        Usage: a bad name or instruction.
        Refused: the container is of the image ``host``.
        HostUnready: the disk is full, or it can't be paused.
    """
    names = (str(parse_reference(request.name, default_registry="localhost")),) if request.name else ()
    container = find(context.paths, word)
    base = base_image(context, container, "commit")
    inner = _inner(context, container, base, request)
    apply_instructions(inner, request.changes)
    if inner.get("OnBuild") and not request.docker:
        log.warn("ONBUILD is kept in the docker format only; use: --format docker")
    whole = request.squash or base is None
    composition = Composition(
        base=None if whole else base,
        inner=inner,
        author=request.author,
        comment=request.message,
        created_by=" ".join(container.config.command),
        docker=request.docker,
        names=names,
        **_platform(base),
    )
    with _Paused(context, container) if request.pause and container.status.name == RUNNING else _Unpaused():
        if whole:
            image = compose(
                context.paths,
                composition,
                lambda sink: write_tree(context, container, sink),
                single_id=context.namespace.single_id,
            )
        else:
            with Steady(context, container) as steady:
                layers = find_layers(context, steady.container, base)
                image = compose(
                    context.paths,
                    composition,
                    lambda sink: write_changes(layers, sink),
                    single_id=context.namespace.single_id,
                )
    tell(context.paths, container.config, "commit")
    return image


def _platform(base: Image | None) -> dict[str, Any]:
    if base is None:
        return {}
    return {"architecture": base.config.architecture, "system": base.config.os, "variant": base.config.variant}


def _inner(context: Context, container: Container, base: Image | None, request: CommitRequest) -> dict[str, Any]:
    """Return the config's inner object: the base's, with what the container was run with."""
    from rootless_pod.spec.process import parse_entrypoint, parse_environment

    inner: dict[str, Any] = {}
    if base is not None:
        inner = dict(raw_config(context.paths, base).get("config") or {})
    asked = container.config.request
    process = asked.process
    entrypoint = parse_entrypoint(process.entrypoint)
    if entrypoint is not None:
        inner["Entrypoint"] = list(entrypoint)
        inner["Cmd"] = list(process.command)
    elif process.command:
        inner["Cmd"] = list(process.command)
    for option, texts in (("--env-file", process.env_file), ("--env", process.env)):
        for name, value in parse_environment(texts, {}, option).items():
            set_env(inner, name, value)
    if process.labels:
        labels = dict(text.partition("=")[::2] for text in process.labels)
        inner["Labels"] = {**(inner.get("Labels") or {}), **labels}
    for mapping in asked.network.publish:
        add_key(inner, "ExposedPorts", f"{mapping.container_port}/{mapping.protocol}")
    for port in asked.expose:
        apply_instructions(inner, (f"EXPOSE {port}",))
    for field, text in (
        ("User", process.user),
        ("WorkingDir", process.working_dir),
        ("StopSignal", process.stop_signal),
    ):
        if text:
            inner[field] = text
    for one in asked.mounts:
        anonymous = one.kind == "volume" and not one.source
        if anonymous or (request.include_volumes and one.kind in ("volume", "bind")):
            add_key(inner, "Volumes", one.target)
    return inner


class _Unpaused:
    """Nothing to undo."""

    def __enter__(self) -> None:
        return

    def __exit__(self, *_reason: object) -> None:
        return


class _Paused:
    """The container's processes are frozen while the context lasts."""

    def __init__(self, context: Context, container: Container) -> None:
        self._context = context
        self._container = container

    def __enter__(self) -> None:
        from rootless_pod.container.pause import pause

        try:
            pause(self._context, self._container.id)
        except (HostUnready, TimedOut) as cause:
            cause.remedy = "commit it without --pause, or stop it first"
            raise

    def __exit__(self, *_reason: object) -> None:
        from rootless_pod.container.pause import unpause

        try:
            unpause(self._context, self._container.id)
        except (Conflict, NotFound):
            return  # stopped or unpaused by somebody else meanwhile

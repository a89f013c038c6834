"""``rpod system df``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container
    from rootless_pod.image.usage import ImageUsage

COMMAND = Command(
    name="df",
    summary="Show how much of the disk images, containers and volumes take",
    help=(
        "Images count with their unpacked layers and their blobs, each once; reclaimable is what rpod image prune -a, "
        "rm and volume prune would free."
    ),
    options=(text("--format", "json, or a Go template", metavar="FORMAT"), flag("--verbose", "List every one", "-v")),
    examples=("rpod system df", "rpod system df -v", "rpod system df --format '{{.Type}} {{.Size}}'"),
)


def main(call: Call) -> int:
    """Print the table."""
    from rootless_pod.commands.template import print_rows
    from rootless_pod.container.lookup import list_all
    from rootless_pod.image.usage import image_usage

    usages, containers = image_usage(call.paths), list_all(call.paths)
    if call.flag("verbose"):
        return _verbose(call, usages, containers)
    rows = [_images(usages, containers), _containers(call, containers), _volumes(call, containers)]
    form = call.text("format") or "table {{.Type}} {{.Total}} {{.Active}} {{.Size}} {{.Reclaimable}}"
    if form == "json":
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json(rows) + "\n")
        return 0
    print_rows(form, rows, {})
    return 0


def _size(size_bytes: float) -> str:
    from rootless_pod.commands.humanize import size

    return size(size_bytes, digits=4, blank=False)


def _row(kind: str, total: int, active: int, size_bytes: int, free_bytes: int) -> dict[str, object]:
    share = round(100 * free_bytes / size_bytes) if size_bytes else 0
    return {
        "Type": kind,
        "Total": total,
        "Active": active,
        "RawSize": size_bytes,
        "RawReclaimable": free_bytes,
        "TotalCount": total,
        "Size": _size(size_bytes),
        "Reclaimable": f"{_size(free_bytes)} ({share}%)",
    }


def _images(usages: tuple[ImageUsage, ...], containers: list[Container]) -> dict[str, object]:
    from rootless_pod.image.usage import total_bytes

    used = {one.config.image_id for one in containers}
    active = tuple(one for one in usages if one.image.id in used)
    whole = total_bytes(usages)
    return _row("Images", len(usages), len(active), whole, whole - total_bytes(active))


def _containers(call: Call, containers: list[Container]) -> dict[str, object]:
    from rootless_pod.container.usage import size_of_container

    sizes = [(one.status.is_running, size_of_container(call.paths, one)) for one in containers]
    return _row(
        "Containers",
        len(sizes),
        sum(1 for running, _bytes in sizes if running),
        sum(size_bytes for _running, size_bytes in sizes),
        sum(size_bytes for running, size_bytes in sizes if not running),
    )


def _volumes(call: Call, containers: list[Container]) -> dict[str, object]:
    from rootless_pod.container.usage import size_of_tree, volumes_in_use
    from rootless_pod.volumes.volume import list_volumes

    users = volumes_in_use(containers)
    sizes = [(one.name in users, size_of_tree(one.path)) for one in list_volumes(call.paths)]
    return _row(
        "Local Volumes",
        len(sizes),
        sum(1 for used, _bytes in sizes if used),
        sum(size_bytes for _used, size_bytes in sizes),
        sum(size_bytes for used, size_bytes in sizes if not used),
    )


def _verbose(call: Call, usages: tuple[ImageUsage, ...], containers: list[Container]) -> int:
    from rootless_pod.errors import Usage

    if call.text("format"):
        raise Usage("--format can't go with --verbose", remedy="give one of the two")
    sys.stdout.write("Images space usage:\n\n")
    _verbose_images(usages, containers)
    sys.stdout.write("\nContainers space usage:\n\n")
    _verbose_containers(call, containers)
    sys.stdout.write("\nLocal Volumes space usage:\n\n")
    _verbose_volumes(call, containers)
    return 0


def _verbose_images(usages: tuple[ImageUsage, ...], containers: list[Container]) -> None:
    from rootless_pod.commands.image_rows import created_at
    from rootless_pod.commands.table import print_table
    from rootless_pod.commands.times import ago
    from rootless_pod.image.inspect import split_name

    rows = []
    for one in usages:
        image = one.image
        users = sum(1 for container in containers if container.config.image_id == image.id)
        moment = created_at(image)
        sizes = [_size(one.shared_bytes + one.unique_bytes), _size(one.shared_bytes), _size(one.unique_bytes)]
        for name in image.names or ("",):
            repository, tag = split_name(name) if name else ("<none>", "<none>")
            since = ago(moment).removesuffix(" ago") if moment else "N/A"
            rows.append([repository, tag or "<none>", image.id[:12], since, *sizes, str(users)])
    headers = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"]
    print_table(headers, rows)


def _verbose_containers(call: Call, containers: list[Container]) -> None:
    from rootless_pod.commands.table import print_table
    from rootless_pod.commands.times import ago
    from rootless_pod.container.usage import size_of_container, volumes_of

    rows = [
        [
            one.id[:12],
            one.config.image_id[:12],
            " ".join(one.config.command)[:30],
            str(len(volumes_of(one))),
            _size(size_of_container(call.paths, one)),
            ago(one.config.created_ns / 1e9).removesuffix(" ago"),
            one.status.name,
            one.config.name,
        ]
        for one in containers
    ]
    headers = ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"]
    print_table(headers, rows)


def _verbose_volumes(call: Call, containers: list[Container]) -> None:
    from rootless_pod.commands.table import print_table
    from rootless_pod.container.usage import size_of_tree, volumes_in_use
    from rootless_pod.volumes.volume import list_volumes

    users = volumes_in_use(containers)
    rows = [
        [one.name, str(len(users.get(one.name, ()))), _size(size_of_tree(one.path))] for one in list_volumes(call.paths)
    ]
    print_table(["VOLUME NAME", "LINKS", "SIZE"], rows)

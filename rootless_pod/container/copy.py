"""``cp``: what is copied where, by podman's rules; the reading and writing is done beside this.

A directory into an existing directory goes below it under its own name, ``DIR/.`` means its content, and a
destination that does not exist is made if its parent exists. Source: podman-cp(1), and podman 4.3.1 probed.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.container.copy_read import TarSource, TreeSource
from rootless_pod.container.copy_tree import ContainerTree, HostTree, Tree
from rootless_pod.container.copy_write import DirectoryTarget, TarTarget, meaning
from rootless_pod.container.lookup import find
from rootless_pod.errors import Conflict, NotFound, RpodError, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

STREAM = "-"
_DEEPEST = 4096


class Place(Frozen):
    """One side of a copy: ``container`` is "" for the host; the path "-" of the host is a tar stream."""

    container: str = ""
    path: str

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output."""
        return not self.container and self.path == STREAM


class CopyRequest(Frozen):
    """From where to where; ``archive`` gives all that enters a container to its user, otherwise owners are kept."""

    source: Place
    target: Place
    archive: bool = True
    overwrite: bool = False


def parse_place(text: str) -> Place:
    """Return the place ``[CONTAINER:]PATH`` names; a path that begins with ``/`` or ``.`` is always the host's."""
    if text[:1] in ("/", ".") or ":" not in text:
        return Place(path=text)
    container, _colon, path = text.partition(":")
    return Place(container=container, path=path)


def check(request: CopyRequest) -> None:
    """Refuse what can't be meant.

    Raises:
        Usage: a path is missing, or no side is a container.
    """
    source, target = request.source, request.target
    if not source.path or not target.path:
        raise Usage("a path is missing", remedy="write: rpod cp SOURCE CONTAINER:PATH or rpod cp CONTAINER:PATH TARGET")
    if not source.container and not target.container:
        raise Usage(
            f"neither {source.path!r} nor {target.path!r} names a container",
            remedy="write CONTAINER:PATH for one of them; between places of the host use cp",
        )


def copy(context: Context, request: CopyRequest) -> None:
    """Copy; what was copied before a failure stays, every single file is whole.

    Raises:
        Usage, NotFound: a side is wrong or not there.
        Conflict: a directory and something else are in each other's way.
        HostUnready, Corrupt: reading, writing or the archive failed.
    """
    check(request)
    trees = _open_trees(context, request)
    try:
        source = trees[request.source.container]
        target = trees[request.target.container]
        try:
            _copy(context, request, source, target)
        except OSError as cause:
            if isinstance(cause, BrokenPipeError):
                raise
            raise meaning(cause, "copying") from cause
    finally:
        for tree in trees.values():
            tree.close()


def _open_trees(context: Context, request: CopyRequest) -> dict[str, Tree]:
    """Open both sides, by the word they were named with; one container named twice is opened once.

    Two that do not run are locked in the order of their ids, so that two commands can't wait for each other.
    """
    named = {word: find(context.paths, word) for word in (request.source.container, request.target.container) if word}
    opened: dict[str, Tree] = {}
    try:
        for container in sorted({one.id: one for one in named.values()}.values(), key=lambda one: one.id):
            opened[container.id] = ContainerTree(context, container)
    except BaseException:
        for tree in opened.values():
            tree.close()
        raise
    trees = {word: opened[container.id] for word, container in named.items()}
    return {**trees, "": HostTree()}


def _copy(context: Context, request: CopyRequest, source_tree: Tree, target_tree: Tree) -> None:
    if request.source.is_stream:
        _copy_archive(context, request, target_tree)
        return
    try:
        source = source_tree.open(request.source.path, os.O_PATH)
    except OSError as cause:
        raise _not_found(request.source, source_tree, cause) from cause
    try:
        if request.target.is_stream:
            members = TreeSource(source, name=_source_name(source, request.source, source_tree), ids=source_tree.ids())
            _transfer(members, TarTarget(1))
            return
        base, name, directory = _destination(source, request, source_tree, target_tree)
        try:
            _require_outside(source, base, request)
            members = TreeSource(source, name=name, ids=source_tree.ids())
            _transfer(members, _writer(context, request, target_tree, base, directory))
        finally:
            os.close(base)
    finally:
        os.close(source)


def _copy_archive(context: Context, request: CopyRequest, target_tree: Tree) -> None:
    container, path = request.target.container, request.target.path
    base = _open_existing(target_tree, path)
    if base is None or not stat.S_ISDIR(os.fstat(base).st_mode):
        if base is not None:
            os.close(base)
        raise Conflict(
            f"{path} on {target_tree.name} is not a directory, which an archive is unpacked into",
            remedy=f"name a directory that exists, or make it: rpod exec {container} mkdir {path}",
        )
    base = _readable(base)
    try:
        _transfer(TarSource(0), _writer(context, request, target_tree, base, path))
    finally:
        os.close(base)


def _transfer(source: TreeSource | TarSource, target: DirectoryTarget | TarTarget) -> None:
    _allow_many_files()
    mask = os.umask(0)
    try:
        for member in source.members():
            target.put(member)
        target.finish()
    finally:
        os.umask(mask)
        target.close()


def _allow_many_files() -> None:
    """Let the walk hold one descriptor a level, however deep the tree is."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _source_name(fd: int, place: Place, tree: Tree) -> bytes:
    """Return the name a source has at its destination: its own, or "" where only its content is meant.

    A link of the host keeps the name that was typed, one of a container gives that of what it points to (as podman).
    """
    is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
    last = place.path.rstrip("/").rpartition("/")[2]
    if is_directory and (place.path.endswith("/.") or place.path == "."):
        return b""
    if isinstance(tree, ContainerTree):
        if os.path.samestat(os.fstat(fd), os.fstat(tree.fd)):
            return b""
        last = ""
    if last in ("", ".", ".."):
        last = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
    return os.fsencode(last)


def _destination(source: int, request: CopyRequest, source_tree: Tree, tree: Tree) -> tuple[int, bytes, str]:
    """Return the open directory to write into, the name the source gets there ("": only its content), and its path.

    Raises:
        NotFound: neither the destination nor its parent is there.
        Conflict: a directory is to be copied onto a file.
    """
    path = request.target.path
    found = _open_existing(tree, path)
    if found is not None and stat.S_ISDIR(os.fstat(found).st_mode):
        return _readable(found), _source_name(source, request.source, source_tree), path
    if found is not None:
        os.close(found)
        if stat.S_ISDIR(os.fstat(source).st_mode):
            raise Conflict(
                f"cannot copy a directory onto the file {path} of {tree.name}",
                remedy="name a directory as destination, or one that does not exist yet",
            )
    if path.rpartition("/")[2] in ("", ".", ".."):
        raise _not_found(request.target, tree, None)
    try:
        followed = _followed(tree, path)
        directory, _slash, name = followed.rpartition("/")
        directory = directory or ("/" if followed.startswith("/") else ".")
        return _readable(tree.open(directory, os.O_PATH | os.O_DIRECTORY)), os.fsencode(name), directory
    except OSError as cause:
        raise _not_found(request.target, tree, cause) from cause


def _open_existing(tree: Tree, path: str) -> int | None:
    try:
        return tree.open(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _readable(fd: int) -> int:
    """Exchange a descriptor that only names a directory for one that can be worked with."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(fd)


def _followed(tree: Tree, path: str) -> str:
    """Return ``path`` with links at its end followed (raises OSError after 40): a file is written where they point."""
    for _step in range(40):
        parent, _slash, name = path.rpartition("/")
        directory = tree.open(parent or ("/" if path.startswith("/") else "."), os.O_PATH | os.O_DIRECTORY)
        try:
            target = os.readlink(name, dir_fd=directory)
        except OSError:
            return path
        finally:
            os.close(directory)
        path = target if target.startswith("/") else f"{parent}/{target}" if parent or path.startswith("/") else target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _require_outside(source: int, base: int, request: CopyRequest) -> None:
    """Refuse to copy a directory into itself: it would never end.

    Raises:
        Conflict: ``base`` lies in ``source``.
    """
    wanted = os.fstat(source)
    if not stat.S_ISDIR(wanted.st_mode):
        return
    here = os.dup(base)
    try:
        for _level in range(_DEEPEST):
            found = os.fstat(here)
            if os.path.samestat(found, wanted):
                raise Conflict(
                    f"cannot copy {request.source.path} into itself ({request.target.path})",
                    remedy="copy it to a place outside first",
                )
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = above
            if os.path.samestat(os.fstat(here), found):
                return
    finally:
        os.close(here)


def _writer(context: Context, request: CopyRequest, tree: Tree, base: int, directory: str) -> DirectoryTarget:
    owner: tuple[int, int] | None = (0, 0)
    reopen = None
    if isinstance(tree, ContainerTree):
        owner = tree.primary_owner() if request.archive else None

        def reopen(path: bytes) -> int:
            return tree.open(f"{directory}/{os.fsdecode(path)}", os.O_RDONLY | os.O_DIRECTORY)

    return DirectoryTarget(
        base,
        owner=owner,
        ids=tree.ids(),
        single_id=context.namespace.single_id,
        overwrite=request.overwrite,
        reopen=reopen,
    )


def _not_found(place: Place, tree: Tree, cause: OSError | None) -> RpodError:
    if cause is not None and cause.errno not in (errno.ENOENT, errno.ENOTDIR):
        return meaning(cause, f"opening {place.path} of {tree.name}:")
    remedy = f"look what is there: ls -la {os.path.dirname(place.path) or '.'}"
    if place.container:
        remedy = f"look what is there: rpod cp {place.container}:/ - | tar -t, or rpod exec {place.container} ls"
    return NotFound(f"{place.path!r} could not be found on {tree.name}", remedy=remedy)

"""The containers a command is about, by name, ``--latest``, ``--all``, ``--cidfile`` or ``--filter``. HOT."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, texts
from rootless_pod.container import lookup
from rootless_pod.errors import NotFound, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.commands.declare import Call
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

LATEST = flag("--latest", "Act on the container created last", "-l")
ALL = flag("--all", "Act on all containers", "-a")
IGNORE = flag("--ignore", "Say nothing of containers that are not there", "-i")
CIDFILE = texts("--cidfile", "Read the container's id from a file", metavar="FILE", completes="file")
FILTER = texts("--filter", "Only containers that fit KEY=VALUE", "-f", metavar="FILTER")
SELECTION: tuple[Option, ...] = (ALL, CIDFILE, FILTER, IGNORE, LATEST)


def selected(call: Call, *, among: Callable[[Container], bool] | None = None, damaged: bool = False) -> list[str]:
    """Return the ids of the containers a call names, each once, in order.

    ``among`` narrows what ``--all`` and ``--filter`` pick, ``damaged`` widens it to those whose records can't be read.
    With ``--ignore``, missing ones are left out.

    Raises:
        Usage: nothing is named, or two ways of naming contradict each other.
        NotFound: one is not there.
    """
    paths, words = call.paths, named_words(call, "containers", "cidfile")
    everything = bool(call.values.get("all"))
    latest = bool(call.values.get("latest"))
    conditions = call.values.get("filter") or ()
    if words and (everything or latest):
        raise Usage("--all or --latest can't go with names", remedy="give names, or one of the two options")
    if everything or conditions:
        from rootless_pod.commands.filters import matching

        found = matching(lookup.list_all(paths, damaged=damaged), conditions, paths)
        return [one.id for one in found if (among is None or among(one)) and _named(paths, one.id, words)]
    if latest:
        return [lookup.latest(paths).id]
    if not words:
        raise Usage("no container named", remedy="give a name or an id, --latest or --all")
    return ids_of(call, words, lookup.find_id)


def one_and_words(call: Call, remedy: str) -> tuple[str, tuple[str, ...]]:
    """Return the id of the container that a command's first word (or ``--latest``) names, and the words behind it.

    Raises:
        Usage: none is named.
        NotFound: it is not there.
    """
    words = call.many("container")
    if call.flag("latest"):
        return lookup.latest(call.paths).id, words
    if not words:
        raise Usage("no container named", remedy=remedy)
    return lookup.find_id(call.paths, words[0]), words[1:]


def ids_of(call: Call, words: list[str], find_id: Callable[[Paths, str], str]) -> list[str]:
    """Return the ids that words name, each once, in order; with ``--ignore`` those that are missing are left out."""
    ids = []
    for word in words:
        try:
            found = find_id(call.paths, word)
        except NotFound:
            if call.values.get("ignore"):
                continue
            raise
        if found not in ids:
            ids.append(found)
    return ids


def named_words(call: Call, argument: str, id_files: str) -> list[str]:
    """Return the words of an argument and those in the files of an option.

    Raises:
        NotFound: a file can't be read (with ``--ignore`` it is passed over).
    """
    words = list(call.many(argument))
    files = call.values.get(id_files) or ()
    assert isinstance(files, tuple)
    for path in files:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                words.append(file.readline().strip())
        except OSError as cause:
            if call.values.get("ignore"):
                continue
            raise NotFound(f"cannot read the id file {path}: {cause.strerror}", remedy="check the path") from cause
    return words


def _named(paths: Paths, container_id: str, words: list[str]) -> bool:
    return not words or any(_means(paths, word, container_id) for word in words)


def _means(paths: Paths, word: str, container_id: str) -> bool:
    """Tell whether a word names the container: a name that somebody has is nobody else's id."""
    from rootless_pod.state.names import owner

    named = owner(paths.names("containers"), word)
    return container_id.startswith(word) if named is None else named == container_id


def shown(call: Call, container_id: str) -> str:
    """Return the word a container was named by, or its id. Its record may be damaged: it is not read."""
    for word in call.many("containers"):
        if _means(call.paths, word, container_id):
            return word
    return container_id


def for_each_in(call: Call, state: str, action: Callable[[Context, str], None]) -> int:
    """Run ``action`` on each container named (with ``--all``: in this state), and print how it was named."""
    from rootless_pod.commands.context import context_of

    context = context_of(call)

    def act(container_id: str) -> str:
        action(context, container_id)
        return shown(call, container_id)

    return for_each(selected(call, among=lambda one: one.status.name == state), act)


def for_each(ids: list[str], action: Callable[[str], str | None], *, at_once: bool = False) -> int:
    """Run ``action`` on each id, print what it returns, go on after a failure; return the last failure's exit code.

    With ``at_once`` several are worked on at the same time: the action must need none of the others.
    """
    if at_once and len(ids) > 1:
        from rootless_pod.commands.workers import for_each_at_once

        return for_each_at_once(ids, action)
    import os

    code = 0
    for one in ids:
        try:
            words = action(one)
        except RpodError as error:
            from rootless_pod.commands.report import report

            code = report(error)
        else:
            if words is not None:
                os.write(1, f"{words}\n".encode())
    return code

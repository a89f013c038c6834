"""The pods a command is about, by name, ``--latest``, ``--all`` or ``--pod-id-file``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Option, flag, texts
from rootless_pod.commands.selection import for_each, ids_of, named_words
from rootless_pod.container.pod import lookup
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless_pod.commands.declare import Call
    from rootless_pod.container.lookup import Container
    from rootless_pod.errors import RpodError

LATEST = flag("--latest", "Act on the pod created last", "-l")
ALL = flag("--all", "Act on all pods", "-a")
IGNORE = flag("--ignore", "Say nothing of pods that are not there", "-i")
ID_FILE = texts("--pod-id-file", "Read the pod's id from a file", metavar="FILE", completes="file")
PODS = Argument(name="PODS", kind="many", help="Names or ids")
TIME = Option(
    name="--time",
    short="-t",
    kind="uint",
    metavar="SECONDS",
    aliases=("--timeout",),
    help="Seconds before a container is killed (default: as created, 10)",
)


def selected(call: Call) -> list[str]:
    """Return the ids of the pods a call names, each once, in order.

    Raises:
        Usage: nothing is named, or two ways of naming contradict each other.
        NotFound: one is not there (with ``--ignore`` it is left out).
    """
    paths, words = call.paths, named_words(call, "pods", "pod_id_file")
    everything, latest = bool(call.values.get("all")), bool(call.values.get("latest"))
    if everything and latest:
        raise Usage("--all and --latest cannot be used together", remedy="leave out one of them")
    if words and (everything or latest):
        raise Usage("--all or --latest can't go with names", remedy="give names, or one of the two options")
    if everything:
        return [one.id for one in lookup.list_all(paths)]
    if latest:
        return [lookup.latest(paths).id]
    if not words:
        raise Usage("you must provide at least one name or id", remedy="give the name or id of a pod, or --latest")
    return ids_of(call, words, lookup.find_id)


def for_each_pod(ids: Sequence[str], action: Callable[[str], str | None]) -> int:
    """Run ``action`` on each pod and print what it returns, go on after a failure.

    An action that told failures of containers itself returns None: then, as after an error, the code is 125.
    """
    failed = False

    def act(pod_id: str) -> str | None:
        nonlocal failed
        done = action(pod_id)
        failed = failed or done is None
        return done

    code = for_each(list(ids), act)
    return code or (125 if failed else 0)


def tell_failures(failures: Sequence[tuple[Container, RpodError]]) -> int:
    """Report each container that failed; return the exit code, 0 if none did."""
    from rootless_pod.commands.report import report

    for container, error in failures:
        error.message = f"container {container.config.name}: {error.message}"
        report(error)
    return 125 if failures else 0

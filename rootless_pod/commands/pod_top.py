"""``rpod pod top``: the processes of all containers of a pod."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.pod_selection import LATEST
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.pod.lookup import Pod

COMMAND = Command(
    name="top",
    summary="Display the running processes of the containers of a pod",
    help="Takes the descriptors of rpod top, and -eo with their names.",
    options=(LATEST,),
    arguments=(Argument(name="POD", kind="rest", help="Name or id, then descriptors"),),
    examples=("rpod pod top web", "rpod pod top web pid user args %C", "rpod pod top web -eo user,pid,comm"),
    interspersed=False,
)


def main(call: Call) -> int:
    """Print one table; nothing where no container runs."""
    from rootless_pod.commands.table import print_table
    from rootless_pod.commands.top_columns import COLUMNS, descriptors, from_ps
    from rootless_pod.container.pod.lookup import find_id, latest, look

    words = call.many("pod")
    if call.flag("latest"):
        pod = latest(call.paths)
    elif words:
        pod, words = look(call.paths, find_id(call.paths, words[0])), words[1:]
    else:
        raise Usage("you must provide the name or id of a running pod", remedy="give a name or an id, or --latest")
    columns = descriptors(words) or from_ps(words)
    if columns is None:
        raise Usage(f"unknown descriptor in {' '.join(words)!r}", remedy="see rpod top --help for descriptors")
    rows = _rows(context_of(call), pod, columns)
    if rows:
        print_table([COLUMNS[column][0] for column in columns], rows)
    return 0


def _rows(context: Context, pod: Pod, columns: tuple[str, ...]) -> list[list[str]]:
    """Return the rows of all containers; a process that several see (shared pids) is there once."""
    from rootless_pod.commands.top import names_of
    from rootless_pod.commands.top_columns import COLUMNS
    from rootless_pod.container.pod.stop import infra_last
    from rootless_pod.container.processes import processes

    rows: list[list[str]] = []
    seen: set[int] = set()
    for member in infra_last(pod):
        if not member.status.is_running:
            continue
        names = names_of(context, member)
        for one in processes(member):
            if one.host_pid not in seen:
                seen.add(one.host_pid)
                rows.append([COLUMNS[column][1](one, names) for column in columns])
    return rows

"""``rpod top``: the processes of a container."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.selection import LATEST, one_and_words
from rootless_pod.errors import NotFound, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.top_columns import Names
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.userns.idmap import IdRange

COMMAND = Command(
    name="top",
    summary="Display the running processes of a container",
    help=(
        "Descriptors: args capamb capbnd capeff capinh capprm comm etime group groups hgroup hgroups hpid huser label "
        "nice pcpu pgid pid ppid rgroup rss ruser seccomp state stime time tty user vsz, or ps(1)'s %C %p …. Anything "
        "else is for the container's own ps; where it has none, -eo with names that are descriptors works all the same."
    ),
    options=(LATEST,),
    arguments=(Argument(name="CONTAINER", kind="rest", help="Name or id, then descriptors", completes="container"),),
    examples=("rpod top web", "rpod top web pid user args %C", "rpod top web -eo user,pid,comm"),
    interspersed=False,
)


def main(call: Call) -> int:
    """Print the table."""
    from rootless_pod.commands.table import print_table
    from rootless_pod.commands.top_columns import descriptors, from_ps
    from rootless_pod.container.exec import running

    container_id, words = one_and_words(call, "give the name or id of a running container")
    context = context_of(call)
    container = running(context, container_id)
    columns = descriptors(words)
    if columns is None:
        try:
            sys.stdout.write(_by_ps(context, container_id, words))
        except (NotFound, Usage) as cause:
            columns = from_ps(words)
            if columns is None:
                raise Usage(
                    f"{' '.join(words)} is not understood: {cause.message}",
                    remedy="use descriptors, such as: rpod top CONTAINER user pid args",
                ) from cause
        else:
            return 0
    print_table(*table(context, container, columns))
    return 0


def table(context: Context, container: Container, columns: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of these columns for a running container's processes."""
    from rootless_pod.commands.top_columns import COLUMNS
    from rootless_pod.container.processes import processes

    names = names_of(context, container)
    rows = [[COLUMNS[column][1](one, names) for column in columns] for one in processes(container)]
    return [COLUMNS[column][0] for column in columns], rows


def names_of(context: Context, container: Container) -> Names:
    """Return what user and group ids are called in the container."""
    from rootless_pod.commands.top_columns import Names
    from rootless_pod.linux.procfs import read_text
    from rootless_pod.spec.user import Accounts, read_accounts
    from rootless_pod.userns.idmap import parse_map

    pid, id_map = container.status.pid, context.namespace.id_map
    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()
    try:
        uids, gids = (parse_map(read_text(f"/proc/{pid}/{kind}_map")) for kind in ("uid", "gid"))
        if os.stat(f"/proc/{pid}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino:
            # Its map leads further out than to us: here its ids are ours.
            uids = tuple(one.replace(host_id=one.container_id) for one in uids)
            gids = tuple(one.replace(host_id=one.container_id) for one in gids)
    except OSError:
        pass  # it ended meanwhile
    try:
        accounts = read_accounts(f"/proc/{pid}/root")
    except RpodError:
        accounts = Accounts()
    return Names(
        uids=uids,
        gids=gids,
        host_uids=id_map.uids,
        host_gids=id_map.gids,
        users={int(row[2]): row[0] for row in reversed(accounts.passwd)},
        groups={int(row[2]): row[0] for row in reversed(accounts.group)},
    )


def _by_ps(context: Context, container_id: str, words: tuple[str, ...]) -> str:
    """Run the container's own ps and return what it prints, without its own line.

    Where there is none, or it does not know the words, ``from_ps`` may.

    Raises:
        NotFound: it has none.
        Usage: it does not understand the words.
    """
    from rootless_pod.container.exec import ExecCommand, output_of

    code, printed, said = output_of(context, container_id, ExecCommand(words=("ps", *words)))
    if code:
        raise Usage(
            f"ps in the container fails: {said.strip() or f'exit code {code}'}",
            remedy="see rpod top --help for descriptors",
        )
    own = " ".join(("ps", *words))
    return "".join(line for line in printed.splitlines(keepends=True) if not line.rstrip().endswith(f" {own}"))

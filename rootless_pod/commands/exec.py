"""``rpod exec``. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text, texts
from rootless_pod.commands.selection import one_and_words
from rootless_pod.errors import Usage

COMMAND = Command(
    name="exec",
    summary="Run a process in a running container",
    help="Exit codes: 125 rpod failed, 126 the command cannot be executed, 127 it does not exist, otherwise its own.",
    options=(
        flag("--detach", "Run it in the background and print the session's id", "-d"),
        text("--detach-keys", "Keys that detach (default ctrl-p,ctrl-q)", default="ctrl-p,ctrl-q", metavar="KEYS"),
        texts("--env", "Set a variable", "-e", metavar="NAME=VALUE"),
        texts("--env-file", "Read variables from a file", split=True, metavar="FILE", completes="file"),
        flag("--interactive", "Hand our stdin on", "-i"),
        flag("--latest", "In the container created last", "-l"),
        Option(name="--preserve-fds", kind="uint", default=0, metavar="COUNT", help="Hand on descriptors from 3 on"),
        flag("--privileged", "Give the process all rights of the user's namespace"),
        flag("--tty", "Give the process a terminal", "-t"),
        text("--user", "User and group (name or id)", "-u", metavar="USER[:GROUP]"),
        text("--workdir", "Working directory", "-w", metavar="DIR"),
    ),
    arguments=(Argument(name="CONTAINER", kind="rest", help="Name or id, then the command", completes="container"),),
    examples=("rpod exec web ls /", "rpod exec -it web sh"),
    interspersed=False,
)


def main(call: Call) -> int:
    """Run the process."""
    from rootless_pod.commands.run_request import env_lines, open_fds
    from rootless_pod.container.exec import NO_SESSION_EXIT_CODE, ExecCommand, execute
    from rootless_pod.container.run import Foreground
    from rootless_pod.monitor.detachkeys import parse_detach_keys

    container_id, words = one_and_words(call, "write: rpod exec CONTAINER COMMAND")
    if not words:
        raise Usage("no command given", remedy="write: rpod exec CONTAINER COMMAND", exit_code=NO_SESSION_EXIT_CODE)
    command = ExecCommand(
        words=words,
        env=call.texts("env"),
        env_file=tuple(line for path in call.texts("env_file") for line in env_lines(path)),
        user=call.text("user"),
        working_dir=call.text("workdir"),
        terminal=call.flag("tty"),
        stdin_open=call.flag("interactive"),
        privileged=call.flag("privileged"),
        preserve_fds=len(open_fds(call.number("preserve_fds") or 0)),
    )
    foreground = None
    if not call.flag("detach"):
        keys = parse_detach_keys(call.text("detach_keys"))
        foreground = Foreground(stdin=call.flag("interactive"), detach_keys=keys)
    return execute(context_of(call), container_id, command, foreground)

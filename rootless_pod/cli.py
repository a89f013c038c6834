"""The door: find the command, read its words, enter the user's namespace, run it, say what went wrong. HOT."""

from __future__ import annotations

import errno
import os
import sys

from rootless_pod import modulecache
from rootless_pod.commands import index
from rootless_pod.commands.declare import Call
from rootless_pod.commands.globals import INHERITED, PERSISTENT, RPOD, make_globals
from rootless_pod.commands.lookup import find_command
from rootless_pod.commands.parse import HelpWanted, parse
from rootless_pod.commands.report import report, say
from rootless_pod.errors import HostUnready, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import NoReturn

    from rootless_pod.commands.declare import Command, Globals
    from rootless_pod.commands.parse import Parsed

REPORT_BUGS = "this is a bug in rpod: please report it with the lines above at the project's issue tracker"
COMPLETE_VARIABLE = "_RPOD_COMPLETE"


def load(module: str) -> ModuleType:
    """Import the module of one command."""
    name = f"rootless_pod.commands.{module}"
    __import__(name)
    return sys.modules[name]


def dispatch(argv: Sequence[str]) -> int:
    """Run one command line; return the exit code.

    Raises:
        RpodError: what went wrong.
    """
    try:
        outer = parse(RPOD, argv)
    except HelpWanted:
        return _show_help(())
    if outer.values["version"]:
        from rootless_pod.commands.version import short_version

        print(short_version())
        return 0
    words = outer.arguments["command"]
    assert isinstance(words, tuple)
    try:
        found, rest = find_command(words)
        module = load(index.COMMANDS[found][0])
        command: Command = module.COMMAND
        if command.name != found:
            command = command.replace(name=found)
        parsed = parse(command, rest, persistent=PERSISTENT)
    except HelpWanted:
        return _show_help(words)
    chosen = make_globals(outer.values, parsed.persistent)
    if chosen.noout or chosen.out:
        _turn_stdout(os.devnull if chosen.noout else str(chosen.out))
    _set_log_level(chosen)
    values = parsed.values
    if command.configuration == "full" or (command.configuration == "store" and not chosen.root):
        values, chosen = _configured(command, parsed, chosen)
    if chosen.events_backend == "none":
        from rootless_pod.state.events import keep_none

        keep_none()
    call = Call(
        command=command,
        values=values,
        arguments=parsed.arguments,
        given=parsed.given,
        globals=chosen,
    )
    if command.needs_userns:
        call = call.entered()
    main: Callable[[Call], int] = module.main
    return main(call)


def _turn_stdout(path: str) -> None:
    """Carry out ``--noout`` and ``--out FILE``."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as cause:
        raise Usage(f"--out {path}: {cause.strerror}", remedy="give a file that you may write") from cause
    os.dup2(fd, 1)
    os.close(fd)


def _set_log_level(chosen: Globals) -> None:
    if chosen.log_level != "warn":
        from rootless_pod import log

        log.set_level(chosen.log_level)


def _configured(command: Command, parsed: Parsed, chosen: Globals) -> tuple[dict[str, object], Globals]:
    """Complete what was typed by containers.conf and storage.conf, where there are any."""
    from rootless_pod.config.containers import is_configured

    if not is_configured(chosen.module):
        return parsed.values, chosen
    from rootless_pod.commands.configured import configure

    return configure(command, parsed.values, parsed.given, chosen)


def _show_help(words: Sequence[str]) -> int:
    from rootless_pod.commands.typer_app import show_help

    return show_help(words)


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _report_full_disk(cause: OSError) -> int:
    """Say that the disk is full, wherever that was met; anything else that failed unexpectedly is a bug.

    Calls that mean something else by these numbers (no more namespaces, no more watches) have their name in the text.
    """
    if cause.errno == errno.ENOENT and not cause.filename and _is_nowhere():
        return report(Usage("the working directory is deleted, or not yours to enter", remedy="go to another: cd"))
    if cause.errno not in (errno.ENOSPC, errno.EDQUOT) or cause.strerror != os.strerror(cause.errno):
        return _report_bug()
    if not cause.filename and _flushed(0):
        return 125  # it was the output
    where = f" ({cause.filename})" if cause.filename else ""
    remedy = "free space below your store or your runtime directory; where they are: rpod info"
    return report(HostUnready(f"{cause.strerror.lower()}{where}", remedy=remedy))


def _report_missing(error: ModuleNotFoundError) -> int:
    """Say which package this Python lacks: a bare checkout runs containers without any, other things need some."""
    module = error.name or ""
    if not module or module.partition(".")[0] in {"rootless_pod", *sys.stdlib_module_names}:
        return _report_bug()
    from rootless_pod.programs.package import distribution, how_to_install

    package = distribution(module)
    text = f"the Python package {package} is not installed, which this needs"
    return report(HostUnready(text, remedy=how_to_install(package)))


def _report_bug() -> int:
    import traceback

    traceback.print_exc()
    say(REPORT_BUGS)
    return 125


def _forget_stdout() -> int:
    """Nobody reads our output any more: end as a program killed by SIGPIPE does, without a word."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return 141


def _flushed(code: int) -> int:
    """Write what is left for stdout; return ``code``, or another where it can't be written (which is said once)."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        return _forget_stdout()
    except OSError as cause:
        _forget_stdout()
        remedy = "free space where it goes, or send it elsewhere"
        return report(HostUnready(f"cannot write the output: {(cause.strerror or '').lower()}", remedy=remedy))
    return code


def main(argv: Sequence[str]) -> int:
    """Run one command line and say what went wrong; return the exit code."""
    try:
        if COMPLETE_VARIABLE in os.environ:
            from rootless_pod.commands.typer_app import complete

            return complete(argv)
        code = _flushed(dispatch(argv))
    except RpodError as error:
        code = report(error)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = _forget_stdout()
    except OSError as cause:
        code = _report_full_disk(cause)
    except ModuleNotFoundError as error:
        code = _report_missing(error)
    except Exception:
        code = _report_bug()
    return code


def _open_streams() -> None:
    """Put /dev/null where our caller closed stdin, stdout or stderr: the next file opened would be taken for it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))


def _keep_descriptors() -> None:
    """Hand on no descriptor of our caller unasked: a monitor would hold its locks and pipes for as long as it lives."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for number in numbers:
        if number > 2:
            try:
                if os.get_inheritable(number):
                    INHERITED.add(number)
                os.set_inheritable(number, False)
            except OSError:
                continue  # the descriptor of the listing itself


def entry() -> NoReturn:
    """Run ``sys.argv`` and end the process: the console script's function.

    Taking the interpreter apart costs milliseconds (30 after a pull) and does nothing for us: only threads are waited
    for, and what asked to be called at exit is called, as the interpreter would.
    """
    _open_streams()
    _keep_descriptors()
    code = main(sys.argv[1:])
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()  # noqa: SLF001 - what the interpreter itself calls first
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()  # noqa: SLF001 - and then
    code = _flushed(code)
    modulecache.save()
    os._exit(code)

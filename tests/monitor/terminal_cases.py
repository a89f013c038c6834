"""What must hold on a terminal: the cases run ``stream`` in a forked child on a pty of its own. Run by ``inside.py``."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
import termios
import time

from rootless_pod.monitor import attach, conmon
from rootless_pod.monitor.detachkeys import parse_detach_keys
from rootless_pod.monitor.signals import SignalWatch
from rootless_pod.monitor.terminal import RawMode, window_size
from tests.monitor.world import read_some, until

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


class OnTerminal:
    """A child whose terminal is a pty; ``action()`` returns its exit code. ``main`` is our side of the pty."""

    def __init__(self, action, *, rows=33, columns=77, session=True):
        self.main, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                if session:
                    os.setsid()
                    fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
                errors = os.dup(2)
                for fd in (0, 1):
                    os.dup2(self.slave, fd)
                os.set_inheritable(errors, False)
                sys.stderr = os.fdopen(errors, "w")
                code = action()
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data):
        os.write(self.main, data)

    def expect(self, text, seconds=10.0):
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"wanted {text!r}, saw {self.seen!r}"
            self.seen += read_some(self.main, deadline - time.monotonic())
        before, _text, self.seen = self.seen.partition(text)
        return before

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def finish(self, seconds=10.0):
        def ended():
            pid, self.status = os.waitpid(self.pid, os.WNOHANG)
            return pid != 0

        until(ended, seconds)
        return os.waitstatus_to_exitcode(self.status)


OUTCOMES = {attach.EXITED: 10, attach.DETACHED: 11, attach.BROKEN_PIPE: 12}


def streaming(attachment, **options):
    return lambda: OUTCOMES[attach.stream(attachment, stdin=0, stdout=1, stderr=1, terminal=True, **options)]


def shell(world, **request):
    return world.container("sh", "-c", "PS1='$ '; export PS1; exec sh -i", terminal=True, **request)


@case
def a_shell_works_and_the_terminal_is_as_before(world):
    container = shell(world)
    screen = OnTerminal(streaming(container.attachment))
    screen.expect(b"$ ")
    assert screen.is_raw()
    screen.type(b"echo $((6*7))\r")
    screen.expect(b"42\r\n")
    screen.type(b"exit 5\r")
    assert screen.finish() == OUTCOMES[attach.EXITED]
    assert screen.is_restored()
    assert container.wait().code == 5


@case
def ctrl_c_goes_to_the_container_not_to_us(world):
    container = shell(world)
    screen = OnTerminal(streaming(container.attachment))
    screen.expect(b"$ ")
    screen.type(b"sleep 100\r")
    time.sleep(0.3)
    screen.type(b"\x03")
    screen.expect(b"$ ")
    screen.type(b"echo code=$?\r")
    screen.expect(b"code=130")
    screen.type(b"exit\r")
    assert screen.finish() == OUTCOMES[attach.EXITED]


@case
def the_size_is_known_at_the_start_and_follows_the_window(world):
    container = shell(world)

    def action():
        attach.resize(container.bundle, *window_size(0))
        return streaming(container.attachment)()

    screen = OnTerminal(action, rows=41, columns=99)
    screen.expect(b"$ ")
    screen.type(b"stty size\r")
    screen.expect(b"41 99")
    screen.resize(12, 34)
    os.kill(screen.pid, signal.SIGWINCH)
    time.sleep(0.3)
    screen.type(b"stty size\r")
    screen.expect(b"12 34")
    screen.type(b"exit\r")
    assert screen.finish() == OUTCOMES[attach.EXITED]


@case
def the_detach_keys_leave_the_container_running(world):
    container = shell(world)
    screen = OnTerminal(streaming(container.attachment))
    screen.expect(b"$ ")
    screen.type(b"X=kept\r")
    screen.expect(b"$ ")
    screen.type(b"\x10\x11")
    assert screen.finish() == OUTCOMES[attach.DETACHED]
    assert screen.is_restored()
    assert world.runtime.state(container.id).status == "running"
    container.attachment.close()
    with attach.connect(container.bundle) as again:
        screen = OnTerminal(streaming(again))
        screen.type(b"echo $X\r")
        screen.expect(b"kept")
        screen.type(b"exit\r")
        assert screen.finish() == OUTCOMES[attach.EXITED]
    assert container.wait().code == 0


@case
def keys_typed_one_by_one_detach_and_a_broken_sequence_is_sent(world):
    container = world.container("sh", "-c", "stty raw -echo; echo ready; exec cat", terminal=True)
    screen = OnTerminal(streaming(container.attachment, detach_keys=parse_detach_keys("ctrl-a,ctrl-b,d")))
    screen.expect(b"ready")
    screen.type(b"\x01")
    time.sleep(0.1)
    screen.type(b"\x01x\x01\x02y")
    screen.expect(b"\x01\x01x\x01\x02y")
    for key in (b"\x01", b"\x02", b"d"):
        screen.type(key)
        time.sleep(0.1)
    assert screen.finish() == OUTCOMES[attach.DETACHED]


@case
def without_detach_keys_all_is_sent(world):
    container = world.container("sh", "-c", "stty raw -echo; echo ready; exec cat", terminal=True)
    screen = OnTerminal(streaming(container.attachment, detach_keys=b""))
    screen.expect(b"ready")
    screen.type(b"\x10\x11")
    screen.expect(b"\x10\x11")
    world.runtime.kill(container.id, signal.SIGKILL)
    assert screen.finish() == OUTCOMES[attach.EXITED]


@case
def a_deadly_signal_brings_the_terminal_back_first(world):
    container = shell(world)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        with attach.connect(container.bundle) as attachment:
            screen = OnTerminal(streaming(attachment))
            until(screen.is_raw)
            os.kill(screen.pid, number)
            assert screen.finish() == -number
            assert screen.is_restored()
    assert world.runtime.state(container.id).status == "running"


@case
def an_exception_brings_the_terminal_back(world):
    def action():
        try:
            with RawMode(0):
                os.write(1, b"raw")
                int("no number")
        except ValueError:
            return 7

    screen = OnTerminal(action)
    screen.expect(b"raw")
    assert screen.finish() == 7
    assert screen.is_restored()


@case
def after_a_stop_and_a_continue_the_terminal_is_raw_again(world):
    container = shell(world)
    screen = OnTerminal(streaming(container.attachment))
    until(screen.is_raw)
    termios.tcsetattr(screen.slave, termios.TCSANOW, screen.before)  # as a shell does when its job stops
    os.kill(screen.pid, signal.SIGCONT)
    until(screen.is_raw)
    screen.type(b"exit\r")
    assert screen.finish() == OUTCOMES[attach.EXITED]
    assert screen.is_restored()


@case
def a_terminal_that_hangs_up_ends_the_input_not_the_container(world):
    container = shell(world)
    screen = OnTerminal(streaming(container.attachment), session=False)
    screen.expect(b"$ ")
    os.close(screen.main)
    os.close(screen.slave)
    time.sleep(0.3)
    assert world.runtime.state(container.id).status == "running"
    os.kill(screen.pid, signal.SIGKILL)
    os.waitpid(screen.pid, 0)


@case
def signals_are_handed_on_in_order_and_none_before_the_stream_is_lost(world):
    container = world.container("sleep", "60")
    got = []
    with SignalWatch(attach.stream_signals(proxy=True)) as watch:
        os.kill(os.getpid(), signal.SIGUSR1)
        child = os.fork()
        if child == 0:
            for number in (signal.SIGUSR2, signal.SIGRTMIN + 3, signal.SIGHUP, signal.SIGWINCH, signal.SIGTERM):
                time.sleep(0.1)
                os.kill(os.getppid(), number)
            os._exit(0)

        def on_signal(number):
            got.append(number)
            if number == signal.SIGTERM:
                world.runtime.kill(container.id, signal.SIGKILL)

        outcome = attach.stream(container.attachment, stdin=None, stdout=1, stderr=2, on_signal=on_signal, watch=watch)
    assert outcome == attach.EXITED
    assert got == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 3, signal.SIGHUP, signal.SIGTERM]
    os.waitpid(child, 0)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert container.wait().code == 137


@case
def exec_on_a_terminal_has_its_size_and_its_own_exit_code(world):
    container = world.container("sleep", "60")

    def action():
        request = container.exec_request(
            "sh", "-c", "stty size; read x; exit $x", terminal=True, stdin_open=True, size=window_size(0)
        )
        with conmon.start_exec(request, world.conmon) as session:
            streaming(session.attachment)()
            return session.wait()

    screen = OnTerminal(action, rows=17, columns=71)
    screen.expect(b"17 71")
    screen.type(b"23\r")
    assert screen.finish() == 23
    assert screen.is_restored()

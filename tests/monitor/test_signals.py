from __future__ import annotations

import os
import select
import signal

from rootless_pod.monitor.signals import SignalWatch, proxied_signals


def test_signals_are_read_from_a_descriptor_and_handlers_come_back():
    before = signal.getsignal(signal.SIGUSR1)
    with SignalWatch((signal.SIGUSR1, signal.SIGUSR2)) as watch:
        assert watch.read() == ()
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([watch.fd], [], [], 5)[0]
        assert watch.read() == (signal.SIGUSR2, signal.SIGUSR1)
        assert watch.read() == ()
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_only_what_was_asked_for_is_told():
    other = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        with SignalWatch((signal.SIGUSR1,)) as watch:
            os.kill(os.getpid(), signal.SIGUSR2)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert watch.read() == (signal.SIGUSR1,)
    finally:
        signal.signal(signal.SIGUSR2, other)


def test_watches_nest():
    with SignalWatch((signal.SIGUSR1,)) as outer:
        with SignalWatch((signal.SIGUSR2,)) as inner:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert inner.read() == (signal.SIGUSR2,)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert outer.read() == (signal.SIGUSR1,)


def test_what_the_proxy_leaves_alone():
    proxied = set(proxied_signals())
    # Source: podman-run(1), --sig-proxy; job control and the window's size stay with us.
    for number in (
        signal.SIGCHLD, signal.SIGPIPE, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH, signal.SIGURG, signal.SIGTSTP,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT, signal.SIGSEGV,
    ):  # fmt: skip
        assert number not in proxied
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGRTMAX,
    ):
        assert number in proxied
    assert not {32, 33} & proxied

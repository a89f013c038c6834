"""Join the standard streams of a container: conmon's attach socket on one side, our descriptors on the other. Hot.

conmon's socket is SOCK_SEQPACKET: what we send is the container's standard input; each packet it sends begins with
one byte that says which stream the rest is of. Source: conmon 2.1.6 (conn_sock.c, ctr_stdio.c), probed.
"""

from __future__ import annotations

import os
import select

from rootless_pod.errors import Conflict, Refused
from rootless_pod.monitor.detachkeys import DetachKeys
from rootless_pod.monitor.signals import SIGWINCH, SignalWatch, proxied_signals
from rootless_pod.monitor.terminal import RawMode, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXITED = "exited"
DETACHED = "detached"
BROKEN_PIPE = "broken-pipe"

DEFAULT_DETACH_KEYS = b"\x10\x11"
_STDOUT_PACKET, _STDERR_PACKET = 2, 3
_PACKET_BYTES = 1 << 16
_STDIN_BYTES = 32 * 1024
"""conmon reads at most this much of one packet and would lose the rest."""
_PIPE_BYTES = select.PIPE_BUF
"""A descriptor that poll(2) calls writable takes this much without blocking."""
_SUN_PATH_BYTES = 107


class Attachment:
    """A connected attach socket; ``bundle`` is the directory with conmon's ``ctl``. Close it, or use ``with``."""

    def __init__(self, fd: int, bundle: str) -> None:
        """Take over the connected socket ``fd``."""
        self.fd = fd
        self.bundle = bundle

    def close(self) -> None:
        """Let go of the container's streams; idempotent, and the container runs on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Attachment:
        """Return the attachment itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close it."""
        self.close()


def connect(bundle: str) -> Attachment:
    """Connect to the attach socket of the container in ``bundle``, before it starts: nothing is replayed.

    Raises:
        Conflict: no monitor listens there (the container is not running).
    """
    import _socket

    path = f"{bundle}/attach"
    directory = -1
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        if len(os.fsencode(path)) > _SUN_PATH_BYTES:
            directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{directory}/attach"
        sock.connect(path)
    except OSError as cause:
        sock.close()
        raise Conflict(f"cannot attach to {bundle}/attach: {cause.strerror}: the container is not running") from cause
    finally:
        if directory >= 0:
            os.close(directory)
    return Attachment(sock.detach(), bundle)


def resize(bundle: str, rows: int, columns: int) -> bool:
    """Set the size of the container's terminal; return False where no monitor reads the request."""
    try:
        fd = os.open(f"{bundle}/ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, f"1 {rows} {columns}\n".encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def stream(
    attachment: Attachment,
    *,
    stdin: int | None,
    stdout: int | None,
    stderr: int | None,
    terminal: bool = False,
    detach_keys: bytes = DEFAULT_DETACH_KEYS,
    on_resize: Callable[[int, int], object] | None = None,
    on_signal: Callable[[int], object] | None = None,
    watch: SignalWatch | None = None,
) -> str:
    """Copy both ways until the container closes its side; return ``EXITED``, ``DETACHED`` or ``BROKEN_PIPE``.

    ``terminal`` says that the container has one: then a ``stdin`` that is a terminal is raw meanwhile, and its size
    goes to ``on_resize(rows, columns)`` (by default to the container) whenever it changes. The end of ``stdin``
    closes the container's; a terminal that hangs up detaches. ``detach_keys`` count where ``stdin`` is a terminal.
    ``on_signal`` gets each signal of ``proxied_signals()``; ``watch`` is a ``SignalWatch`` the caller entered earlier
    for them, so that none is lost before. ``BROKEN_PIPE``: the reader of our stdout or stderr went away; the
    container runs on. The attachment stays the caller's to close; nothing of ``stdin`` beyond what was sent is read.

    Raises:
        Refused: our stdout or stderr can't be written (a full disk).
    """
    on_terminal = stdin is not None and os.isatty(stdin)
    raw = RawMode(stdin) if on_terminal and terminal and stdin is not None else None
    numbers = (*(proxied_signals() if on_signal else ()), *((SIGWINCH,) if raw else ()))
    own_watch = SignalWatch(numbers) if watch is None and numbers else None
    flow = _Flow(attachment, stdin, stdout, stderr, DetachKeys(detach_keys if on_terminal else b""))
    bundle = attachment.bundle
    flow.on_resize = on_resize or (lambda rows, columns: resize(bundle, rows, columns))
    flow.on_signal = on_signal
    flow.end_is_hang_up = raw is not None
    os.set_blocking(attachment.fd, False)
    if own_watch is not None:
        own_watch.__enter__()
    try:
        flow.watch = watch or own_watch
        if raw is None:
            return flow.run()
        with raw:
            return flow.run()
    finally:
        if own_watch is not None:
            own_watch.__exit__()


def stream_signals(*, proxy: bool) -> tuple[int, ...]:
    """Return the numbers for a ``SignalWatch`` that is entered before ``stream``."""
    return (*(proxied_signals() if proxy else ()), SIGWINCH)


class _Flow:
    """The state of one ``stream``: at most one packet is held in each direction, so a slow side slows only itself."""

    def __init__(
        self, attachment: Attachment, stdin: int | None, stdout: int | None, stderr: int | None, keys: DetachKeys
    ) -> None:
        self._socket = attachment.fd
        self._stdin = stdin
        self._outputs: dict[int, int | None] = {_STDOUT_PACKET: stdout, _STDERR_PACKET: stderr}
        self._keys = keys
        self._to_container = b""
        self._half_close = False
        self._to_user: memoryview | None = None
        self._output = -1
        self._chunks = {fd: _chunk_bytes(fd) for fd in (stdout, stderr) if fd is not None}
        self._poller = select.poll()
        self._watched: dict[int, int] = {}
        self._outcome: str | None = None
        self.watch: SignalWatch | None = None
        self.on_signal: Callable[[int], object] | None = None
        self.on_resize: Callable[[int, int], object] | None = None
        self.end_is_hang_up = False
        """A raw terminal has no other end: ctrl-d is a byte there."""

    def run(self) -> str:
        """Copy until there is an outcome."""
        self._buffer = bytearray(_PACKET_BYTES)
        while self._outcome is None:
            self._watch_what_can_move()
            for fd, events in self._poller.poll():
                self._move(fd, events)
        return self._outcome

    def _watch_what_can_move(self) -> None:
        """Register exactly what we could act on: anything more would make ``poll`` spin."""
        wanted: dict[int, int] = {}
        if self._to_user is None:
            wanted[self._socket] = select.POLLIN
        else:
            wanted[self._output] = select.POLLOUT
        if self._to_container:
            wanted[self._socket] = wanted.get(self._socket, 0) | select.POLLOUT
        elif self._stdin is not None:
            wanted[self._stdin] = wanted.get(self._stdin, 0) | select.POLLIN
        if self.watch is not None:
            wanted[self.watch.fd] = select.POLLIN
        if wanted == self._watched:
            return
        for fd in self._watched:
            if fd not in wanted:
                self._poller.unregister(fd)
        for fd, mask in wanted.items():
            if self._watched.get(fd) != mask:
                self._poller.register(fd, mask)
        self._watched = wanted

    def _move(self, fd: int, events: int) -> None:
        """Do what ``poll`` says is possible on ``fd``."""
        if self.watch is not None and fd == self.watch.fd:
            self._take_signals(self.watch)
        elif fd == self._socket:
            if events & select.POLLOUT and self._to_container:
                self._send()
            if self._to_user is None and events & ~select.POLLOUT:
                self._receive()
        elif fd == self._output and self._to_user is not None:
            self._write()
        elif fd == self._stdin:
            self._read_stdin()

    def _receive(self) -> None:
        """Take one packet from the container."""
        try:
            count = os.readv(self._socket, [self._buffer])
        except BlockingIOError:
            return
        except ConnectionError:
            count = 0
        if count == 0:
            self._outcome = self._outcome or EXITED
            return
        output = self._outputs.get(self._buffer[0])
        if output is None or count == 1:
            return
        self._output = output
        self._to_user = memoryview(self._buffer)[1:count]

    def _write(self) -> None:
        """Write a part that can't block."""
        pending = self._to_user
        if pending is None:
            return
        try:
            written = os.write(self._output, pending[: self._chunks[self._output]])
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._to_user = None
            self._outcome = BROKEN_PIPE
            return
        except OSError as cause:
            raise Refused(f"cannot write to standard output: {cause.strerror}") from cause
        self._to_user = pending[written:] if written < len(pending) else None

    def _read_stdin(self) -> None:
        """Take what the user typed or piped."""
        if self._stdin is None:
            return
        try:
            data = os.read(self._stdin, _STDIN_BYTES - 64)
        except BlockingIOError:
            return
        except OSError:  # closed, or a terminal that hung up
            data = b""
        if data:
            self._to_container = self._keys.feed(data)
        elif self.end_is_hang_up:
            self._outcome = DETACHED
            return
        else:
            self._stdin = None
            self._half_close = True
            self._to_container = self._keys.finish()
        if self._to_container:
            self._send()
        else:
            self._sent()

    def _send(self) -> None:
        """Send the held packet, if it fits."""
        try:
            os.write(self._socket, self._to_container)
        except BlockingIOError:
            return
        except OSError:  # the container's input is closed; its output goes on
            self._stdin = None
        self._to_container = b""
        self._sent()

    def _sent(self) -> None:
        """After the last packet: tell the container that no more comes, or leave it."""
        if self._keys.detached:
            self._outcome = DETACHED
        elif self._half_close:
            self._half_close = False
            _shutdown_write(self._socket)

    def _take_signals(self, watch: SignalWatch) -> None:
        for number in watch.read():
            if number != SIGWINCH:
                if self.on_signal is not None:
                    self.on_signal(number)
            elif self.on_resize is not None and self._stdin is not None:
                size = window_size(self._stdin)
                if size is not None:
                    self.on_resize(*size)


def _chunk_bytes(fd: int) -> int:
    """Return how much to write at once: all for a regular file, what poll(2) warrants for the rest."""
    import stat

    try:
        return _PACKET_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else _PIPE_BYTES
    except OSError:
        return _PIPE_BYTES


def _shutdown_write(fd: int) -> None:
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
    try:
        sock.shutdown(_socket.SHUT_WR)
    except OSError:
        pass
    finally:
        sock.detach()

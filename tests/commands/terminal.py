"""An interactive shell on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import time


class Shell:
    """Started with ``argv``; ``ask`` types and waits for words to show up."""

    def __init__(self, argv, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, environment)
            finally:
                os._exit(127)
        self.seen = ""

    def read_until(self, words, seconds=20):
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"{words!r} did not show up in {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the shell ended: {self.seen!r}") from None
        return self.seen

    def ask(self, typed, words):
        self.seen = ""
        os.write(self.fd, typed.encode())
        return self.read_until(words)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)

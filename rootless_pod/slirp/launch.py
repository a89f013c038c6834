"""Start a network helper: log, ready pipe, session of its own. HOT."""

from __future__ import annotations

import os

from rootless_pod.programs.run import spawn
from rootless_pod.slirp.driver import LOG_NAME, Helper, open_log


def launch(words: tuple[str, ...], run_dir: str, *, ready_as: int, fds: dict[int, int]) -> Helper:
    """Start a helper in a session of its own, so that Ctrl-C at the terminal does not cut the network.

    Its output goes to its log in ``run_dir``; it finds ``fds`` (its number → ours) and, as ``ready_as``, the pipe it
    writes to when it works.
    """
    log = open_log(run_dir)
    try:
        ready_fd, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            pid = spawn(words, fds={1: log, 2: log, ready_as: ready_write, **fds}, new_session=True)
        except BaseException:
            os.close(ready_fd)
            raise
        finally:
            os.close(ready_write)
    finally:
        os.close(log)
    return Helper(argv=words, pid=pid, ready_fd=ready_fd, log_path=f"{run_dir}/{LOG_NAME}")

"""A busybox root file system, and containers made of hand-written specs under a real conmon and runtime."""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import time

from rootless_pod.errors import HostUnready, NotFound, RpodError
from rootless_pod.linux import procfs
from rootless_pod.monitor import attach, conmon
from rootless_pod.monitor.driver import ExecRequest, MonitorRequest
from rootless_pod.monitor.exitfile import read_exit, wait_exit
from rootless_pod.programs.find import find_program
from rootless_pod.runtime.choose import choose_runtime

APPLETS = (
    "sh", "true", "false", "cat", "echo", "sleep", "head", "tail", "dd", "yes", "printf", "stty", "kill", "id", "ls", "seq", "wc",
    "md5sum", "env", "test", "tr", "readlink", "mkdir",
)  # fmt: skip


def skip(reason):
    print(reason)
    sys.exit(77)


class World:
    def __init__(self, base, runtime):
        self.base = base
        os.chmod(base, 0o755)
        self.conmon = find_program("conmon") or skip("conmon is not installed")
        busybox = find_program("busybox") or skip("busybox is not installed")
        self.rootfs = f"{base}/rootfs"
        for name in ("bin", "proc", "dev", "tmp", "etc", "root"):
            os.makedirs(f"{self.rootfs}/{name}")
        shutil.copy(busybox, f"{self.rootfs}/bin/busybox")
        for name in APPLETS:
            os.symlink("busybox", f"{self.rootfs}/bin/{name}")
        with open(f"{self.rootfs}/etc/passwd", "w", encoding="ascii") as file:
            file.write("root:x:0:0::/root:/bin/sh\n")
        os.mkdir(f"{base}/probes")
        self.exits = f"{base}/exits"
        try:
            self.runtime = choose_runtime(runtime, probes_dir=f"{base}/probes", runtime_root=f"{base}/runtime").driver
        except HostUnready as refusal:
            skip(refusal.message)
        self.made = []

    def container(self, *args, bundle=None, make=True, start=True, connect=True, spec=None, **request):
        return Container(self, args, bundle, make=make, start=start, connect=connect, spec=spec, request=request)

    def close(self):
        for container in self.made:
            container.close()


class Container:
    def __init__(self, world, args, bundle, *, make, start, connect, spec, request):
        self.world = world
        self.id = os.urandom(32).hex()
        self.bundle = bundle or f"{world.base}/b/{self.id[:8]}"
        os.makedirs(self.bundle)
        document = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": request.get("terminal", False), "user": {"uid": 0, "gid": 0}, "args": list(args),
                "env": ["PATH=/bin", "TERM=xterm"], "cwd": "/",
            },
            "root": {"path": world.rootfs},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
            **(spec or {}),
        }  # fmt: skip
        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(document, file)
        self.persist = f"{self.bundle}/persist"
        self.request = MonitorRequest(
            **{
                "container_id": self.id, "name": "test", "bundle": self.bundle, "runtime_path": world.runtime.path,
                "runtime_argv": world.runtime.global_argv(), "exit_dir": world.exits, "persist_dir": self.persist,
                "log_path": f"{self.bundle}/ctr.log", "stdin_open": True, **request,
            }
        )  # fmt: skip
        self.attachment = None
        world.made.append(self)
        self.waiting = conmon.Waiting(self.request, world.conmon)
        if not make:
            return
        self.monitored = self.waiting.create()
        self.attachment = attach.connect(self.bundle) if connect else None
        if start:
            self.start()

    def start(self):
        self.world.runtime.start(self.id, log_path=f"{self.bundle}/oci-log")

    def wait(self, timeout=20):
        return wait_exit(
            self.world.exits, self.id, conmon_pid=self.monitored.conmon_pid,
            conmon_started=self.monitored.conmon_started, persist_dir=self.persist, timeout_seconds=timeout,
        )  # fmt: skip

    def exit(self):
        return read_exit(self.world.exits, self.id, persist_dir=self.persist)

    def conmon_alive(self):
        return procfs.is_alive(self.monitored.conmon_pid, self.monitored.conmon_started)

    def exec_request(self, *args, **more):
        session = os.urandom(8).hex()
        process = {
            "terminal": more.get("terminal", False), "user": {"uid": 0, "gid": 0}, "args": list(args),
            "env": ["PATH=/bin", "TERM=xterm"], "cwd": "/",
        }  # fmt: skip
        return ExecRequest(
            container_id=self.id, session_id=session, directory=f"{self.bundle}/x/{session}",
            runtime_path=self.world.runtime.path, runtime_argv=self.world.runtime.global_argv(), process=process, **more,
        )  # fmt: skip

    def log(self):
        with open(f"{self.bundle}/ctr.log", "rb") as file:
            return file.read()

    def close(self):
        if self.attachment is not None:
            self.attachment.close()
        try:
            self.world.runtime.delete(self.id, force=True)
        except (RpodError, NotFound):
            pass


def copy(attachment, *, stdin=b"", **options):
    """Stream with ``stdin`` fed and both outputs gathered through pipes, by two forked processes; return (outcome, stdout, stderr)."""
    in_read, in_write = os.pipe()
    outputs = [os.pipe(), os.pipe()]
    feeder = os.fork()
    if feeder == 0:
        os.close(in_read)
        view = memoryview(stdin or b"")
        while view:
            view = view[os.write(in_write, view) :]
        os._exit(0)
    os.close(in_write)
    with open(os.devnull, "rb") as null:
        drainers = [Drain(read, [write for _read, write in outputs]) for read, _write in outputs]
        try:
            outcome = attach.stream(
                attachment, stdin=in_read if stdin is not None else null.fileno(), stdout=outputs[0][1],
                stderr=outputs[1][1], **options,
            )  # fmt: skip
        finally:
            for _read, write in outputs:
                os.close(write)
            os.close(in_read)
    out, err = (drain.finish() for drain in drainers)
    os.waitpid(feeder, 0)
    return outcome, out, err


class Drain:
    """A forked process that gathers a pipe into a file, so that the reader never waits for us."""

    def __init__(self, read_fd, write_fds):
        self._file = os.memfd_create("drain")
        self._pid = os.fork()
        if self._pid == 0:
            for write_fd in write_fds:
                os.close(write_fd)
            while block := os.read(read_fd, 1 << 16):
                os.write(self._file, block)
            os._exit(0)
        os.close(read_fd)

    def finish(self):
        os.waitpid(self._pid, 0)
        size = os.fstat(self._file).st_size
        return os.pread(self._file, size, 0)


def words_of(pid):
    """Return the command line of a process, () if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return tuple(os.fsdecode(word) for word in file.read().split(b"\0"))
    except OSError:
        return ()


def belonging(word):
    """Return the pids of the processes whose command line has the word, such as their bundle."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if word in words_of(pid)]


def until(condition, seconds=10.0):
    """Wait for ``condition``; for what no descriptor tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def read_some(fd, seconds=10.0):
    """Read once from ``fd`` within a limit; b"" at the end."""
    assert select.select([fd], [], [], seconds)[0], "nothing came"
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""

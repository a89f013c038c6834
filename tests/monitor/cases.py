"""What must hold with a real conmon and a real runtime; each name is the rule. Run by ``inside.py``."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
import time

from rootless_pod.errors import Conflict, HostUnready, NotFound, ProgramFailed, Refused, RpodError
from rootless_pod.linux import procfs
from rootless_pod.monitor import attach, conmon
from rootless_pod.monitor.driver import MonitorRequest
from rootless_pod.monitor.logfile import read_log
from tests.monitor.world import belonging, copy, read_some, skip, until, words_of

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def raised(families, action, *args, **kwargs):
    try:
        action(*args, **kwargs)
    except families as error:
        return error
    raise AssertionError(f"nothing of {families} was raised")


@case
def streams_stay_apart_and_the_exit_code_is_the_containers(world):
    container = world.container("sh", "-c", "echo out; echo err >&2; exit 7")
    assert copy(container.attachment) == (attach.EXITED, b"out\n", b"err\n")
    status = container.wait()
    assert (status.code, status.known, status.oom) == (7, True, False)
    assert abs(status.finished_ns - time.time_ns()) < 5_000_000_000


@case
def a_signal_gives_128_and_its_number(world):
    container = world.container("sleep", "60")
    world.runtime.kill(container.id, signal.SIGKILL)
    assert container.wait().code == 137


@case
def the_end_of_stdin_closes_the_containers(world):
    container = world.container("md5sum")
    data = os.urandom(100_000)
    outcome, out, _err = copy(container.attachment, stdin=data)
    assert (outcome, out.split()[0].decode()) == (attach.EXITED, hashlib.md5(data).hexdigest())


@case
def empty_stdin_closes_at_once(world):
    container = world.container("cat")
    assert copy(container.attachment, stdin=b"") == (attach.EXITED, b"", b"")


@case
def a_missing_command_is_127_and_leaves_nothing(world):
    for command in ("nope", "/no/such/file"):
        error = raised(NotFound, world.container, command)
        assert error.exit_code == 127
        assert command in error.message
        container = world.made[-1]
        assert world.runtime.state(container.id) is None
        assert container.exit() is None


@case
def what_cannot_be_executed_is_126(world):
    for command in ("/etc/passwd", "/etc"):
        error = raised(Refused, world.container, command)
        assert error.exit_code == 126
        assert command in error.message


@case
def a_missing_conmon_and_a_broken_one_are_told(world):
    world.conmon = "/nonexistent/conmon"
    assert "not installed" in raised(HostUnready, world.container, "true").message
    world.conmon = "/bin/false"
    error = raised(RpodError, world.container, "true")
    assert "conmon failed" in error.message
    world.conmon = "/bin/true"
    error = raised(RpodError, world.container, "true")
    assert "without an answer" in error.message


@case
def the_monitor_waits_for_the_word_and_reads_nothing_before(world):
    container = world.container("sh", "-c", "exit 4", make=False)
    config = f"{container.bundle}/config.json"
    os.rename(config, f"{config}.later")
    time.sleep(0.3)
    assert len(belonging(container.bundle)) == 1
    assert not os.path.exists(f"{container.bundle}/attach")
    os.rename(f"{config}.later", config)
    container.monitored = container.waiting.create()
    container.waiting.abort()  # too late to mean anything
    container.start()
    assert container.wait().code == 4


@case
def a_monitor_that_is_not_needed_goes_and_leaves_nothing(world):
    before = len(os.listdir("/proc/self/fd"))
    container = world.container("true", make=False)
    until(lambda: len(belonging(container.bundle)) == 1)
    container.waiting.abort()
    container.waiting.abort()
    assert belonging(container.bundle) == []
    assert len(os.listdir("/proc/self/fd")) == before
    assert raised(ChildProcessError, os.waitpid, -1, os.WNOHANG)


@case
def a_monitor_killed_while_it_waits_is_told(world):
    container = world.container("true", make=False)
    until(lambda: belonging(container.bundle))
    (pid,) = belonging(container.bundle)
    os.kill(pid, signal.SIGKILL)
    assert "conmon failed" in raised(ProgramFailed, container.waiting.create).message
    assert raised(ChildProcessError, os.waitpid, -1, os.WNOHANG)


@case
def a_monitor_whose_starter_was_killed_before_the_word_ends_by_itself(world):
    read_end, write_end = os.pipe()
    starter = os.fork()
    if starter == 0:
        container = world.container("sleep", "60", make=False)
        os.unlink(f"{container.bundle}/config.json")
        os.write(write_end, f"{container.id} {container.bundle}".encode())
        signal.pause()
    os.close(write_end)
    container_id, bundle = os.read(read_end, 4096).decode().split()
    os.close(read_end)
    until(lambda: len(belonging(bundle)) == 1)
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
    until(lambda: belonging(bundle) == [])
    assert world.runtime.state(container_id) is None
    assert not os.path.exists(f"{world.exits}/{container_id}")


@case
def a_runtime_killed_once_the_first_process_waits_is_told(world):
    place = f"{world.base}/killed"
    os.mkdir(place)
    os.mkfifo(f"{place}/never")
    with open(f"{place}/runtime", "w", encoding="ascii") as file:
        # Reading is a builtin of the shell: no other process is there that holds conmon's pipes.
        file.write(
            "#!/bin/sh\n"
            f'case " $* " in *" create "*) {world.runtime.path} "$@" || exit; : > {place}/made; read x < {place}/never;;'
            f' *) exec {world.runtime.path} "$@";; esac\n'
        )
    os.chmod(f"{place}/runtime", 0o755)
    container = world.container("sleep", "60", make=False, runtime_path=f"{place}/runtime")
    killer = os.fork()
    if killer == 0:
        until(lambda: os.path.exists(f"{place}/made"))
        (runtime,) = [pid for pid in belonging(container.bundle) if words_of(pid)[1] == f"{place}/runtime"]
        os.kill(runtime, signal.SIGKILL)
        os._exit(0)
    began = time.monotonic()
    assert "the runtime was killed" in raised(ProgramFailed, container.waiting.create).message
    assert time.monotonic() - began < conmon.CREATE_TIMEOUT_SECONDS / 4
    assert os.waitpid(killer, 0)[1] == 0
    until(lambda: belonging(container.bundle) == [])


@case
def a_bundle_deeper_than_a_socket_address_works(world):
    container = world.container("cat", bundle=f"{world.base}/{'d' * 60}/{'e' * 60}/bundle")
    assert len(container.bundle) > 107
    assert copy(container.attachment, stdin=b"deep") == (attach.EXITED, b"deep", b"")


@case
def a_client_that_leaves_closes_stdin_unless_it_is_to_stay_open(world):
    container = world.container("cat")
    container.attachment.close()
    assert container.wait().code == 0
    container = world.container("cat", leave_stdin_open=True)
    container.attachment.close()
    assert container.wait(timeout=0.5) is None
    with attach.connect(container.bundle) as again:
        os.write(again.fd, b"x")
        assert read_some(again.fd) == b"\x02x"


@case
def a_hundred_megabytes_pass_both_ways_unharmed(world):
    container = world.container("cat", log_driver="none")
    block = os.urandom(1 << 20)
    data = block * 100
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.monotonic()
    outcome, out, err = copy(container.attachment, stdin=data)
    seconds = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"100 MB both ways: {seconds:.2f} s, of which {processor:.2f} s of our processor time")
    assert (outcome, err) == (attach.EXITED, b"")
    assert len(out) == len(data)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    assert seconds < 60


@case
def an_idle_stream_uses_no_processor(world):
    container = world.container("sleep", "2")
    before = time.process_time()
    copy(container.attachment, stdin=b"")
    assert time.process_time() - before < 0.2


@case
def a_full_output_does_not_spin_and_ends_when_it_is_read(world):
    container = world.container("sh", "-c", "yes | head -c 3000000", log_driver="none")
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_fd)
        time.sleep(1.5)
        total = 0
        while block := os.read(read_fd, 65536):
            total += len(block)
        os._exit(0 if total == 3_000_000 else 1)
    os.close(read_fd)
    before = time.process_time()
    outcome = attach.stream(container.attachment, stdin=None, stdout=write_fd, stderr=None)
    assert time.process_time() - before < 0.8
    os.close(write_fd)
    assert outcome == attach.EXITED
    assert os.waitpid(child, 0)[1] == 0


@case
def a_full_output_does_not_keep_input_from_the_container(world):
    # The container answers little and reads much; nobody reads our stdout until all input is taken.
    container = world.container("sh", "-c", "cat >/dev/null; echo taken", log_driver="none")
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    while True:
        try:
            os.write(write_fd, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write_fd, True)
    in_read, in_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(in_read)
        for _ in range(64):
            os.write(in_write, b"y" * 65536)
        os.close(in_write)
        gathered = b""
        os.close(write_fd)
        while block := os.read(read_fd, 65536):
            gathered += block
        os._exit(0 if gathered.endswith(b"taken\n") else 1)
    os.close(in_write)
    assert attach.stream(container.attachment, stdin=in_read, stdout=write_fd, stderr=2) == attach.EXITED
    os.close(write_fd)
    os.close(read_fd)
    assert os.waitpid(child, 0)[1] == 0


@case
def a_reader_that_goes_away_is_a_broken_pipe_and_the_container_runs_on(world):
    container = world.container("sh", "-c", "while true; do echo line; sleep 0.05; done")
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    assert attach.stream(container.attachment, stdin=None, stdout=write_fd, stderr=None) == attach.BROKEN_PIPE
    os.close(write_fd)
    assert world.runtime.state(container.id).status == "running"


@case
def closed_output_descriptors_are_refused_and_absent_ones_dropped(world):
    container = world.container("sh", "-c", "echo out; echo err >&2")
    assert attach.stream(container.attachment, stdin=None, stdout=None, stderr=None) == attach.EXITED
    container = world.container("echo", "out")
    assert (
        "standard output"
        in raised(Refused, attach.stream, container.attachment, stdin=None, stdout=999, stderr=None).message
    )


@case
def a_full_disk_is_told(world):
    container = world.container("echo", "out")
    with open("/dev/full", "wb") as full:
        error = raised(Refused, attach.stream, container.attachment, stdin=None, stdout=full.fileno(), stderr=None)
    assert "No space left" in error.message


@case
def attaching_twice_shows_both_the_same_and_attaching_to_nothing_is_a_conflict(world):
    container = world.container("sh", "-c", "echo hello", start=False)
    second = attach.connect(container.bundle)
    container.start()
    assert copy(container.attachment, stdin=None)[1] == b"hello\n"
    assert copy(second, stdin=None)[1] == b"hello\n"
    second.close()
    container.wait()
    until(lambda: not container.conmon_alive())
    raised(Conflict, attach.connect, container.bundle)


@case
def a_killed_monitor_makes_the_status_unknown_at_once(world):
    container = world.container("sleep", "60")
    os.kill(container.monitored.conmon_pid, signal.SIGKILL)
    begun = time.monotonic()
    assert copy(container.attachment)[0] == attach.EXITED
    status = container.wait()
    assert time.monotonic() - begun < 2
    assert (status.code, status.known) == (-1, False)
    # The container may live on without its monitor: it can still be removed.
    world.runtime.delete(container.id, force=True)
    assert world.runtime.state(container.id) is None
    assert not os.path.exists(f"/proc/{container.monitored.pid}") or procfs.start_time(container.monitored.pid) is None


@case
def a_monitor_killed_while_we_wait_ends_the_waiting(world):
    container = world.container("sleep", "60")
    child = os.fork()
    if child == 0:
        time.sleep(0.5)
        os.kill(container.monitored.conmon_pid, signal.SIGKILL)
        os._exit(0)
    begun = time.monotonic()
    status = container.wait()
    assert 0.3 < time.monotonic() - begun < 3
    assert not status.known
    os.waitpid(child, 0)


@case
def waiting_has_a_limit_and_polls_nothing(world):
    container = world.container("sleep", "60")
    before = time.process_time()
    begun = time.monotonic()
    assert container.wait(timeout=1.0) is None
    assert 0.9 < time.monotonic() - begun < 3
    assert time.process_time() - before < 0.1


@case
def many_waiters_all_hear_of_the_end(world):
    container = world.container("sleep", "1")
    children = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if container.wait().code == 0 else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5


def open_files(pid):
    """Return what the descriptors of ``pid`` are; those that close meanwhile are left out."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found


@case
def kept_descriptors_live_in_the_monitor_alone(world):
    read_fd, write_fd = os.pipe()
    container = world.container("sh", "-c", "ls /proc/self/fd | wc -l; sleep 1", keep_fds=(write_fd,))
    os.close(write_fd)
    pipe = f"pipe:[{os.fstat(read_fd).st_ino}]"
    pid = container.monitored.pid
    # The runtime's first process becomes the container's by execve(2): only then its descriptors are the container's.
    until(lambda: os.readlink(f"/proc/{pid}/exe").endswith("busybox"))
    assert pipe in open_files(container.monitored.conmon_pid)
    assert pipe not in open_files(pid)
    assert copy(container.attachment)[1].strip() == b"4"  # 0, 1, 2 and the directory itself
    # conmon lets go of it a moment before it writes the exit file.
    assert read_some(read_fd, 10) == b""
    assert container.wait().code == 0


@case
def preserved_descriptors_begin_at_three_in_the_container(world):
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"through fd 3\n")
    os.close(write_fd)
    keep_read, keep_write = os.pipe()
    container = world.container(
        "sh", "-c", "cat <&3; ls /proc/self/fd", preserve_fds=(read_fd,), keep_fds=(keep_write,)
    )
    os.close(keep_write)
    out = copy(container.attachment)[1].split(b"\n")
    assert out[0] == b"through fd 3"
    assert out[1:5] == [b"0", b"1", b"2", b"3"]
    assert read_some(keep_read, 10) == b""


@case
def the_exit_command_runs_when_nobody_waits(world):
    marker = f"{world.base}/marker"
    command = ("/bin/sh", "-c", f'echo "$GREETING $(cat {world.exits}/*)" > {marker}.new; mv {marker}.new {marker}')
    container = world.container(
        "sh", "-c", "exit 3", connect=False, exit_command=command, env={"PATH": "/bin", "GREETING": "hi"}
    )
    until(lambda: os.path.exists(marker))
    with open(marker, encoding="ascii") as file:
        assert file.read() == "hi 3\n"
    until(lambda: not container.conmon_alive())


@case
def the_monitor_is_in_a_session_of_its_own(world):
    container = world.container("sleep", "60")
    pid = container.monitored.conmon_pid
    assert os.getsid(pid) != os.getsid(0)
    parent = procfs.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1]
    assert int(parent) != os.getpid()


@case
def a_time_limit_kills_the_container(world):
    container = world.container("sleep", "60", timeout_seconds=1)
    status = container.wait()
    assert (status.code, status.known) == (255, True), status


@case
def files_of_the_bundle_are_private(world):
    container = world.container("sleep", "60")
    for name in ("attach", "ctl", "ctr.log", "conmon.log"):
        assert not os.stat(f"{container.bundle}/{name}").st_mode & stat.S_IRWXO, name


@case
def without_a_log_there_is_no_file(world):
    container = world.container("echo", "x", log_driver="none")
    assert copy(container.attachment)[1] == b"x\n"
    assert not os.path.exists(f"{container.bundle}/ctr.log")


@case
def passthrough_gives_the_container_our_own_descriptors(world):
    read_fd, write_fd = os.pipe()
    saved = os.dup(1)
    os.dup2(write_fd, 1)
    try:
        container = world.container(
            "readlink", "/proc/self/fd/1", connect=False, log_driver="passthrough", stdin_open=False
        )
    finally:
        os.dup2(saved, 1)
    os.close(write_fd)
    assert read_some(read_fd) == f"pipe:[{os.fstat(read_fd).st_ino}]\n".encode()
    assert container.wait().code == 0


@case
def journald_is_refused_where_no_journal_listens(world):
    if os.path.exists(conmon.JOURNAL_SOCKET):
        skip("a journal listens here")
    error = raised(HostUnready, world.container, "true", log_driver="journald")
    assert "journald" in error.message
    assert "k8s-file" in error.remedy


@case
def the_log_has_what_was_written_line_by_line(world):
    # The pause keeps the monitor from logging "two" in the midst of the long line: a tail may begin there.
    script = "echo one; echo two >&2; sleep 0.5; head -c 20000 /dev/zero | tr '\\0' a; echo; echo; printf last"
    container = world.container("sh", "-c", script, connect=False)
    container.wait()
    lines = list(read_log(f"{container.bundle}/ctr.log"))
    assert [(line.stream, line.text, line.ended) for line in lines if line.stream == "stdout"] == [
        ("stdout", b"one", True), ("stdout", b"a" * 20000, True), ("stdout", b"", True), ("stdout", b"last", False),
    ]  # fmt: skip
    assert [line.text for line in lines if line.stream == "stderr"] == [b"two"]
    assert all(abs(line.time_ns - time.time_ns()) < 60_000_000_000 for line in lines)
    assert b" P " in container.log()
    for count in range(6):
        assert [line.text for line in read_log(f"{container.bundle}/ctr.log", tail=count)] == [
            line.text for line in lines
        ][-count:] * bool(count)


@case
def following_shows_each_line_as_it_comes_and_ends_with_the_container(world):
    container = world.container(
        "sh", "-c", "printf 'no end'; sleep 0.4; echo ' yet'; sleep 0.4; echo two; exit 1", connect=False
    )
    conmon_of = (container.monitored.conmon_pid, container.monitored.conmon_started)
    before = time.process_time()
    seen = [
        (line.text, line.ended, line.continued, time.monotonic())
        for line in read_log(f"{container.bundle}/ctr.log", follow=True, conmon=conmon_of)
    ]
    assert time.process_time() - before < 0.2
    assert [entry[:3] for entry in seen] == [(b"no end", False, False), (b" yet", True, True), (b"two", True, False)]
    assert seen[2][3] - seen[0][3] > 0.5
    assert container.wait().code == 1


@case
def a_log_that_reaches_its_size_is_begun_anew_and_followed(world):
    container = world.container(
        "sh",
        "-c",
        "for i in $(seq 3000); do echo line-$i; done; sleep 0.3; echo end",
        connect=False,
        log_size_max=20000,
    )
    conmon_of = (container.monitored.conmon_pid, container.monitored.conmon_started)
    texts = [line.text for line in read_log(f"{container.bundle}/ctr.log", follow=True, conmon=conmon_of)]
    assert os.stat(f"{container.bundle}/ctr.log").st_size <= 20000
    assert texts[-1] == b"end"
    numbers = [int(text[5:]) for text in texts if text.startswith(b"line-")]
    assert numbers == sorted(set(numbers))


@case
def exec_carries_stdin_output_and_exit_code(world):
    container = world.container("sleep", "60")
    request = container.exec_request("sh", "-c", "cat; echo err >&2; exit 9", stdin_open=True)
    with conmon.start_exec(request, world.conmon) as session:
        assert copy(session.attachment, stdin=b"to exec") == (attach.EXITED, b"to exec", b"err\n")
        assert session.wait() == 9
    assert session.monitored.pid > 0


@case
def exec_of_a_missing_command_is_127_and_of_a_file_126(world):
    container = world.container("sleep", "60")
    assert raised(NotFound, conmon.start_exec, container.exec_request("nope"), world.conmon).exit_code == 127
    assert raised(RpodError, conmon.start_exec, container.exec_request("/etc/passwd"), world.conmon).exit_code == 126
    assert world.runtime.state(container.id).status == "running"


@case
def exec_that_is_killed_gives_128_and_the_signal(world):
    container = world.container("sleep", "60")
    with conmon.start_exec(container.exec_request("sleep", "60"), world.conmon) as session:
        os.kill(session.monitored.pid, signal.SIGTERM)
        assert session.wait() == 143


@case
def a_detached_exec_runs_on_by_itself(world):
    container = world.container("sleep", "60")
    request = container.exec_request("sh", "-c", "sleep 0.3; echo done > /tmp/mark", attached=False)
    conmon.start_exec(request, world.conmon).close()
    until(lambda: os.path.exists(f"{world.rootfs}/tmp/mark"))


@case
def exec_in_a_container_that_ended_fails_with_a_reason(world):
    container = world.container("true")
    container.wait()
    error = raised(RpodError, conmon.start_exec, container.exec_request("true"), world.conmon)
    assert error.exit_code in (125, 126, 127)
    assert "stopped" in error.message or "not running" in error.message or "not exist" in error.message, error.message


@case
def states_and_signals_of_the_runtime(world):
    runtime = world.runtime
    container = world.container("sleep", "60", start=False)
    state = runtime.state(container.id)
    assert (state.status, state.pid) == ("created", container.monitored.pid)
    assert os.path.realpath(state.bundle) == os.path.realpath(container.bundle)
    container.start()
    assert runtime.state(container.id).status == "running"
    raised(Conflict, runtime.delete, container.id)
    runtime.kill(container.id, signal.SIGKILL)
    container.wait()
    assert runtime.state(container.id).status == "stopped"
    raised(Conflict, runtime.kill, container.id, signal.SIGTERM)
    runtime.delete(container.id)
    assert runtime.state(container.id) is None
    raised(NotFound, runtime.kill, container.id, signal.SIGTERM)
    raised(NotFound, runtime.start, container.id)
    raised(NotFound, runtime.delete, container.id)
    runtime.delete(container.id, force=True)


@case
def a_broken_spec_fails_with_the_runtimes_words(world):
    error = raised(RpodError, world.container, "true", spec={"root": {"path": f"{world.base}/missing"}})
    assert "missing" in error.message
    assert error.exit_code in (126, 127)
    assert world.runtime.state(world.made[-1].id) is None


@case
def our_descriptors_are_all_closed_again(world):
    def count():
        return len(os.listdir("/proc/self/fd"))

    world.container("true").close()
    before = count()
    container = world.container("sleep", "60")
    conmon.start_exec(container.exec_request("true", attached=False), world.conmon).close()
    raised(NotFound, conmon.start_exec, container.exec_request("nope"), world.conmon)
    raised(NotFound, world.container, "nope")
    container.close()
    assert count() == before


@case
def an_unknown_log_driver_is_named(world):
    error = raised(RpodError, world.container, "true", log_driver="syslog")
    assert "syslog" in error.message
    assert isinstance(world.made[-1].request, MonitorRequest)

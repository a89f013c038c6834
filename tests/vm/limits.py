"""Limits on a host with systemd and cgroup v2, as a user in a login session; run in the machine of scripts/vm-test.

Not collected by pytest: ``python3 limits.py [crun|runc …] [WORD …]`` prints one line a rule (WORD: of those whose name
has it) and ends with 1 if one is broken.
Files of the kernel are read from outside the container, so that what is told is what holds.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
UID = os.getuid()
MANAGER = CGROUPS / f"user.slice/user-{UID}.slice/user@{UID}.service"
IMAGE = "localhost/small"
SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes")
PLAIN_SCOPE = SCOPE[:4]
ALL = ("--memory", "64m", "--memory-swap", "64m", "--pids-limit", "20", "--cpus", "0.5")
MB = 1 << 20
FORKS = "sh -c 'i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done'; exec sleep 1000"


class Rule(Exception):
    """A rule that does not hold."""


def call(*argv: str, code: int | None = 0, timeout: float = 90) -> str:
    """Run it and return stdout and stderr together."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
    )
    said = done.stdout.decode(errors="replace").strip()
    if code is not None and done.returncode != code:
        raise Rule(f"{' '.join(argv)} ended with {done.returncode}, not {code}: {said}")
    return said


class Runtime:
    """rpod with one OCI runtime."""

    def __init__(self, name: str) -> None:
        self.name = name

    def argv(self, *words: str) -> tuple[str, ...]:
        return ("rpod", "--runtime", self.name, *words)

    def __call__(self, *words: str, code: int | None = 0, before: tuple[str, ...] = ()) -> str:
        return call(*before, *self.argv(*words), code=code)

    def start(self, *options: str, before: tuple[str, ...] = (), command: tuple[str, ...] = ("sleep", "1000")) -> Path:
        """Start a container called x and return its cgroup, as the host sees it."""
        self("run", "-d", "--name", "x", *options, IMAGE, *command, before=before)
        pid = call("rpod", "inspect", "--format", "{{.State.Pid}}", "x").splitlines()[-1]
        return CGROUPS / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")

    def end(self) -> None:
        self("rm", "-f", "-t", "0", "x")


def left() -> list[str]:
    """Return the cgroups of containers that are there, at most a second after the last one ended."""
    found: list[str] = []
    for _ in range(20):
        # os.walk: what vanishes meanwhile is no error
        found = [name for _, names, _ in os.walk(MANAGER) for name in names if name.startswith("rpod")]
        if not found:
            break
        time.sleep(0.05)
    return found


def expect(found: object, wanted: object, what: str) -> str:
    if found != wanted:
        raise Rule(f"{what} is {found!r}, not {wanted!r}")
    return f"{what} {found}"


def read(cgroup: Path, *names: str) -> dict[str, str]:
    return {name: (cgroup / name).read_text().strip() for name in names}


def small_image(path: Path) -> None:
    """Write an image of busybox alone, in docker's archive format."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "sleep", "cat", "dd", "true"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    diff = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
    }  # fmt: skip
    text = json.dumps(config).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [f"{IMAGE}:latest"], "Layers": [f"{diff}/layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        for member, data in (
            (name, text),
            (f"{diff}/layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


# -- the rules: each returns what was seen


def host_and_image_run(run: Runtime) -> str:
    """the image host and an image of busybox run"""
    run("run", "--rm", "host", "true")
    own = run("run", "--rm", IMAGE, "cat", "/proc/self/cgroup")
    return expect(own.splitlines()[-1], "0::/", "/proc/self/cgroup inside")


def login_session_gets_a_scope(run: Runtime) -> str:
    """in a login session, limits get a scope of their own"""
    cgroup = run.start(*ALL)
    where = str(cgroup.relative_to(MANAGER).parent)
    if not re.fullmatch(r"app\.slice/rpod-[0-9a-f]{64}\.scope", where):
        raise Rule(f"the container lies in {where}")
    found = read(cgroup, "memory.max", "memory.swap.max", "pids.max", "cpu.max")
    wanted = {"memory.max": str(64 * MB), "memory.swap.max": "0", "pids.max": "20", "cpu.max": "50000 100000"}
    said = expect(found, wanted, "limits")
    run("exec", "x", "true")
    inside = run("exec", "x", "sh", "-c", "cat /proc/self/cgroup").splitlines()[-1]
    expect(inside, "0::/", "the cgroup of an exec from the session")
    run("stop", "-t", "0", "x")
    run("rm", "x")
    expect(left(), [], "left after stop and rm:")
    return said


def delegated_scope_is_kept(run: Runtime) -> str:
    """in a delegated scope, the container stays inside it: a limit on the scope holds for it"""
    options = ("--memory", "100m", "--memory-reservation", "50m", "--cpu-shares", "512", "--cpuset-cpus", "1")
    before = (*SCOPE, "-p", "MemoryMax=200M")
    cgroup = run.start(*options, before=before)
    expect((cgroup.parent / "memory.max").read_text().strip(), str(200 * MB), "memory.max of the scope")
    found = read(cgroup, "memory.max", "memory.swap.max", "memory.low", "cpu.weight", "cpuset.cpus", "pids.max")
    wanted = {"memory.max": str(100 * MB), "memory.swap.max": str(100 * MB), "memory.low": str(50 * MB)}
    # 512 shares: 1 + (512 - 2) * 9999 / 262142, the conversion of the OCI runtimes
    said = expect(found, {**wanted, "cpu.weight": "20", "cpuset.cpus": "1", "pids.max": "2048"}, "limits")
    run("kill", "x")
    call("rpod", "wait", "x")
    run("rm", "x")
    expect(left(), [], "left after kill and rm:")
    return said


def memory_is_enforced(run: Runtime) -> str:
    """an allocation beyond --memory is killed: 137, OOMKilled"""
    run("run", "--name", "x", *ALL, IMAGE, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1", code=137)
    said = call("rpod", "inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", "x")
    run("rm", "x")
    return expect(said, "137 true", "exit code, OOMKilled:")


def exec_is_limited_too(run: Runtime) -> str:
    """a process of exec, from another session, counts against the container's memory"""
    run.start(*ALL)
    run("exec", "x", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1", code=137)
    run.end()
    return expect(left(), [], "exit code 137, left after rm -f:")


def processes_are_counted(run: Runtime) -> str:
    """a fork loop stops at --pids-limit"""
    cgroup = run.start(*ALL, command=("sh", "-c", FORKS))
    most = refused = 0
    end = time.monotonic() + 20
    while not refused and time.monotonic() < end and cgroup.exists():
        try:
            most = max(most, int((cgroup / "pids.current").read_text()))
            refused = int((cgroup / "pids.events").read_text().split()[1])
        except OSError:
            break
        time.sleep(0.01)
    run.end()
    if not refused or most > 20:
        raise Rule(f"{most} processes were seen, {refused} forks refused")
    return f"at most {most} processes seen, forks refused"


def processors_are_throttled(run: Runtime) -> str:
    """a busy loop gets no more than --cpus"""
    cgroup = run.start(*ALL, command=("sh", "-c", "while :; do :; done"))
    periods = {}
    end = time.monotonic() + 20
    while time.monotonic() < end:
        periods = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
        if int(periods["nr_throttled"]) >= 5:
            break
        time.sleep(0.1)
    run.end()
    if int(periods["nr_throttled"]) < 5:
        raise Rule(f"throttled in {periods['nr_throttled']} of {periods['nr_periods']} periods")
    return f"throttled in {periods['nr_throttled']} of {periods['nr_periods']} periods"


def limits_outlive_other_units(run: Runtime) -> str:
    """a limit stays when systemd takes its controller from units that are not delegated"""
    cgroup = run.start("--cpuset-cpus", "1", before=PLAIN_SCOPE)
    call("systemd-run", "--user", "--pipe", "--wait", "--quiet", "-p", "Delegate=yes", "true")
    call("systemctl", "--user", "daemon-reload")
    time.sleep(0.3)
    said = expect(read(cgroup, "cpuset.cpus.effective")["cpuset.cpus.effective"], "1", "cpuset.cpus.effective")
    run.end()
    return said


def without_limits_in_any_unit(run: Runtime) -> str:
    """without limits a container runs in a terminal's scope and in a delegated service, with the default of 2048 processes"""
    for before in (PLAIN_SCOPE, ("systemd-run", "--user", "--pipe", "--wait", "--quiet", "-p", "Delegate=yes")):
        path = f"PATH={os.environ['PATH']}"
        said = call(*before, "env", path, *run.argv("run", "--rm", IMAGE, "cat", "/sys/fs/cgroup/pids.max"))
        expect(said.splitlines()[-1], "2048", "pids.max")
    return expect(left(), [], "pids.max 2048 in both, left:")


def any_control_by_name(run: Runtime) -> str:
    """--cgroup-conf sets a file of cgroup v2 by its name"""
    cgroup = run.start("--cgroup-conf", "memory.high=33554432")
    said = expect(read(cgroup, "memory.high")["memory.high"], str(32 * MB), "memory.high")
    run.end()
    return said


def refusals_name_what_is_missing(run: Runtime) -> str:
    """what can't be applied is refused, with what is missing and what mends it; nothing is dropped in silence"""
    path = f"PATH={os.environ['PATH']}"
    poor = ("systemd-run", "--user", "--pipe", "--wait", "--quiet", "-p", "Delegate=memory pids", "env", path)
    first = call(*poor, *run.argv("run", "--rm", "--cpuset-cpus", "0", IMAGE, "true"), code=125)
    alone = ("env", "-u", "XDG_RUNTIME_DIR")
    second = call(*alone, *run.argv("run", "--rm", "--memory", "64m", IMAGE, "true"), code=125)
    third = run("run", "--rm", "--memory", "64m", "--cgroups", "disabled", IMAGE, "true", code=125)
    for text, words in (
        (first, ("--cpuset-cpus", "'cpuset'", "Delegate=")),
        (second, ("--memory", "delegated to you", "systemd-run --user --scope -p Delegate=yes")),
        (third, ("--memory can't go with --cgroups=disabled",)),
    ):
        if any(word not in text for word in words):
            raise Rule(f"the refusal says: {text}")
    return first.splitlines()[0].removeprefix("Error: ")


def update_changes_what_runs(run: Runtime) -> str:
    """update changes the limits of a running container, and the next start has them"""
    cgroup = run.start(*ALL)
    run("update", "--memory", "96m", "--memory-swap", "-1", "--pids-limit", "30", "--cpu-quota", "25000", "x")
    files = ("memory.max", "memory.swap.max", "pids.max", "cpu.max")
    wanted = {"memory.max": str(96 * MB), "memory.swap.max": "max", "pids.max": "30", "cpu.max": "25000 100000"}
    said = expect(read(cgroup, *files), wanted, "limits")
    host = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuQuota}}"
    expect(call("rpod", "inspect", "--format", host, "x"), f"{96 * MB} 30 25000", "inspect says")
    run("update", "--pids-limit", "-1", "--cpuset-cpus", "1", "x")
    expect(read(cgroup, "pids.max", "cpuset.cpus"), {"pids.max": "max", "cpuset.cpus": "1"}, "then")
    run("restart", "-t", "0", "x")
    pid = call("rpod", "inspect", "--format", "{{.State.Pid}}", "x")
    again = CGROUPS / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    wanted = {"memory.max": str(96 * MB), "memory.swap.max": "max", "cpu.max": "25000 100000", "cpuset.cpus": "1"}
    expect(read(again, *wanted), wanted, "after a restart")
    run.end()
    return said


def what_runs_without_limits_is_refused_what_it_lacks(run: Runtime) -> str:
    """update of a container that was started without limits sets what its cgroup has, and refuses the rest by name"""
    cgroup = run.start(before=PLAIN_SCOPE)
    has = (cgroup / "cgroup.controllers").read_text().split()
    for controller, option, value in (("memory", "--memory", "64m"), ("cpuset", "--cpuset-cpus", "0")):
        said = run("update", option, value, "x", code=0 if controller in has else 125)
        if controller not in has and f"{controller!r}" not in said:
            raise Rule(f"the refusal says: {said}")
    run.end()
    return f"it has {' '.join(has) or 'no controller'}"


def pause_stops_the_clock(run: Runtime) -> str:
    """pause freezes every process: the clock of its cgroup stands still, until unpause"""
    cgroup = run.start(before=PLAIN_SCOPE, command=("sh", "-c", "while :; do :; done"))

    def clock() -> str:
        return (cgroup / "cpu.stat").read_text().split()[1]

    run("pause", "x")
    before = clock()
    time.sleep(0.3)
    expect(clock(), before, "usage_usec of a paused container")
    expect(call("rpod", "inspect", "--format", "{{.State.Status}}", "x"), "paused", "its state")
    run("unpause", "x")
    time.sleep(0.3)
    if clock() == before:
        raise Rule("it does not go on after unpause")
    run("pause", "x")
    run.end()
    return expect(left(), [], "removed while paused, left:")


def pause_says_how_to_get_a_cgroup(run: Runtime) -> str:
    """in a login session a container without limits has no cgroup: the refusal says how it gets one, and that works"""
    run.start()
    said = run("pause", "x", code=125)
    for line in said.splitlines()[-1].partition(": ")[2].split("; "):
        run(*line.split()[1:])
    run("pause", "x")
    run.end()
    return said.splitlines()[-1].strip()


def stats_say_what_the_cgroup_counts(run: Runtime) -> str:
    """stats has the numbers of the container's cgroup, and its limit"""
    cgroup = run.start(*ALL, command=("sh", "-c", "while :; do :; done"))
    time.sleep(1)
    form = "{{.MemUsageBytes}} {{.PIDs}} {{.CPUNano}}"
    words = run("stats", "--no-stream", "--format", form, "x").split()
    expect(words[2], "64MiB", "the limit")
    expect(words[3], (cgroup / "pids.current").read_text().strip(), "pids")
    used, counted = int(words[4]) // 1000, int((cgroup / "cpu.stat").read_text().split()[1])
    if not 0 < used <= counted:
        raise Rule(f"{used} us of processor are told, {counted} counted")
    run.end()
    return " ".join(words)


def block_devices_are_limited(run: Runtime) -> str:
    """--device-read-bps and --blkio-weight reach io.max and io.weight where io is delegated"""
    name = next(one.name for one in Path("/sys/block").iterdir() if one.name.startswith(("vd", "sd")))
    number = Path(f"/sys/block/{name}/dev").read_text().strip()
    manager = (MANAGER / "cgroup.controllers").read_text().split()
    options = ("--device-read-bps", f"/dev/{name}:1mb", "--device-write-iops", f"/dev/{name}:100")
    if "io" not in manager:
        said = run("run", "--rm", *options, IMAGE, "true", code=125)
        if "'io'" not in said:
            raise Rule(f"the refusal says: {said}")
        return said.splitlines()[0]
    cgroup = run.start(*options)
    said = expect((cgroup / "io.max").read_text().strip(), f"{number} rbps={MB} wbps=max riops=max wiops=100", "io.max")
    run("update", "--device-read-bps", f"/dev/{name}:2mb", "x")
    found = (cgroup / "io.max").read_text().strip()
    if f"rbps={2 * MB}" not in found:
        raise Rule(f"after update io.max is {found}")
    run.end()
    return said


def pod_cgroup(run: Runtime) -> Path:
    """Return the cgroup of the pod p, as the host sees it."""
    path = run("pod", "inspect", "--format", "{{.CgroupPath}}", "p").splitlines()[-1]
    if not path.startswith("/"):
        raise Rule(f"pod inspect says its cgroup is {path!r}")
    return CGROUPS / path.lstrip("/")


def cgroup_of(name: str) -> Path:
    pid = call("rpod", "inspect", "--format", "{{.State.Pid}}", name).splitlines()[-1]
    return CGROUPS / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def hold(size: str) -> tuple[str, ...]:
    """A command that keeps as much memory as a buffer."""
    return ("dd", "if=/dev/zero", "of=/dev/null", f"bs={size}", "count=1000000")


def pod_memory_holds_for_the_sum(run: Runtime) -> str:
    """a pod's --memory holds for the sum of its containers: two that fit alone do not fit together"""
    run("pod", "create", "--memory", "64m", "--memory-swap", "64m", "p")
    run("run", "-d", "--pod", "p", "--name", "one", IMAGE, *hold("40M"))
    pod = pod_cgroup(run)
    found = read(pod, "memory.max", "memory.swap.max")
    expect(found, {"memory.max": str(64 * MB), "memory.swap.max": "0"}, "limits of the pod")
    expect(cgroup_of("one").parent, pod, "the cgroup above a container")
    time.sleep(0.5)
    expect((pod / "memory.events").read_text().splitlines()[4], "oom_kill 0", "with one container")
    expect((cgroup_of("one") / "memory.max").read_text().strip(), "max", "memory.max of the container itself")
    run("run", "-d", "--pod", "p", "--name", "two", IMAGE, *hold("40M"))
    ended = ""
    for _ in range(100):
        ended = run("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}")
        if ended:
            break
        time.sleep(0.1)
    if ended not in ("one", "two"):
        raise Rule(f"ended: {ended!r}")
    said = call("rpod", "inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", ended)
    most = int((pod / "memory.peak").read_text()) if (pod / "memory.peak").exists() else 0
    if most > 64 * MB:
        raise Rule(f"the pod had {most} bytes")
    run("pod", "rm", "-f", "-t", "0", "p")
    expect(left(), [], "left after pod rm:")
    return expect(said, "137 true", f"of two one ended, {ended}: exit code, OOMKilled:") + f", peak {most // MB} MB"


def pod_processors_hold_for_the_sum(run: Runtime) -> str:
    """a pod's --cpus holds for the sum of its containers"""
    run("pod", "create", "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "p")
    for name in ("one", "two"):
        run("run", "-d", "--pod", "p", "--name", name, IMAGE, "sh", "-c", "while :; do :; done")
    pod = pod_cgroup(run)
    found = read(pod, "cpu.max", "cpu.weight", "cpuset.cpus")
    expect(found, {"cpu.max": "50000 100000", "cpu.weight": "20", "cpuset.cpus": "0"}, "limits of the pod")
    spent = []
    began = time.monotonic()
    for pause in (2.0, 0.0):
        spent.append(int((pod / "cpu.stat").read_text().split()[1]))
        time.sleep(pause)
    share = (spent[1] - spent[0]) / (time.monotonic() - began) / 1e6
    run("pod", "rm", "-f", "-t", "0", "p")
    if not 0.2 < share < 0.6:
        raise Rule(f"two busy loops got {share:.2f} processors")
    return f"two busy loops got {share:.2f} processors"


def pod_scope_lives_as_long_as_its_containers(run: Runtime) -> str:
    """a pod's scope outlives its infra container, takes containers of other sessions, and is made again after a stop"""
    run("pod", "create", "--memory", "64m", "p")
    run("run", "-d", "--pod", "p", "--name", "one", IMAGE, "sleep", "1000")
    pod = pod_cgroup(run)
    where = str(pod.relative_to(MANAGER).parent)
    if not re.fullmatch(r"app\.slice/rpod-pod-[0-9a-f]{12}-[0-9a-f]{8}\.scope", where):
        raise Rule(f"the pod lies in {where}")
    infra = run("pod", "inspect", "--format", "{{.InfraContainerID}}", "p")
    run("kill", infra)
    run("wait", infra)
    run("run", "-d", "--pod", "p", "--name", "two", IMAGE, "sleep", "1000", before=SCOPE)
    run("exec", "two", "true")
    for name in ("one", "two", infra):
        expect(cgroup_of(name).parent, pod, f"the cgroup above {name[:12]}")
    run("pod", "stop", "-t", "0", "p")
    expect(left(), [], "left after pod stop:")
    run("pod", "start", "p")
    anew = pod_cgroup(run)
    if anew == pod:
        raise Rule("the cgroup is the old one")
    expect(cgroup_of("two").parent, anew, "the cgroup above a container started again")
    said = expect((anew / "memory.max").read_text().strip(), str(64 * MB), "memory.max after a stop and a start")
    run("pod", "rm", "-f", "-t", "0", "p")
    expect(left(), [], "left after pod rm:")
    return said


def pod_limits_are_refused_without_their_controller(run: Runtime) -> str:
    """a pod's limit without its controller is refused when the pod is created"""
    said = run("pod", "create", "--memory", "64m", "p", code=125, before=("env", "-u", "XDG_RUNTIME_DIR"))
    run("pod", "exists", "p", code=1)
    return said.splitlines()[0]


def journal_keeps_logs_and_gives_them_back(run: Runtime) -> str:
    """the log driver journald: lines, streams and unended lines are read back, and followed to the container's end"""
    script = "echo out; echo err >&2; sleep 1; echo later; printf end"
    run("run", "-d", "--name", "x", "--log-driver", "journald", "--log-opt", "tag=t", IMAGE, "sh", "-c", script)
    followed = run("logs", "-f", "x")
    found = expect(sorted(followed.split("\n")), ["end", "err", "later", "out"], "the followed log")
    expect(run("logs", "--tail", "2", "x"), "later\nend", "its tail")
    tagged = call("journalctl", "-q", "-o", "cat", "CONTAINER_TAG=t", "CONTAINER_NAME=x")
    expect("later" in tagged, True, "the journal has the tag, which")
    run.end()
    return found


def _pid() -> str:
    return call("rpod", "inspect", "--format", "{{.State.Pid}}", "x").splitlines()[-1]


def _wait_for(words: str, what: str, seconds: float = 90) -> None:
    """Wait until inspect says ``words`` of x."""
    deadline = time.monotonic() + seconds
    while (found := call("rpod", "inspect", "--format", what, "x").splitlines()[-1]) != words:
        if time.monotonic() > deadline:
            error = call("rpod", "inspect", "--format", "{{.State.Error}}", "x")
            raise Rule(f"{what} is {found!r}, not {words!r}; its error: {error!r}")
        time.sleep(0.1)


def restarts_keep_the_limits(run: Runtime) -> str:
    """a container that its restart policy or a health check starts again has its limits again"""
    cgroup = run.start(*ALL, "--restart", "always", "--stop-timeout", "1", "--health-cmd", "[ ! -e /dev/shm/sick ]",
                       "--health-interval", "300ms", "--health-retries", "1", "--health-on-failure", "restart")  # fmt: skip
    wanted = read(cgroup, "memory.max", "pids.max", "cpu.max")
    found = {}
    for count, action in (("1", ("kill", "-9", _pid())), ("2", ("rpod", "exec", "x", "sh", "-c", ": > /dev/shm/sick"))):
        call(*action)
        _wait_for(f"running {count}", "{{.State.Status}} {{.RestartCount}}")
        place = CGROUPS / Path(f"/proc/{_pid()}/cgroup").read_text().strip().removeprefix("0::/")
        found = read(place, "memory.max", "pids.max", "cpu.max")
        expect(found, wanted, f"limits after restart {count}")
        _wait_for("healthy", "{{.State.Health.Status}}")
    run.end()
    expect(left(), [], "left after the end:")
    return str(found)


def units_hear_that_it_is_ready(run: Runtime) -> str:
    """a unit of Type=notify is active once the container is ready, its main process is the monitor"""
    said = []
    for mode, more in (("conmon", ()), ("healthy", ("--health-cmd", "true", "--health-interval", "300ms"))):
        words = run.argv("run", "-d", "--name", "x", "--net", "none", "--sdnotify", mode, *more, IMAGE, "sleep", "1000")
        call(
            "systemd-run",
            "--user",
            "--quiet",
            "--unit",
            f"own-{mode}",
            "-p",
            "Type=notify",
            "-p",
            "NotifyAccess=all",
            *words,
        )
        shown = call("systemctl", "--user", "show", f"own-{mode}", "-p", "ActiveState", "-p", "MainPID").splitlines()
        monitor = call("rpod", "inspect", "--format", "{{.State.ConmonPid}}", "x").splitlines()[-1]
        expect(sorted(shown), ["ActiveState=active", f"MainPID={monitor}"], mode)
        said.append(f"{mode}: active")
        run.end()
        call("systemctl", "--user", "stop", f"own-{mode}", code=None)
        call("systemctl", "--user", "reset-failed", f"own-{mode}", code=None)
    return ", ".join(said)


RULES: tuple[Callable[[Runtime], str], ...] = (
    host_and_image_run,
    login_session_gets_a_scope,
    delegated_scope_is_kept,
    memory_is_enforced,
    exec_is_limited_too,
    processes_are_counted,
    processors_are_throttled,
    limits_outlive_other_units,
    without_limits_in_any_unit,
    any_control_by_name,
    refusals_name_what_is_missing,
    update_changes_what_runs,
    what_runs_without_limits_is_refused_what_it_lacks,
    pause_stops_the_clock,
    pause_says_how_to_get_a_cgroup,
    stats_say_what_the_cgroup_counts,
    block_devices_are_limited,
    pod_memory_holds_for_the_sum,
    pod_processors_hold_for_the_sum,
    pod_scope_lives_as_long_as_its_containers,
    pod_limits_are_refused_without_their_controller,
    journal_keeps_logs_and_gives_them_back,
    restarts_keep_the_limits,
    units_hear_that_it_is_ready,
)


def main() -> int:
    print(f"{call('uname', '-sr')}, {call('systemctl', '--version').splitlines()[0]}, uid {UID},", end=" ")
    print(f"in {Path('/proc/self/cgroup').read_text().strip().removeprefix('0::')}", flush=True)
    archive = Path.home() / "small.tar"
    small_image(archive)
    call("rpod", "load", "-q", "-i", str(archive))
    broken = 0
    runtimes = [word for word in sys.argv[1:] if word in ("crun", "runc")]
    only = [word for word in sys.argv[1:] if word not in runtimes]
    for name in runtimes or ("crun", "runc"):
        run = Runtime(name)
        print(f"{call(name, '--version').splitlines()[0]}", flush=True)
        for rule in (one for one in RULES if not only or any(word in one.__name__ for word in only)):
            began = time.monotonic()
            try:
                state, said = "ok", rule(run)
            except (Rule, OSError, subprocess.TimeoutExpired) as cause:
                state, said = "BROKEN", str(cause)
                broken += 1
                run("pod", "rm", "-fa", "-t", "0", code=None)
                run("rm", "-fa", "-t", "0", code=None)
            print(f"{state:7}{rule.__doc__} ({time.monotonic() - began:.1f} s)\n         {said}", flush=True)
    doctor = call("rpod", "doctor", code=None)
    print(
        "rpod doctor: " + next((line for line in doctor.splitlines() if " cgroups" in line), "says nothing of cgroups")
    )
    print(f"{broken} broken" if broken else "all hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

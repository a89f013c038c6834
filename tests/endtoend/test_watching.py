"""top, stats, update and container prune, on containers that really run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")


def run(img, name, *words, options=()):
    return img("run", "-d", "--name", name, "--network", "none", *options, "img", *(words or ("sleep", "1000"))).strip()


def test_top_shows_podmans_columns_and_the_containers_own_numbers(img):
    run(img, "one", "sh", "-c", "sleep 1000 & nice -n 5 sleep 2000 & wait", options=("-u", "0:0"))
    time.sleep(0.3)
    lines = img("top", "one").splitlines()
    assert lines[0].split() == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]
    assert [line.split()[:3] for line in lines[1:3]] == [["root", "1", "0"], ["root", "2", "1"]]
    asked = img("top", "one", "pid", "hpid,nice", "%c").splitlines()
    assert asked[0].split() == ["PID", "HPID", "NI", "COMMAND"]
    first = json.loads(img("inspect", "one"))[0]["State"]["Pid"]
    assert asked[1].split() == ["1", str(first), str(os.nice(0)), "sh"]
    assert ["5", "sleep"] in [line.split()[2:] for line in asked]


def test_top_names_ids_as_the_container_does_and_as_the_host_does(img):
    run(img, "one", options=("-u", "1000:1000"))
    first = json.loads(img("inspect", "one"))[0]["State"]["Pid"]
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{first}/status").read_text().splitlines() if ":\t" in line
    )
    row = img("top", "one", "huser", "hgroup", "user", "capeff", "seccomp", "state").splitlines()[1].split()
    assert row[:2] == [fields["Uid"].split()[1], fields["Gid"].split()[1]]
    inside = img("exec", "one", "sh", "-c", "id -un 2>/dev/null || id -u").strip()
    assert row[2:5] == [inside, "none", "filter"]


def test_top_hands_what_is_no_descriptor_to_the_containers_ps(img):
    run(img, "one")
    if img.run("exec", "one", "ps", "-o", "pid").returncode == 0:
        assert img("top", "one", "-o", "pid").split()[0] == "PID"
    assert img("top", "one", "-eo", "pid,cmd" if not _has_ps(img) else "pid,args").splitlines()[0].split()[0] == "PID"
    img.error("top", "one", "bogus-descriptor=")
    img.error("top", "nosuch")
    img.error("top")
    img("stop", "-t", "0", "one")
    img.error("top", "one")


def _has_ps(img):
    return img.run("exec", "one", "ps").returncode == 0


def test_stats_counts_what_a_container_burns(img):
    full = run(img, "busy", "sh", "-c", "while :; do :; done")
    run(img, "idle")
    img("create", "--name", "off", "--network", "none", "img", "true")
    time.sleep(0.5)
    rows = {row["name"]: row for row in json.loads(img("stats", "--no-stream", "--format", "json"))}
    assert set(rows) == {"busy", "idle"}
    assert list(rows["busy"]) == [
        "id", "name", "cpu_time", "cpu_percent", "avg_cpu", "mem_usage", "mem_percent", "net_io", "block_io", "pids",
    ]  # fmt: skip
    assert float(rows["busy"]["cpu_percent"].rstrip("%")) > float(rows["idle"]["cpu_percent"].rstrip("%"))
    assert rows["busy"]["id"] == full[:12]
    assert int(rows["busy"]["pids"]) == 1
    assert not rows["busy"]["mem_usage"].startswith("0B")
    table = img("stats", "--no-stream", "-a").splitlines()
    assert table[0].split("  ")[0] == "ID"
    assert "MEM USAGE / LIMIT" in table[0]
    assert len(table) == 4
    assert img("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "off") == "off 0B / 0B 0\n"
    assert img("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", "busy") == f"{full}\n"
    img.error("stats", "--no-stream", "nosuch")
    img.error("stats", "--no-stream", "-a", "busy")
    img.error("stats", "--no-stream", "-i", "0")


def test_stats_goes_on_until_what_was_named_is_gone(img):
    run(img, "one")
    stream = img.start("stats", "--no-reset", "-i", "1", "--format", "{{.Name}}", "one", stdout=subprocess.PIPE)
    assert stream.stdout.readline() == b"one\n"
    assert stream.stdout.readline() == b"one\n"
    img("rm", "-f", "-t", "0", "one")
    stream.communicate(timeout=20)
    assert stream.returncode == 0


def test_prune_takes_what_does_not_run_and_fits(img):
    running = run(img, "one")
    img("create", "--name", "old", "--label", "kind=a", "--network", "none", "img", "true")
    kept = img("create", "--name", "kept", "--label", "kind=b", "--network", "none", "img", "true").strip()
    img("create", "--name", "ready", "--label", "kind=a", "--network", "none", "img", "true")
    img("init", "ready")
    assert img("container", "prune", stdin=b"n\n").endswith("[y/N] ")
    gone = img("container", "prune", "-f", "--filter", "label!=kind=b").split()
    assert len(gone) == 2
    assert set(img("ps", "-aq", "--no-trunc").split()) == {running, kept}
    assert img("container", "prune", stdin=b"y\n").endswith(f"{kept}\n")
    img.error("container", "prune", "-f", "--filter", "x=y")


def test_update_of_a_stopped_container_holds_for_the_next_start(img):
    full = img("create", "--name", "one", "--network", "none", "--memory", "64m", "img", "sleep", "1000").strip()
    assert img("update", "--memory", "100m", "--cpus", "0.5", "one") == f"{full}\n"
    assert img("update", "--restart", "on-failure:3", "one") == f"{full}\n"
    record = json.loads((img.root / "containers" / full / "container.json").read_text())["container"]["request"]
    assert (record["process"]["memory"], record["process"]["cpus"]) == ("100m", "0.5")
    assert (record["restart_policy"], record["restart_retries"]) == ("on-failure", 3)
    img("update", "--cpu-quota", "50000", "one")
    record = json.loads((img.root / "containers" / full / "container.json").read_text())["container"]["request"]
    assert "cpus" not in record["process"]
    img.error("update", "--memory", "1k", "one")
    img.error("update", "--memory-swappiness", "5", "one")
    img.error("update", "--restart", "sometimes", "one")
    img.error("update", "--memory", "64m", "nosuch")


@pytest.mark.skipif(
    "memory" in CONTROLLERS.read_text() if CONTROLLERS.exists() else False,
    reason="this machine may hand the memory controller on",
)
def test_update_of_a_running_container_without_the_controller_is_refused_as_run_does(img):
    run(img, "one")
    said = img.error("update", "--memory", "64m", "one")
    assert "cgroup" in said
    assert json.loads(img("inspect", "one"))[0]["State"]["Running"]


def test_limits_of_block_devices_are_checked_before_anything_runs(img):
    img.error("run", "--rm", "--blkio-weight", "5", "img", "true")
    img.error("run", "--rm", "--device-read-bps", "/dev/null:1mb", "img", "true")
    img.error("run", "--rm", "--device-write-iops", "nothing", "img", "true")

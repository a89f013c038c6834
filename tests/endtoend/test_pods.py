"""Pods: containers that share namespaces, held by a container that needs no image."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod, free_port


@pytest.fixture
def pods(img: Rpod) -> Iterator[Rpod]:
    """The shared store; whatever pods a test leaves behind are removed."""
    yield img
    img.run("pod", "rm", "-fa", "-t", "0")
    assert img("ps", "-aq") == ""


def inspect(rpod: Rpod, pod: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(rpod("pod", "inspect", pod))
    return found


_SERVE = """
import http.server, pathlib, sys
pathlib.Path("/dev/shm/said").write_text("one")
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
http.server.HTTPServer(("0.0.0.0", 8000), Hello).serve_forever()
"""


def get(port: int) -> str:
    """Return what the server behind a port on this machine answers; it may need a moment to listen."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers on port {port}")


def test_two_containers_share_network_host_name_and_memory(pods: Rpod) -> None:
    port = free_port()
    pods("pod", "create", "--name", "web", "-p", f"127.0.0.1:{port}:8000", "--add-host", "friend:10.1.2.3")
    assert inspect(pods, "web")["State"] == "Created"
    pods("run", "-d", "--pod", "web", "--name", "server", "host", "python3", "-c", _SERVE)
    assert get(port) == "hello"
    said = pods(
        "run", "--rm", "--pod", "web", "img", "sh", "-c",
        "cat /dev/shm/said; echo; cat /etc/hostname; hostname; echo $HOSTNAME; grep friend /etc/hosts",
    )  # fmt: skip
    assert said.split() == ["one", "web", "web", "web", "10.1.2.3", "friend"]
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000').read())"
    assert pods("run", "--rm", "--pod", "web", "host", "python3", "-c", fetch) == "b'hello'\n"
    assert inspect(pods, "web")["State"] == "Running"
    # The pod's file of names is one file: what one container adds, another sees.
    pods("exec", "server", "sh", "-c", "echo 10.9.9.9 added >> /etc/hosts")
    assert "added" in pods("run", "--rm", "--pod", "web", "img", "cat", "/etc/hosts")


def test_the_infra_container_goes_only_with_its_pod(pods: Rpod) -> None:
    pod_id = pods("pod", "create", "keep").strip()
    infra = str(inspect(pods, "keep")["InfraContainerID"])
    assert f"infra container of pod {pod_id} and cannot be removed" in pods.error("rm", "-f", infra)
    pods("run", "-d", "--pod", "keep", "--name", "busy", "img", "sleep", "100")
    assert "busy (running)" in pods.error("pod", "rm", "keep")
    assert pods("pod", "rm", "-f", "-t", "0", "keep") == f"{pod_id}\n"
    assert pods("ps", "-aq") == ""
    assert pods.mounts() == []
    assert pods("pod", "rm", "-f", "keep") == ""
    assert "no pod with name or id 'keep'" in pods.error("pod", "rm", "keep", code=1)
    pods("pod", "exists", "keep", code=1)


def test_a_new_pod_is_made_for_a_container_with_its_ports(pods: Rpod) -> None:
    port = free_port()
    pods("create", "--pod", "new:fresh", "--name", "first", "-p", f"{port}:80", "--hostname", "here", "img", "true")
    ports = json.loads(pods("inspect", "first"))[0]["NetworkSettings"]["Ports"]
    assert ports["80/tcp"] == [{"HostIp": "", "HostPort": str(port)}]
    assert inspect(pods, "fresh")["Hostname"] == "here"
    row = json.loads(pods("ps", "-a", "--filter", "name=^first$", "--format", "json"))[0]
    assert row["PodName"] == "fresh"
    assert not row["IsInfra"]
    assert pods("ps", "-aq", "--filter", "pod=fresh").count("\n") == 2
    assert "name 'fresh' is in use" in pods.error("run", "--pod", "new:fresh", "img", "true")
    assert "at least one character" in pods.error("run", "--pod", "new:", "img", "true")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("-p", "9999:80"), "must be defined when the pod is created"),
        (("--hostname", "x"), "cannot set hostname when joining the pod UTS namespace"),
        (("--add-host", "a:1.2.3.4"), "extra host entries must be specified on the pod"),
        (("--dns", "1.1.1.1"), "--dns must be specified on the pod"),
        (("--userns", "keep-id"), "--userns and --pod cannot be set together"),
    ],
)
def test_what_belongs_to_the_pod_is_refused_on_a_member(pods: Rpod, option: tuple[str, ...], reason: str) -> None:
    pods("pod", "create", "strict")
    assert reason in pods.error("create", "--pod", "strict", *option, "img", "true")


def test_a_pod_without_infra_container_shares_nothing(pods: Rpod) -> None:
    pods("pod", "create", "--infra=false", "bare")
    said = inspect(pods, "bare")
    assert "SharedNamespaces" not in said
    assert said["NumContainers"] == 0
    assert pods("run", "--rm", "--pod", "bare", "img", "hostname") != "bare\n"
    assert "without an infra container" in pods.error("pod", "create", "--infra=false", "--share", "net")
    assert "must have an infra container" in pods.error("pod", "create", "--infra=false", "-p", "80:80")


def test_a_lost_infra_container_and_a_damaged_record_are_no_dead_end(pods: Rpod) -> None:
    pods("pod", "create", "torn")
    said = inspect(pods, "torn")
    # The creation of the pod was killed before its infra container had a record.
    (pods.root / "containers" / str(said["InfraContainerID"]) / "container.json").unlink()
    # An earlier one was being removed when its remover was killed.
    left = pods.root / "containers" / f".removing-{said['InfraContainerID']}"
    left.mkdir()
    (left / "container.json").write_text("{}")
    assert pods("run", "--rm", "--pod", "torn", "img", "hostname") == "torn\n"
    assert inspect(pods, "torn")["InfraContainerID"] == said["InfraContainerID"]
    record = pods.root / "pods" / str(said["Id"]) / "pod.json"
    record.write_text(record.read_text()[:40])
    assert [one["Status"] for one in json.loads(pods("pod", "ps", "--format", "json"))] == ["Error"]
    pods("pod", "rm", "-f", "-t", "0", "torn")
    assert pods("ps", "-aq") == ""


def test_a_directory_that_never_became_a_pod_gives_its_name_back(pods: Rpod) -> None:
    pods("pod", "create", "other")
    half = pods.root / "pods" / ("ab" * 32)
    half.mkdir(0o700)
    os.symlink(half.name, pods.root / "names" / "pods" / "wanted")
    pods("pod", "create", "wanted")
    assert not half.exists()
    assert inspect(pods, "wanted")["State"] == "Created"


def test_an_id_file_names_a_pod(pods: Rpod, tmp_path: Path) -> None:
    file = tmp_path / "id"
    pod_id = pods("pod", "create", "--pod-id-file", str(file)).strip()
    assert file.read_text() == pod_id
    assert pods("run", "--rm", "--pod-id-file", str(file), "img", "true") == ""
    assert "exists already" in pods.error("pod", "create", "--pod-id-file", str(file))
    assert pods("pod", "rm", "--pod-id-file", str(file)) == f"{pod_id}\n"


def states(rpod: Rpod, pod: str) -> dict[str, str]:
    """Return the state of each container of a pod by its name, the infra container as ``infra``."""
    found: dict[str, str] = {}
    for one in json.loads(rpod("pod", "inspect", pod)).get("Containers", ()):
        found["infra" if one["Name"].endswith("-infra") else one["Name"]] = one["State"]
    return found


def test_a_pod_is_stopped_started_restarted_and_killed_as_one(pods: Rpod) -> None:
    pod_id = pods("pod", "create", "crew").strip()
    wait = "trap 'echo ended; exit 0' TERM; echo began; while true; do sleep 0.1; done"
    for name in ("fore", "aft"):
        pods("create", "--pod", "crew", "--name", name, "img", "sh", "-c", wait)
    assert pods("pod", "start", "crew") == f"{pod_id}\n"
    assert states(pods, "crew") == {"infra": "running", "fore": "running", "aft": "running"}
    assert pods("pod", "stop", "crew") == f"{pod_id}\n"
    assert states(pods, "crew") == {"infra": "exited", "fore": "exited", "aft": "exited"}
    assert inspect(pods, "crew")["State"] == "Exited"
    assert pods("pod", "restart", "crew") == f"{pod_id}\n"
    assert inspect(pods, "crew")["State"] == "Running"
    assert pods("pod", "kill", "crew") == f"{pod_id}\n"
    pods("wait", "fore", "aft")
    assert pods("pod", "ps", "-q", "--filter", "status=exited", "--filter", "name=crew") == f"{pod_id}\n"
    said = pods("pod", "logs", "--names", "crew").splitlines()
    assert [line for line in said if "fore" in line] == ["fore began", "fore ended", "fore began"]
    assert len(said) == 6
    assert pods("pod", "logs", "-c", "aft", "crew").split() == ["began", "ended", "began"]
    assert "container nobody is not in pod crew" in pods.error("pod", "logs", "-c", "nobody", "crew")
    # Starting one of them starts the infra container, which holds the network.
    pods("start", "fore")
    assert states(pods, "crew") == {"infra": "running", "fore": "running", "aft": "exited"}
    assert inspect(pods, "crew")["State"] == "Degraded"
    pods("stop", "-t", "0", "fore")
    pods("rm", "aft")
    assert states(pods, "crew") == {"infra": "running", "fore": "exited"}
    assert "unknown signal 'NOPE'" in pods.error("pod", "kill", "-s", "NOPE", "crew")
    assert pods("pod", "prune", "-f") == ""
    pods("pod", "stop", "--all")
    assert pods("pod", "prune", "-f") == f"{pod_id}\n"


def test_init_containers_run_to_their_end_before_the_others_start(pods: Rpod) -> None:
    pods("pod", "create", "ready")
    leave = "echo made >> /dev/shm/notes"
    pods("create", "--pod", "ready", "--init-ctr", "once", "--name", "first", "img", "sh", "-c", leave)
    pods("create", "--pod", "ready", "--init-ctr", "always", "--name", "each", "img", "sh", "-c", leave)
    pods("create", "--pod", "ready", "--name", "main", "img", "sh", "-c", "cat /dev/shm/notes; exec sleep 100")
    pods("pod", "start", "ready")
    assert states(pods, "ready") == {"infra": "running", "each": "exited", "main": "running"}
    assert pods("logs", "main").split() == ["made", "made"]
    assert "cannot add init-ctr to a running pod" in pods.error(
        "create", "--pod", "ready", "--init-ctr", "once", "img", "true"
    )
    assert "must specify pod value with init-ctr" in pods.error("create", "--init-ctr", "once", "img", "true")
    pods("pod", "stop", "-t", "0", "ready")
    pods("create", "--pod", "ready", "--init-ctr", "always", "--name", "bad", "img", "false")
    assert "init container bad exited with code 1" in pods.error("pod", "start", "ready")
    assert states(pods, "ready")["main"] == "exited"


def test_the_exit_policy_stops_a_pod_with_its_last_container(pods: Rpod) -> None:
    pods("pod", "create", "--exit-policy", "stop", "brief")
    pods("run", "--pod", "brief", "--rm", "img", "true")
    infra = str(inspect(pods, "brief")["InfraContainerID"])
    assert pods("wait", infra) == "0\n"
    assert inspect(pods, "brief")["State"] == "Exited"
    assert "invalid pod exit policy" in pods.error("pod", "create", "--exit-policy", "later")


def test_a_dry_run_shows_the_namespaces_of_the_pod_and_makes_nothing(pods: Rpod) -> None:
    pods("pod", "create", "plan")
    infra = str(inspect(pods, "plan")["InfraContainerID"])
    said = pods("run", "--pod", "plan", "--dry-run", "img", "true")
    assert f"uts=/proc/{infra[:12]}/ns/uts" in said
    assert inspect(pods, "plan")["State"] == "Created"
    pods("run", "--pod", "new:later", "--dry-run", "img", "true")
    pods("pod", "exists", "later", code=1)


def test_processes_and_user_namespace_are_shared_on_request(pods: Rpod) -> None:
    pods("pod", "create", "--share", "+pid", "tree")
    pods("run", "-d", "--pod", "tree", "img", "sleep", "4321")
    listed = "for one in /proc/[0-9]*; do tr '\\0' ' ' < $one/cmdline; echo; done"
    said = pods("run", "--rm", "--pod", "tree", "img", "sh", "-c", listed)
    assert "/pause" in said
    assert "sleep 4321" in said
    assert inspect(pods, "tree")["SharedNamespaces"] == ["ipc", "net", "pid", "uts"]


def test_what_the_pod_mounts_its_containers_have(pods: Rpod, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from the host")
    tmp_path.chmod(0o755)
    before = pods("volume", "ls", "-q")
    pods("pod", "create", "-v", f"{tmp_path}:/given:ro", "-v", "/between", "mounted")
    pods("run", "--rm", "-u", "0", "--pod", "mounted", "img", "sh", "-c", "echo left > /between/note")
    said = pods("run", "--rm", "--pod", "mounted", "img", "sh", "-c", "cat /given/given /between/note")
    assert said == "from the hostleft\n"
    pods("pod", "rm", "-f", "-t", "0", "mounted")
    assert pods("volume", "ls", "-q") == before


def test_removing_everything_by_force_removes_the_pods(pods: Rpod) -> None:
    pods("pod", "create", "gone")
    pods("run", "-d", "--pod", "gone", "img", "sleep", "100")
    pods("rm", "-fa", "-t", "0")
    assert pods("pod", "ps", "-q") == ""
    assert pods("ps", "-aq") == ""


def test_a_damaged_pod_is_mended_by_system_check(pods: Rpod) -> None:
    pods("pod", "create", "--name", "mend", "--label", "a=b", "--add-host", "friend:10.1.2.3", "--exit-policy", "stop")
    pods("run", "--rm", "--pod", "mend", "img", "true")
    pods("create", "--pod", "mend", "--name", "member", "img", "cat", "/etc/hostname", "/etc/hosts")
    before = inspect(pods, "mend")
    record = pods.root / "pods" / str(before["Id"]) / "pod.json"
    record.write_text("{")
    infra = pods.root / "containers" / str(before["InfraContainerID"]) / "container.json"
    assert "pod" in pods.run("system", "check", "--quick").stdout.decode()
    assert "(repaired)" in pods("system", "check", "--quick", "--repair")
    after = inspect(pods, "mend")
    assert after == before
    (record.parent / "second.json").unlink()  # as of an older rpod: its containers tell what they know
    record.write_text("{")
    pods("system", "check", "--quick", "--repair")
    after = inspect(pods, "mend")
    for key in ("Id", "Name", "Labels", "InfraContainerID", "SharedNamespaces", "CreateCommand", "InfraConfig"):
        assert after[key] == before[key], key
    infra.write_text("{")
    assert "its infra container is damaged" in pods.run("system", "check", "--quick").stdout.decode()
    pods("system", "check", "--quick", "--repair")
    said = pods("start", "--attach", "member")
    assert said.splitlines()[0] == "mend"
    assert "friend" in said
    record.unlink()
    pods("system", "check", "--quick", "--repair")
    assert inspect(pods, "mend")["State"] == "Degraded"
    pods("pod", "rm", "-f", "mend")


def test_a_killed_rpod_leaves_a_pod_that_can_be_used_and_removed(pods: Rpod) -> None:
    for after in (0.02, 0.05, 0.08, 0.12):
        making = pods.start("pod", "create", "--replace", "torn", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        making.kill()
        making.wait()
        running = pods.start(
            "run", "-d", "--pod", "new:apart", "img", "sleep", "100",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(4 * after)
        running.kill()
        running.wait()
        pods("pod", "rm", "-f", "-t", "0", "apart")
    pods("pod", "create", "--replace", "torn")
    pods("pod", "rm", "-f", "torn")
    removing = pods("pod", "create", "going").strip()
    pods("run", "-d", "--pod", "going", "img", "sleep", "100")
    killed = pods.start("pod", "rm", "-f", "-t", "0", "going", stdout=subprocess.DEVNULL)
    time.sleep(0.1)
    killed.kill()
    killed.wait()
    pods("pod", "rm", "-f", "-t", "0", removing)
    pods("rm", "-fa", "-t", "0")
    pods("system", "check", "--quick", "--repair")
    assert pods("pod", "ps", "-q") == ""
    assert list((pods.root / "pods").iterdir()) == []
    assert list((pods.root / "names" / "pods").iterdir()) == []
    assert pods.mounts() == []


def test_top_and_stats_show_every_container_of_a_pod_once(pods: Rpod) -> None:
    pods("pod", "create", "--share", "+pid", "seen")
    pods("run", "-d", "--pod", "seen", "--name", "work", "img", "sleep", "1234")
    pods("create", "--pod", "seen", "--name", "idle", "img", "true")
    rows = [line.split() for line in pods("pod", "top", "seen", "pid", "args").splitlines()]
    assert rows[0] == ["PID", "COMMAND"]
    assert sorted(rows[1:]) == [["1", "/pause"], [rows[-1][0], "sleep", "1234"]]
    assert "unknown descriptor" in pods.error("pod", "top", "seen", "nonsense")
    usage = {one["Name"]: one for one in json.loads(pods("pod", "stats", "--no-stream", "--format", "json", "seen"))}
    assert usage["idle"]["MemUsage"] == "-- / --"
    assert usage["work"]["PIDS"] == "1"
    assert usage["work"]["MemUsage"].endswith("B")
    assert usage["work"]["Pod"] == str(inspect(pods, "seen")["Id"])[:12]
    assert "work\n" in pods("pod", "stats", "--no-stream", "--format", "{{.Name}}", "--all")
    assert "work\n" in pods("pod", "stats", "--no-stream", "--format", "{{.Name}}", "--latest")
    assert "work\n" in pods("pod", "stats", "--no-stream", "--format", "{{.Name}}", "--no-reset", "seen")
    assert "/pause" in pods("pod", "top", "--latest", "args")


@pytest.mark.parametrize("options", [("--userns", "nomap"), ("--uidmap", "0:1:5000", "--gidmap", "0:1:5000")])
def test_members_join_a_user_namespace_that_has_no_place_for_ones_own_id(pods: Rpod, options: tuple[str, ...]) -> None:
    pods("pod", "create", "--name", "apart", *options)
    try:
        said = pods("run", "--rm", "--pod", "apart", "img", "cat", "/proc/self/uid_map")
        assert said.split()[:2] == ["0", "1"]
    finally:
        pods("pod", "rm", "-f", "apart")

"""Pods: containers that share namespaces, held by a container that needs no image."""

from __future__ import annotations

import json
import os
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
    assert ports == {"80/tcp": [{"HostIp": "", "HostPort": str(port)}]}
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

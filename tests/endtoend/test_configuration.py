"""What containers.conf and storage.conf say holds for real containers, and a broken file keeps nobody from ending one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import Rpod

CONF = """
[containers]
env = ["FROM_CONF=1", "PATH=/conf"]
default_capabilities = ["KILL"]
default_ulimits = ["nofile=64:64", "core=999999999999999"]
default_sysctls = ["net.ipv4.ip_unprivileged_port_start=99"]
base_hosts_file = "none"
log_tag = "tagged"
umask = "0027"
keyring = false
volumes = ["/usr:/configured:ro"]
no_such_key = true
[engine]
stop_timeout = 3
"""


@pytest.fixture
def configured(rpod: Rpod, tmp_path: Path) -> Rpod:
    conf = tmp_path / "own.conf"
    conf.write_text(CONF)
    return rpod.with_options(env={"CONTAINERS_CONF": str(conf)})


def test_a_container_is_made_as_the_file_says_and_typed_options_win(configured: Rpod) -> None:
    look = "echo $FROM_CONF; umask; ulimit -n; ls -d /configured/bin; grep CapBnd /proc/self/status; cat /etc/hosts"
    words = configured("run", "--rm", "--network", "none", "--umask", "0077", "host", "sh", "-c", look).splitlines()
    assert words[:4] == ["1", "0077", "64", "/configured/bin"]
    assert words[4].split()[1] == "0000000000000020"
    assert not any("ip6-localhost" in word for word in words[5:])
    configured("create", "--name", "made", "host", "true")
    made = json.loads(configured("inspect", "made"))[0]
    record = (configured.root / "containers" / made["Id"] / "container.json").read_text()
    assert '"keyring":false' in record
    assert made["Config"]["StopTimeout"] == 3


def test_info_says_where_each_value_is_from_and_why_a_key_does_not_act(configured: Rpod, tmp_path: Path) -> None:
    found = json.loads(configured("info", "--debug", "--format", "json"))["configuration"]
    rows = {row["key"]: row for row in found["settings"]}
    assert rows["engine.stop_timeout"] == {
        "key": "engine.stop_timeout", "value": 3, "file": f"{tmp_path}/own.conf", "acts": True, "reason": "",
    }  # fmt: skip
    assert rows["containers.no_such_key"]["acts"] is False
    assert f"{tmp_path}/own.conf" in found["files"]


def test_a_module_is_read_where_it_is_asked_for(rpod: Rpod, tmp_path: Path) -> None:
    module = tmp_path / "gpu.conf"
    module.write_text('[containers]\nenv = ["GPU=yes"]\n')
    words = ("run", "--rm", "--network", "none", "host", "sh", "-c", "echo =$GPU")
    assert rpod("--module", str(module), *words) == "=yes\n"
    assert rpod(*words) == "=\n"


def test_the_store_moves_beside_the_path_that_storage_conf_gives_users(rpod: Rpod, tmp_path: Path) -> None:
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "/x"\nrootless_storage_path = "{tmp_path}/pod/man"\n')
    plain = Rpod(rpod.root, rpod.runroot, env={"CONTAINERS_STORAGE_CONF": str(conf)})
    plain.argv = lambda *words: [*rpod.argv()[:1], "--runroot", str(rpod.runroot), *words]  # type: ignore[method-assign]
    assert plain("info", "--format", "{{.Store.GraphRoot}}").strip() == f"{tmp_path}/pod/man-rootless-pod"
    assert not (tmp_path / "pod/man").exists()
    assert rpod.with_options(env=plain.env)("info", "--format", "{{.Store.GraphRoot}}").strip() == str(rpod.root)


def test_a_broken_file_is_named_and_a_container_still_ends_well(rpod: Rpod, tmp_path: Path) -> None:
    conf = tmp_path / "own.conf"
    conf.write_text("")
    here = rpod.with_options(env={"CONTAINERS_CONF": str(conf), "CONTAINERS_STORAGE_CONF": str(conf)})
    name = here("run", "-d", "--rm", "--network", "none", "host", "sleep", "1").strip()
    conf.write_text("[containers\n")
    assert f"{conf} is not TOML" in here.error("ps")
    rpod("wait", name)
    deadline = time.monotonic() + 20
    while (rpod.root / "containers" / name).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not (rpod.root / "containers" / name).exists()


def test_stdout_goes_to_a_file_or_nowhere(rpod: Rpod, tmp_path: Path) -> None:
    assert rpod("--noout", "ps", "-a") == ""
    assert rpod("ps", "-a", "--out", str(tmp_path / "list")) == ""
    assert "CONTAINER ID" in (tmp_path / "list").read_text()
    assert "no namespaces of libpod" in rpod.error("--namespace", "x", "ps")

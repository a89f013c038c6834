"""restart, init, pause, rename, port: each state as the other commands see it, and after a kill in between."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

pytestmark = pytest.mark.kernel

FREEZES = os.environ.get("RPOD_CGROUP2", "none") != "none" or os.path.exists("/sys/fs/cgroup/cgroup.controllers")
needs_cgroup = pytest.mark.skipif(not FREEZES, reason="no cgroup v2 is delegated to this session")


def run(img, name, *words, options=()):
    return img("run", "-d", "--name", name, "--network", "none", *options, "img", *(words or ("sleep", "1000"))).strip()


def state(img, name):
    return json.loads(img("inspect", name))[0]["State"]


def test_restart_gives_a_new_process_and_keeps_the_files(img):
    run(img, "one", "sh", "-c", "echo x >> /tmp/count; sleep 1000")
    before = state(img, "one")
    assert img("restart", "-t", "0", "one") == "one\n"
    after = state(img, "one")
    assert after["Pid"] != before["Pid"]
    assert after["StartedAt"] > before["StartedAt"]
    assert img("exec", "one", "cat", "/tmp/count") == "x\nx\n"


def test_restart_starts_what_does_not_run_and_running_leaves_it_alone(img):
    img("create", "--name", "idle", "--network", "none", "img", "sleep", "1000")
    busy = run(img, "busy")
    assert img("restart", "-t", "0", "--running") == f"{busy}\n"
    assert state(img, "idle")["Status"] == "created"
    assert img("restart", "-t", "0", "idle") == "idle\n"
    assert state(img, "idle")["Status"] == "running"
    img.error("restart", "nosuch")
    img.error("restart")
    img.error("restart", "--running", "busy")


def test_a_container_with_rm_survives_its_restart(img):
    for _ in range(3):
        run(img, "short", options=("--rm",))
        img("restart", "-t", "0", "short")
        assert state(img, "short")["Running"]
        img("stop", "-t", "0", "short")
        assert not img("ps", "-aq")


def test_a_killed_restart_leaves_a_container_that_restarts(img):
    run(img, "web", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    starter = img.start("restart", "-t", "30", "web", stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    starter.kill()
    starter.wait()
    img("restart", "-t", "0", "web")
    assert state(img, "web")["Running"]
    img("rm", "-f", "-t", "0", "web")


def test_init_makes_ready_and_start_goes_on_from_there(img):
    img("create", "--name", "one", "--network", "none", "img", "sh", "-c", "echo begun; sleep 1000")
    assert img("init", "one") == "one\n"
    ready = state(img, "one")
    assert (ready["Status"], ready["Running"]) == ("initialized", False)
    assert ready["Pid"] > 0
    assert img("logs", "one") == ""
    assert "Initialized" in img("ps", "-a", "--format", "{{.Status}}")
    assert not img("ps", "-q")
    img.error("init", "one")
    img.error("exec", "one", "true", code=255)
    img.error("kill", "one")
    img.error("pause", "one")
    img("start", "one")
    assert state(img, "one")["Pid"] == ready["Pid"]
    assert img("wait", "--condition", "running", "one") == "-1\n"
    img.error("init", "one")
    img("rm", "-f", "-t", "0", "one")


def test_what_is_initialized_can_be_stopped_and_removed_and_waited_for(img):
    img("create", "--name", "one", "--network", "none", "img", "sleep", "1000")
    waiter = img.start("wait", "--condition", "initialized", "one", stdout=subprocess.PIPE)
    img("init", "one")
    assert waiter.communicate(timeout=20)[0] == b"-1\n"
    img("stop", "one")
    ended = state(img, "one")
    assert (ended["Status"], ended["ExitCode"], ended["Pid"]) == ("exited", 137, 0)
    img("init", "one")
    assert img("rm", "one") == "one\n"
    assert not [line for line in img.processes() if "conmon" in line]


def test_start_attached_of_an_initialized_container_loses_no_output(img):
    img("create", "--name", "one", "--network", "none", "img", "sh", "-c", "echo all of it; exit 7")
    img("init", "one")
    assert img("start", "-a", "one", code=7) == "all of it\n"


def test_init_killed_at_any_moment_can_be_done_again(img):
    img("create", "--name", "one", "--network", "none", "img", "sleep", "1000")
    for milliseconds in (20, 50, 80, 120, 170):
        starter = img.start("init", "one", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(milliseconds / 1000)
        starter.kill()
        starter.wait()
        assert state(img, "one")["Status"] in ("created", "initialized")
    img("start", "one")
    assert state(img, "one")["Running"]
    img("stop", "-t", "0", "one")
    img("init", "one")
    starter = img.start("start", "one", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.03)
    starter.kill()
    starter.wait()
    assert state(img, "one")["Status"] in ("initialized", "running")
    img("rm", "-f", "-t", "0", "one")


@needs_cgroup
def test_pause_is_seen_by_every_command_and_undone_by_unpause(img):
    full = run(img, "one")
    assert img("pause", "one") == "one\n"
    seen = state(img, "one")
    assert (seen["Status"], seen["Paused"], seen["Running"]) == ("paused", True, False)
    assert img("ps", "-a", "--format", "{{.Status}} {{.State}}") == "Paused paused\n"
    assert img("ps", "-q") == ""
    assert img("ps", "-q", "--no-trunc", "--filter", "status=paused") == f"{full}\n"
    img.error("exec", "one", "true", code=255)
    img.error("rm", "one", code=2)
    for words in (("pause",), ("start",), ("restart",), ("attach",), ("top",)):
        img.error(*words, "one")
    assert img("unpause", "--all") == f"{full}\n"
    img("exec", "one", "true")
    img.error("unpause", "one")
    assert img("pause", "--filter", "name=one") == f"{full}\n"


@needs_cgroup
def test_a_paused_container_can_be_killed_stopped_and_removed(img):
    run(img, "one")
    img("pause", "one")
    img("kill", "one")
    assert img("wait", "one") == "137\n"
    img("start", "one")
    img("pause", "one")
    img("stop", "-t", "0", "one")
    assert state(img, "one")["Status"] == "exited"
    img("start", "one")
    img("pause", "one")
    img("rm", "-f", "-t", "0", "one")
    assert not img("ps", "-aq")


@pytest.mark.skipif(FREEZES, reason="this session has a cgroup that can be frozen")
def test_pause_without_a_cgroup_says_why_and_what_to_do(img):
    run(img, "one")
    said = img.error("pause", "one")
    assert "no cgroup of its own" in said
    assert "systemd" in said
    assert state(img, "one")["Running"]


def test_pause_of_a_container_without_cgroups_says_so(img):
    run(img, "one", options=("--cgroups", "disabled"))
    assert "cgroup" in img.error("pause", "one")


def test_rename_moves_the_name_of_a_running_container(img):
    full = run(img, "one")
    run(img, "two")
    assert img("rename", "one", "uno") == ""
    assert img("inspect", "--format", "{{.Name}} {{.Id}}", "uno") == f"uno {full}\n"
    img.error("inspect", "one")
    img.error("rename", "uno", "two")
    img.error("rename", "uno", "a b")
    img.error("rename", "nosuch", "x")
    img("rename", "uno", "uno")
    img("create", "--name", "one", "--network", "none", "img", "true")
    img("rm", "-f", "-t", "0", "uno", "one", "two")


def test_port_lists_what_is_published(img):
    options = ("-p", "127.0.0.1:48123:80", "-p", "48124:81/udp")
    full = img("create", "--name", "one", *options, "img", "sleep", "1000").strip()
    assert img("port", "one") == "80/tcp -> 127.0.0.1:48123\n81/udp -> 0.0.0.0:48124\n"
    assert img("port", "one", "80") == img("port", "-l", "80/tcp") == "127.0.0.1:48123\n"
    assert img("port", "-a") == f"{full[:12]}\t80/tcp -> 127.0.0.1:48123\n{full[:12]}\t81/udp -> 0.0.0.0:48124\n"
    img.error("port", "one", "81")
    img.error("port", "one", "x")
    img.error("port", "one", "80", "81")
    img.error("port")


def test_a_name_that_begins_anothers_id_is_the_name(img):
    other = img("create", "img", "true").strip()
    name = other[:2]
    img("create", "--name", name, "img", "true")
    assert img("rm", "--filter", "status=created", name).split() == [name]
    img("create", "--name", name, "img", "true")
    assert img("rm", "-f", name, other).split() == [name, other]


def test_rmi_takes_the_name_of_the_image_and_the_container(img):
    img("tag", "img", "localhost/throw:latest")
    img("run", "--rmi", "--network", "none", "localhost/throw", "true")
    assert not img("ps", "-aq")
    names = img("images", "--format", "{{.Repository}}").split()
    assert "localhost/throw" not in names
    assert "localhost/img" in names


def inside(img, script, code=0):
    """Run a shell script in rpod unshare, where $rpod is rpod on the same store."""
    return img("unshare", "sh", "-c", f"rpod='{' '.join(img.argv())}'; {script}", code=code)


def test_mount_shows_the_files_of_a_stopped_container_inside_unshare_alone(img):
    full = img("create", "--name", "one", "--network", "none", "img", "cat", "/tmp/from-outside").strip()
    assert "must execute `rpod unshare` first" in img.error("mount", "one")
    path = inside(img, 'm=$($rpod mount one); echo seen > "$m/tmp/from-outside"; $rpod mount one').strip()
    listed = inside(img, "$rpod mount; $rpod mount --format json")
    assert listed.startswith(f'{full[:12]}  {path}\n[\n {{\n  "id": "{full}",')
    assert inside(img, "$rpod umount one; $rpod mount --no-trunc") == f"one\n{full}  {path}\n"
    assert inside(img, "$rpod unmount one; $rpod mount") == "one\n"
    assert img("start", "-a", "one") == "seen\n"
    inside(img, "$rpod mount one")
    img("restart", "one")
    img("wait", "one")
    inside(img, "$rpod mount one")
    assert img("cp", "one:/tmp/from-outside", "-")
    img("rm", "one")
    assert not img.mounts()


def test_a_running_container_is_mounted_already_and_stays_so(img):
    run(img, "one")
    path = inside(img, "$rpod mount one; ls $($rpod mount one)").splitlines()
    assert "bin" in path or "usr" in path
    img.error("unmount", "one")
    img("umount", "-a")
    img("exec", "one", "true")


def test_checkpoints_are_refused_with_the_reason(img):
    for words in (("checkpoint", "--keep", "x"), ("restore", "--name", "y", "x")):
        assert "requires root" in img.error("container", *words)


def test_the_files_of_an_exec_session_go_with_it(img):
    full = run(img, "one")
    session = img("exec", "-d", "one", "sleep", "1").strip()
    assert "still runs" in img.error("container", "cleanup", "--exec", session, "one")
    bundle = next(img.runroot.glob(f"*/containers/{full}"))
    end = time.monotonic() + 20
    while list(bundle.glob("exec-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert not list(bundle.glob("exec-*"))
    img.error("container", "cleanup", "--exec", session, "one")


def test_a_clone_has_all_of_the_original_but_its_name_and_what_was_asked(img):
    full = img(
        "create", "--name", "one", "--network", "none", "--label", "x=1", "--cpus", "1", "img", "sleep", "1000"
    ).strip()
    copied = img("container", "clone", "one").strip()
    assert copied != full
    assert img("inspect", "--format", "{{.Name}} {{.Config.Labels.x}}", copied) == "one-clone 1\n"
    img("container", "clone", "one")
    img("container", "clone", "--pids-limit", "50", "--cpu-quota", "20000", "one", "two")
    third = img("inspect", "--format", "{{.Id}}", "two").strip()
    record = json.loads((img.root / "containers" / third / "container.json").read_text())["container"]["request"]
    assert record["process"]["pids_limit"] == "50"
    assert "cpus" not in record["process"]
    img("create", "--name", "busy", "--network", "none", "img", "sleep", "1000")
    assert img("container", "clone", "--run", "--destroy", "busy", "busier")
    assert state(img, "busier")["Running"]
    img.error("container", "clone", "busier", "two")
    img.error("container", "clone", "--force", "one")
    img("container", "clone", "--destroy", "--force", "--name", "last", "busier", code=0)
    names = img("ps", "-a", "--format", "{{.Names}}").split()
    assert sorted(names) == ["last", "one", "one-clone", "one-clone1", "two"]

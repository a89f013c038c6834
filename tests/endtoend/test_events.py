"""``rpod events``: what podman 4.3.1 says of the same doings, names and fields."""

from __future__ import annotations

import json
import re
import select
import subprocess
import time
from pathlib import Path

import images
import pytest
from conftest import Rpod

SLEEP = ("--network", "none", "host", "sleep", "1000")


def actions(rpod: Rpod, *words: str) -> list[str]:
    """Return ``type action name`` of what happened."""
    shown = "{{.Type}} {{.Status}} {{.Name}}"
    return rpod("events", "--stream=false", "--format", shown, *words).splitlines()


def test_the_life_of_a_container_in_the_foreground(rpod: Rpod) -> None:
    rpod("run", "--rm", "--name", "c", "--network", "none", "host", "sh", "-c", "exit 3", code=3)
    assert actions(rpod, "--filter", "container=c") == [
        f"container {action} c" for action in ("create", "init", "start", "attach", "died", "cleanup", "remove")
    ]
    assert rpod("events", "--no-stream", "--filter", "event=died", "--format", "{{.ContainerExitCode}}") == "3\n"


def test_the_life_of_a_container_in_the_background(rpod: Rpod) -> None:
    rpod("create", "--name", "c", *SLEEP)
    rpod("start", "c")
    rpod("exec", "c", "true")
    rpod("exec", "c", "false", code=1)
    rpod("kill", "-s", "WINCH", "c")
    rpod("stop", "-t", "0", "c")
    rpod("rm", "c")
    done = [line.split()[1] for line in actions(rpod, "--filter", "type=container")]
    wanted = ["create", "init", "start", "exec", "exec_died", "exec", "exec_died", "kill", "died", "cleanup", "remove"]
    assert [one for one in done if one != "stop"] == wanted
    assert done.count("stop") == 1
    codes = rpod("events", "--no-stream", "--filter", "event=exec_died", "--format", "{{.ContainerExitCode}}")
    assert codes.split() == ["0", "1"]
    died = json.loads(rpod("events", "--no-stream", "--filter", "event=died", "--format", "json"))
    assert died["ContainerExitCode"] == 137
    # podman 4.3.1's keys, in its order; a code of 0 is left out there too
    assert list(died) == ["ContainerExitCode", "ID", "Image", "Name", "Status", "Time", "Type", "Attributes"]


def test_a_detached_process_is_told_of_when_it_ends(rpod: Rpod) -> None:
    rpod("run", "-d", "--name", "c", "--label", "a=b", *SLEEP)
    shown = ("--filter", "event=exec_died", "--format", "{{.Name}} {{.ContainerExitCode}} {{.Attributes}}")
    with rpod.start("events", "--since", "1h", *shown, stdout=subprocess.PIPE, bufsize=0) as follower:
        session = rpod("exec", "-d", "c", "sh", "-c", "exit 6").strip()
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"c 6 map[a:b]\n"
        follower.terminate()
    assert rpod("events", "--stream=false", "--filter", "event=exec", "--format", "{{.Status}}") == "exec\n"
    deadline = time.monotonic() + 20
    while (left := list(rpod.runroot.glob(f"*/containers/*/exec-{session}*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_the_events_of_a_pod_and_its_containers(rpod: Rpod) -> None:
    pod = rpod("pod", "create", "--name", "p", "--infra=false").strip()
    rpod("create", "--pod", "p", "--name", "c", "--network", "none", "host", "true")
    rpod("pod", "rm", "-f", "p")
    assert actions(rpod, "--filter", "pod=p") == ["pod create p", "pod remove p"]
    lines = rpod("events", "--stream=false", "--format", "json", "--filter", "container=c").splitlines()
    created = json.loads(lines[0])
    assert (created["PodID"], created["Attributes"]) == (pod, {})
    made = json.loads(
        rpod("events", "--stream=false", "--format", "json", "--filter", f"pod={pod[:12]}").splitlines()[0]
    )
    assert list(made) == ["ID", "Name", "Status", "Time", "Type", "Attributes"]


def test_images_and_volumes(rpod: Rpod) -> None:
    rpod("import", str(images.busybox_base(images.cache_directory())), "img")
    since = str(time.time())
    image = rpod("images", "-q", "--no-trunc", "img").strip().removeprefix("sha256:")
    rpod("tag", "img", "other")
    rpod("untag", "other", "other")
    rpod("volume", "create", "v1")
    rpod("volume", "rm", "v1")
    rpod("volume", "create", "v2")
    rpod("volume", "prune", "-f")
    assert actions(rpod, "--since", since) == [
        "image tag other", "image untag localhost/other:latest",
        "volume create v1", "volume remove v1", "volume create v2", "volume remove v2", "volume prune v2",
    ]  # fmt: skip
    assert rpod("events", "--no-stream", "--since", since, "--filter", f"image={image[:12]}").count("\n") == 2
    volume = json.loads(
        rpod("events", "--no-stream", "--since", since, "--format", "json", "--filter", "event=prune").strip()
    )
    assert (list(volume), volume["Attributes"]) == (["Name", "Status", "Time", "Type", "Attributes"], None)


def test_archives_and_commits(rpod: Rpod, tmp_path: Path) -> None:
    rpod("import", str(images.busybox_base(images.cache_directory())), "img")
    since = str(time.time())
    rpod("save", "-q", "-o", f"{tmp_path}/a.tar", "img")
    rpod("load", "-q", "-i", f"{tmp_path}/a.tar")
    rpod("create", "--name", "c", "img", "true")
    rpod("export", "-o", f"{tmp_path}/tree.tar", "c")
    rpod("import", f"{tmp_path}/tree.tar", "imported")
    rpod("commit", "-q", "c", "made")
    rpod("rmi", "made", "imported")
    done = [line.split()[:2] for line in actions(rpod, "--since", since)]
    assert done == [
        ["image", "save"], ["image", "loadfromarchive"], ["container", "create"], ["container", "export"],
        ["image", "import"], ["image", "tag"], ["container", "commit"],
        ["image", "untag"], ["image", "remove"], ["image", "untag"], ["image", "remove"],
    ]  # fmt: skip


def test_the_line_is_podmans(rpod: Rpod) -> None:
    container = rpod("create", "--name", "c", "--label", "a=b", *SLEEP).strip()
    line = rpod("events", "--stream=false", "--filter", "event=create").rstrip("\n")
    day = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9} [+-]\d{4} \w+"
    assert re.fullmatch(rf"{day} container create {container} \(image=host, name=c, a=b\)", line)
    short = rpod("events", "--stream=false", "--no-trunc=false", "--filter", "event=create")
    assert f" container create {container[:12]} (" in short
    assert actions(rpod, "--filter", "type=system") == ["system refresh "]


def test_filters_of_one_key_are_alternatives_and_of_several_all_hold(rpod: Rpod) -> None:
    rpod("create", "--name", "one", "--label", "a=b", *SLEEP)
    rpod("create", "--name", "two", "--label", "a=c", *SLEEP)
    rpod("rm", "two")
    either = actions(rpod, "--filter", "event=create", "--filter", "event=remove", "--filter", "container=two")
    assert either == ["container create two", "container remove two"]
    assert actions(rpod, "--filter", "label=a=b") == ["container create one"]
    assert len(actions(rpod, "--filter", "label=a")) == 3
    assert actions(rpod, "--filter", "volume=one") == []
    assert actions(rpod, "--filter", "image=host", "--filter", "event=remove") == ["container remove two"]


def test_since_and_until(rpod: Rpod) -> None:
    rpod("create", "--name", "one", *SLEEP)
    between = str(time.time())
    rpod("create", "--name", "two", *SLEEP)
    assert actions(rpod, "--since", between) == ["container create two"]
    assert actions(rpod, "--until", between) == ["system refresh ", "container create one"]
    assert len(actions(rpod, "--since", "1h")) == 3
    assert actions(rpod, "--since", "2199-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--filter", "nonsense=1"), "not known"),
        (("--filter", "type"), "KEY=VALUE"),
        (("--since", "bogus"), "neither a time nor a span"),
        (("--format", "{{.Nope}}"), "no field .Nope"),
        (("extra",), "extra"),
    ],
)
def test_what_cannot_be_meant_is_refused(rpod: Rpod, words: tuple[str, ...], said: str) -> None:
    rpod("create", *SLEEP)
    assert said in rpod.error("events", "--stream=false", *words)


def test_a_follower_hears_events_at_once_and_ends_at_until(rpod: Rpod) -> None:
    rpod("create", "--name", "before", *SLEEP)
    shown = ("--filter", "type=container", "--format", "{{.Status}} {{.Name}}")
    with rpod.start("events", *shown, stdout=subprocess.PIPE, bufsize=0) as follower:
        assert follower.stdout is not None
        # Nothing tells when it listens: events are made until the first is heard.
        made = 0
        while not select.select([follower.stdout], [], [], 0.3)[0] and made < 100:
            made += 1
            rpod("create", "--name", f"c{made}", *SLEEP)
        assert follower.stdout.readline().startswith(b"create c")
        rpod("rm", "before")
        assert any(follower.stdout.readline() == b"remove before\n" for _ in range(made + 1))
        follower.terminate()
    begun = time.monotonic()
    assert "create before" in rpod("events", "--until", "1s", "--format", "{{.Status}} {{.Name}}")
    assert time.monotonic() - begun >= 0.9


def test_a_follower_whose_reader_goes_ends_quietly(rpod: Rpod) -> None:
    rpod("create", *SLEEP)
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1', "sh", *rpod.argv("events", "--since", "1h", "--until", "2s")],
        capture_output=True, timeout=60, check=False, env=rpod.env,
    )  # fmt: skip
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1


def test_without_the_log_nothing_is_kept_even_by_the_exit_command(rpod: Rpod) -> None:
    quiet = rpod.with_options("--events-backend", "none")
    quiet("run", "-d", "--name", "c", "--network", "none", "host", "true")
    quiet("wait", "c")
    quiet("rm", "-f", "c")
    assert rpod("events", "--stream=false") == ""
    assert "--events-backend none" in quiet.error("events", "--stream=false")
    assert "--events-backend file" in rpod.with_options("--events-backend", "journald").error("ps")

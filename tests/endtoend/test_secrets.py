"""Secrets from ``secret create`` to a container that has them, and to nowhere else."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import Rpod, make_store

DATA = "s3cret-data-to-look-for"
QUICK = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def store() -> Iterator[Rpod]:
    """A store with a small image ``bb`` and the secret ``one``."""
    made = make_store()
    made("import", str(images.busybox_base(images.cache_directory())), "bb")
    made("secret", "create", "one", "-", stdin=DATA.encode())
    yield made
    made.end()


def holding(directory: Path) -> list[str]:
    """Return the files below a directory that hold the data."""
    found = []
    for place, _, names in os.walk(directory):
        for name in names:
            path = f"{place}/{name}"
            try:
                if os.path.isfile(path) and not os.path.islink(path) and DATA.encode() in Path(path).read_bytes():
                    found.append(path)
            except PermissionError:
                continue
    return found


def test_a_secret_is_a_file_below_run_secrets(store: Rpod) -> None:
    said = store(
        *QUICK, "--secret", "one", "bb", "sh", "-c", "stat -c '%a %u %g' /run/secrets/one; cat /run/secrets/one"
    )
    assert said == f"444 0 0\n{DATA}"


def test_owner_mode_and_target_are_as_asked(store: Rpod) -> None:
    shown = "stat -c '%n %a %u %g' /run/secrets/a/b /etc/key; cat /etc/key"
    words = ("--secret", "one,target=a/b,uid=5,gid=6,mode=0400", "--secret", "source=one,target=/etc/key,mode=0640")
    assert store(*QUICK, *words, "bb", "sh", "-c", shown) == f"/run/secrets/a/b 400 5 6\n/etc/key 640 0 0\n{DATA}"


@pytest.mark.parametrize("mode", ["keep-id", "private"])
def test_the_owner_is_the_containers_in_any_user_namespace(store: Rpod, mode: str) -> None:
    words = ("--userns", mode, "--user", "3:4", "--secret", "one,uid=3,gid=4,mode=0400")
    said = store(*QUICK, *words, "bb", "sh", "-c", "stat -c '%u %g' /run/secrets/one; cat /run/secrets/one")
    assert said == f"3 4\n{DATA}"


def test_an_owner_that_does_not_exist_in_the_container_is_refused(store: Rpod) -> None:
    words = ("--uidmap", "0:0:1", "--gidmap", "0:0:1", "--secret", "one,uid=5")
    assert "can't belong to uid 5" in store.error(*QUICK, *words, "bb", "true")


def test_a_secret_variable_yields_to_one_that_was_given(store: Rpod) -> None:
    assert store(*QUICK, "--secret", "one,type=env", "bb", "sh", "-c", "echo $one") == f"{DATA}\n"
    assert store(*QUICK, "--secret", "one,type=env,target=X", "bb", "sh", "-c", "echo $X") == f"{DATA}\n"
    assert store(*QUICK, "--secret", "one,type=env", "-e", "one=mine", "bb", "sh", "-c", "echo $one") == "mine\n"


def test_no_record_inspect_commit_or_export_has_the_data_and_cleanup_removes_it(store: Rpod, tmp_path: Path) -> None:
    words = ("--secret", "one", "--secret", "one,type=env,target=VARIABLE", "--secret", "one,target=/etc/key")
    store("run", "-d", "--name", "c", "--network", "none", *words, "bb", "sleep", "1000")
    kept = sorted(os.path.basename(path) for path in holding(store.root) if "/filedriver/" not in path)
    assert kept == ["secret-0", "secret-1"]
    assert holding(store.runroot) != []
    assert store("exec", "c", "sh", "-c", "echo $VARIABLE") == f"{DATA}\n"
    shown = json.loads(store("inspect", "c"))[0]
    assert DATA not in json.dumps(shown)
    assert [one["Name"] for one in shown["Config"]["Secrets"]] == ["one", "one"]
    assert shown["Config"]["Secrets"][0]["Mode"] == 0o444
    store("commit", "-q", "c", "made")
    assert DATA not in store(
        "run", "--rm", "--network", "none", "made", "sh", "-c", "env; cat /etc/key; ls -R /run/secrets"
    )
    assert DATA not in store("image", "inspect", "made")
    store("export", "-o", f"{tmp_path}/tree.tar", "c")
    assert DATA.encode() not in (tmp_path / "tree.tar").read_bytes()
    with tarfile.open(tmp_path / "tree.tar") as tar:
        assert "run/secrets/one" not in tar.getnames()
    store("stop", "-t", "0", "c")
    assert holding(store.runroot) == []
    store("start", "c")
    assert store("exec", "c", "cat", "/run/secrets/one") == DATA
    store("rm", "-f", "-t", "0", "c")
    store("rmi", "made")
    assert all("/filedriver/" in path for path in holding(store.root))


def test_a_file_has_the_secret_of_the_creation_and_a_variable_that_of_now(store: Rpod) -> None:
    """As with podman 4.3.1."""
    store("secret", "create", "changing", "-", stdin=b"old")
    store("create", "--name", "c", "--network", "none", "--secret", "changing", "bb", "cat", "/run/secrets/changing")
    variable = ("--secret", "changing,type=env,target=V")
    store("create", "--name", "v", "--network", "none", *variable, "bb", "sh", "-c", "echo $V")
    assert (store("start", "-a", "c"), store("start", "-a", "v")) == ("old", "old\n")
    store("secret", "create", "--replace", "changing", "-", stdin=b"new")
    assert (store("start", "-a", "c"), store("start", "-a", "v")) == ("old", "new\n")
    store("secret", "rm", "changing")
    assert store("start", "-a", "c") == "old"
    assert 'no secret with name or id "changing"' in store.error("start", "-a", "v")
    store("rm", "c", "v")


def test_commands_answer_as_podman_does(store: Rpod, tmp_path: Path) -> None:
    """Words and codes of podman 4.3.1, and ``exists`` of later ones."""
    (tmp_path / "file").write_text("from a file")
    made = store("secret", "create", "--label", "a=b", "-d", "file", "two", str(tmp_path / "file")).strip()
    assert "secret name in use" in store.error("secret", "create", "two", str(tmp_path / "file"))
    environment = store.with_options(env={"HELD": "from a variable"})
    environment("secret", "create", "--env", "three", "HELD")
    assert "NOT_SET is not set" in store.error("secret", "create", "--env", "four", "NOT_SET")
    assert store("secret", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines() == [
        "one file", "two file", "three file",
    ]  # fmt: skip
    assert store("secret", "ls", "-q", "--filter", "name=tw") == f"{made}\n"
    assert store("secret", "ls").split("\n")[0].split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]
    assert len(store("secret", "ls", "--noheading").splitlines()) == 3
    shown = json.loads(store("secret", "inspect", "two"))[0]
    assert list(shown) == ["ID", "CreatedAt", "UpdatedAt", "Spec"]
    assert (shown["ID"], shown["Spec"]["Labels"]) == (made, {"a": "b"})
    assert store("secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", made[:8]) == "from a file\n"
    assert store("secret", "inspect", "--pretty", "two").startswith(
        f"ID:                {made}\nName:              two\n"
    )
    assert "no such secret" in store.error("secret", "inspect", "nobody")
    store("secret", "exists", "two")
    store("secret", "exists", "nobody", code=1)
    assert store("secret", "rm", "two") == f"{made}\n"
    assert "no such secret" in store.error("secret", "rm", "two")
    assert store("secret", "rm", "--ignore", "two") == ""
    store("secret", "rm", "three")


def test_driver_and_options_may_come_from_containers_conf(store: Rpod, tmp_path: Path) -> None:
    configuration = tmp_path / "containers.conf"
    configuration.write_text(f'[secrets]\ndriver = "file"\n[secrets.opts]\npath = "{tmp_path}/kept"\n')
    configured = store.with_options(env={"CONTAINERS_CONF": str(configuration)})
    made = configured("secret", "create", "c1", "-", stdin=b"x").strip()
    assert os.listdir(tmp_path / "kept") == [made]
    configured("secret", "create", "-d", "file", "c2", "-", stdin=b"x")
    assert os.listdir(tmp_path / "kept") == [made]
    store("secret", "rm", "c1", "c2")
    assert os.listdir(tmp_path / "kept") == []


def test_a_secret_that_is_not_there_makes_no_container(store: Rpod) -> None:
    assert 'no secret with name or id "nobody"' in store.error(*QUICK, "--secret", "nobody", "bb", "true")
    assert store("ps", "-aq") == ""

"""Secrets in the store: one a name, private, whole after a kill; and the drivers that keep their data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, ProgramFailed, Usage
from rootless_pod.paths import Paths
from rootless_pod.secrets import store
from rootless_pod.secrets.store import Secret


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(graphroot=str(tmp_path / "root"), runroot=str(tmp_path / "run"), boot_id="b")


def files(paths: Paths) -> list[str]:
    return [f"{place}/{name}" for place, _, names in os.walk(f"{paths.graphroot}/secrets") for name in names]


def test_a_secret_is_kept_under_its_name_and_id_for_its_user_alone(paths: Paths) -> None:
    made = store.create(paths, "one", b"data\0\xff", labels={"a": "b"})
    assert len(made.id) == 25
    for text in ("one", made.id, made.id[:6]):
        assert store.find(paths, text) == made
    assert store.read_data(made) == b"data\0\xff"
    assert {os.stat(path).st_mode & 0o777 for path in files(paths)} == {0o600}
    assert not [path for path in files(paths) if path.endswith(".json") and b"data" in Path(path).read_bytes()]


def test_a_name_is_taken_once_and_replaced_when_asked(paths: Paths) -> None:
    first = store.create(paths, "one", b"old")
    with pytest.raises(Conflict, match="name in use"):
        store.create(paths, "one", b"new")
    second = store.create(paths, "one", b"new", replace=True)
    assert (second.id != first.id, second.created_ns) == (True, first.created_ns)
    assert [store.read_data(one) for one in store.list_secrets(paths)] == [b"new"]
    with pytest.raises(NotFound):
        store.find(paths, first.id)
    assert not [path for path in files(paths) if first.id in path]


def test_a_removed_secret_leaves_nothing(paths: Paths) -> None:
    store.remove(paths, store.create(paths, "one", b"x"))
    assert files(paths) == []
    assert store.list_secrets(paths) == []
    with pytest.raises(NotFound, match='no secret with name or id "one"'):
        store.find(paths, "one")
    store.create(paths, "one", b"again")


@pytest.mark.parametrize("name", ["", ".x", "x.", "-x", "a/b", "a=b", "a,b", "a b", "é", "x" * 65])
def test_names_are_podmans(paths: Paths, name: str) -> None:
    with pytest.raises(Usage):
        store.create(paths, name, b"x")


@pytest.mark.parametrize("size", [0, 512000, 600000])
def test_the_size_is_podmans(paths: Paths, size: int) -> None:
    with pytest.raises(Usage, match="larger than 0 and less than 512000 bytes"):
        store.create(paths, "one", b"x" * size)
    assert files(paths) == []


def test_a_sweep_takes_secrets_that_never_got_their_name_or_their_record(paths: Paths) -> None:
    store.sweep(paths)
    assert not os.path.exists(f"{paths.graphroot}/secrets")
    kept, lost = store.create(paths, "kept", b"a"), store.create(paths, "lost", b"b")
    os.unlink(f"{paths.names('secrets')}/lost")
    os.mkdir(f"{paths.graphroot}/secrets/{'0' * len(lost.id)}")
    store.sweep(paths)
    assert sorted(os.listdir(f"{paths.graphroot}/secrets")) == sorted([kept.id, "filedriver"])
    assert store.read_data(kept) == b"a"
    assert not any(lost.id in path for path in files(paths))


def test_data_that_a_killed_create_had_half_written_goes_too(paths: Paths) -> None:
    kept, half = store.create(paths, "kept", b"data"), store.create(paths, "half", b"data")
    place = f"{paths.graphroot}/secrets/filedriver"
    os.rename(f"{place}/{half.id}", f"{place}/.{half.id}.4711.abcdef01.tmp")  # killed before the data had its name
    os.unlink(f"{paths.names('secrets')}/half")
    store.sweep(paths)
    assert os.listdir(place) == [kept.id]
    assert not [path for path in files(paths) if half.id in path]


def test_what_a_killed_create_left_goes_with_the_next(paths: Paths) -> None:
    kept = store.create(paths, "kept", b"x")
    half = store.create(paths, "half", b"y")
    os.unlink(f"{paths.names('secrets')}/half")  # killed before the name was taken
    os.mkdir(f"{paths.graphroot}/secrets/{'a' * 25}")  # killed before the record was written
    assert store.list_secrets(paths) == [kept]
    store.create(paths, "half", b"z")
    assert not [path for path in files(paths) if half.id in path]
    assert sorted(one.name for one in store.list_secrets(paths)) == ["half", "kept"]


@pytest.mark.parametrize("more", [None, {"created_ns": "x"}, {"labels": [1]}, {"options": 3}, {"name": 7}])
def test_a_damaged_record_hides_no_other_and_can_be_removed(paths: Paths, more: dict[str, object] | None) -> None:
    kept, bad = store.create(paths, "kept", b"x"), store.create(paths, "bad", b"y")
    record = json.dumps({**bad.as_dict(), **more}) if more else '{"id": '
    Path(f"{paths.graphroot}/secrets/{bad.id}/secret.json").write_text(record)
    assert store.list_secrets(paths) == [kept]
    with pytest.raises(Corrupt):
        store.find(paths, "bad")
    assert store.forget_damaged(paths, "bad") == bad.id
    assert store.forget_damaged(paths, "bad") == ""
    assert not [path for path in files(paths) if bad.id in path]
    assert store.names_of_all(paths) == ("kept",)


def test_the_file_driver_keeps_data_where_it_is_told(paths: Paths, tmp_path: Path) -> None:
    made = store.create(paths, "one", b"x", options={"path": str(tmp_path / "elsewhere")})
    assert os.listdir(tmp_path / "elsewhere") == [made.id]
    os.unlink(tmp_path / "elsewhere" / made.id)
    with pytest.raises(NotFound, match="the data of secret"):
        store.read_data(made)
    store.remove(paths, made)


def shell(place: Path) -> dict[str, str]:
    return {
        "list": f"ls {place}",
        "lookup": f"base64 -d {place}/$SECRET_ID",
        "store": f"mkdir -p {place}; base64 > {place}/$SECRET_ID",
        "delete": f"rm {place}/$SECRET_ID",
    }


def test_the_shell_driver_calls_the_users_commands(paths: Paths, tmp_path: Path) -> None:
    made = store.create(paths, "one", b"a\0b", driver="shell", options=shell(tmp_path / "kept"))
    assert os.listdir(tmp_path / "kept") == [made.id]
    assert store.read_data(made) == b"a\0b"
    store.remove(paths, made)
    assert os.listdir(tmp_path / "kept") == []


def test_a_kill_while_a_secret_is_replaced_leaves_one_of_the_two_whole(paths: Paths, tmp_path: Path) -> None:
    deadly = {**shell(tmp_path / "kept"), "delete": f"rm {tmp_path}/kept/$SECRET_ID; kill -9 $PPID"}
    store.create(paths, "one", b"old", driver="shell", options=deadly)
    child = os.fork()
    if child == 0:
        store.create(paths, "one", b"new", replace=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert store.read_data(store.find(paths, "one")) == b"new"
    assert [one.name for one in store.list_secrets(paths)] == ["one"]


def test_a_driver_that_fails_keeps_and_loses_nothing(paths: Paths, tmp_path: Path) -> None:
    failing = {**shell(tmp_path / "kept"), "store": "echo full >&2; exit 1"}
    with pytest.raises(ProgramFailed, match="full"):
        store.create(paths, "one", b"x", driver="shell", options=failing)
    assert store.list_secrets(paths) == []
    made = store.create(paths, "one", b"x", driver="shell", options={**shell(tmp_path / "kept"), "delete": "exit 1"})
    with pytest.raises(ProgramFailed):
        store.remove(paths, made)
    assert store.find(paths, "one") == made


@pytest.mark.parametrize(
    ("driver", "options"),
    [("vault", {}), ("file", {"key": "x"}), ("shell", {}), ("shell", {"lookup": "true"}), ("pass", {"path": "x"})],
)
def test_drivers_and_options_that_do_not_exist_are_refused(paths: Paths, driver: str, options: dict[str, str]) -> None:
    with pytest.raises(Usage, match="driver"):
        store.create(paths, "one", b"x", driver=driver, options=options)


@pytest.fixture
def gnupg() -> Iterator[Path]:
    """A GnuPG home with a key; its agent's socket needs a short path."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
    generate = ("--passphrase", "", "--quick-gen-key", "tester@example.org", "rsa1024", "encr", "never")
    argv = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", *generate]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], capture_output=True, timeout=60, check=False)
    shutil.rmtree(home, ignore_errors=True)


def test_the_pass_driver_encrypts_with_gpg(paths: Paths, tmp_path: Path, gnupg: Path) -> None:
    options = {"root": str(tmp_path / "pass"), "key": "tester@example.org", "gpghomedir": str(gnupg)}
    made = store.create(paths, "one", b"very secret", driver="pass", options=options)
    encrypted = tmp_path / "pass" / f"{made.id}.gpg"
    assert b"very secret" not in encrypted.read_bytes()
    assert store.read_data(made) == b"very secret"
    store.remove(paths, made)
    assert not encrypted.exists()


def test_the_pass_driver_says_that_it_has_no_key(paths: Paths, tmp_path: Path) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    with pytest.raises(Usage, match="no key"):
        store.create(paths, "one", b"x", driver="pass", options={"root": str(tmp_path / "none")})
    assert store.list_secrets(paths) == []


def test_the_oldest_comes_first(paths: Paths) -> None:
    made = [store.create(paths, name, b"x") for name in ("b", "a", "c")]
    assert store.list_secrets(paths) == made
    assert all(isinstance(one, Secret) for one in made)

"""Bad input: a clear error with a remedy, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_images import Archive, is_clear, nothing_of_it, one_layer
from conftest import Rpod, make_store

SMALL = 256


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture(scope="module")
def store() -> Iterator[Rpod]:
    """A store without images for what must fail."""
    made = make_store()
    made("ps")
    yield made
    made.end()


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What is asked for is not there, or not what it claims to be.


def test_a_registry_that_is_down_is_named(store: Rpod) -> None:
    name = f"127.0.0.1:{dead_port()}/some/image:1"
    is_clear(store.error("pull", "--tls-verify=false", name), name.partition("/")[0], "refused")
    is_clear(store.error("run", "--rm", "--tls-verify=false", name, "true"), name.partition("/")[0])
    nothing_of_it(store)


def test_an_unknown_image_and_an_unknown_tag_of_a_registry_are_named(store: Rpod, registry: str) -> None:
    is_clear(store.error("pull", "-q", "--tls-verify=false", f"{registry}/debian:nosuch"), "nosuch")
    is_clear(store.error("run", "--rm", "--tls-verify=false", f"{registry}/nobody/nothing", "true"), "nothing")
    is_clear(store.error("run", "--pull=never", "--rm", "nobody/nothing", "true"), "nothing")
    nothing_of_it(store)


def test_a_name_that_is_none_is_refused(store: Rpod) -> None:
    is_clear(store.error("pull", "UPPER/Case::x"), "UPPER/Case::x")
    is_clear(store.error("run", "--rm", "", "true"))


def test_a_blob_with_other_bytes_than_its_digest_is_refused_and_the_store_is_as_it_was(
    store: Rpod, archive: Archive
) -> None:
    good = archive.layout("good", one_layer(("file", {"content": b"x" * SMALL})))
    bad = archive.place / "tampered"
    shutil.copytree(good, bad)
    manifest = json.loads((bad / "index.json").read_text())["manifests"][0]["digest"][7:]
    layer = json.loads((bad / "blobs/sha256" / manifest).read_text())["layers"][1]["digest"][7:]
    blob = bad / "blobs/sha256" / layer
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    is_clear(store.error("pull", "-q", f"oci:{bad}:bad"), layer[:12])
    assert store("images", "-q") == ""
    nothing_of_it(store)
    assert len(store("pull", "-q", f"oci:{good}:bad").strip()) == 64
    store("rmi", "-af")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_a_truncated_archive_is_refused_and_the_store_is_as_it_was(
    store: Rpod, archive: Archive, kind: str, part: float
) -> None:
    layout = archive.layout("image", one_layer(("file", {"content": os.urandom(1 << 16)})))
    path = archive.docker(layout)
    if kind == "oci-archive":
        path = archive.place / "oci.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(layout, arcname=".")
    size = max(512, int((path.stat().st_size - 10240) * part))
    os.truncate(path, size)
    for words in (("load", "-q", "-i", str(path)), ("pull", "-q", f"{kind}:{path}")):
        is_clear(store.error(*words), path.name)
        assert store("images", "-aq") == ""
        nothing_of_it(store)


def test_what_is_no_archive_is_refused(store: Rpod, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no archive\n" * 100)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty", "missing"):
        is_clear(store.error("load", "-i", str(tmp_path / name)), name)
    is_clear(store.error("pull", f"oci:{tmp_path}:x"), str(tmp_path))
    nothing_of_it(store)


HOSTILE = {
    "a path out of the tree": [("../../evil", {"content": b"x"})],
    "an absolute path": [("/tmp/evil", {"content": b"x"})],
    "a link out, then through it": [
        ("out", {"kind": tarfile.SYMTYPE, "link": "/"}),
        ("out/tmp/evil", {"content": b"x"}),
    ],
    "a link up, then through it": [
        ("out", {"kind": tarfile.SYMTYPE, "link": "../../.."}),
        ("out/evil", {"content": b"x"}),
    ],
    "a hard link to a file outside": [("evil", {"kind": tarfile.LNKTYPE, "link": "../../../../etc/passwd"})],
    "a hard link through a link": [
        ("out", {"kind": tarfile.SYMTYPE, "link": "/etc"}),
        ("evil", {"kind": tarfile.LNKTYPE, "link": "out/passwd"}),
    ],
    "a whiteout of the parent": [("../.wh.x", {}), (".wh...", {})],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_layer_reaches_nothing_outside_its_tree(
    store: Rpod, archive: Archive, entries: list[tuple[str, dict[str, object]]]
) -> None:
    layout = archive.layout("hostile", one_layer(*entries))
    done = store.run("pull", "-q", f"oci:{layout}:bad")
    assert b"Traceback" not in done.stderr
    if done.returncode == 0:
        # Taken as a path inside the image, as tar in a chroot would: nothing of it may show outside.
        image = done.stdout.decode().strip()
        assert store.run("run", "--rm", "--network", "none", image, "true").returncode == 0
        store("rmi", "-af")
    else:
        is_clear(done.stderr.decode())
    for place in ("/tmp/evil", "/evil", store.root / "evil", store.root / "layers/evil", store.root.parent / "evil"):
        assert not os.path.lexists(place)
    assert Path("/etc/passwd").stat().st_nlink == 1
    nothing_of_it(store)


# What a user types.


def test_missing_and_unexecutable_commands_have_their_codes_and_name_the_command(img: Rpod) -> None:
    is_clear(img.error("run", "--rm", "img", "nosuch", code=127), "nosuch")
    is_clear(img.error("run", "--rm", "img", "/no/such/file", code=127), "/no/such/file")
    is_clear(img.error("run", "--rm", "img", "/etc/passwd", code=126), "/etc/passwd")
    is_clear(img.error("run", "--rm", "img", "/etc", code=126), "/etc")
    is_clear(img.error("run", "-d", "--rm", "img", "nosuch", code=127), "nosuch")
    nothing_of_it(img)


def test_a_failed_run_without_rm_leaves_a_created_container_that_can_be_removed(img: Rpod) -> None:
    img.error("run", "--name", "failed", "img", "nosuch", code=127)
    assert img("ps", "-a", "--format", "{{.Names}} {{.State}}").strip() == "failed created"
    is_clear(
        img.error("start", "failed", code=125) if img.run("start", "failed").returncode == 125 else "Error: x\n  y"
    )
    img("rm", "failed")
    nothing_of_it(img)


def test_a_taken_name_is_refused_and_its_holder_named(img: Rpod) -> None:
    holder = img("create", "--name", "taken", "img", "true").strip()
    is_clear(img.error("run", "--rm", "--name", "taken", "img", "true"), "taken", holder[:12], "--replace")
    assert img("ps", "-aq", "--no-trunc").split() == [holder]


@pytest.mark.parametrize(
    "words",
    [
        ["--nosuch"], ["--memory", "lots"], ["--cpus", "-1"], ["-p", "99999:1"], ["-p", "80:x"], ["-v", "relative:"],
        ["-v", "/a:/b:nosuchoption"], ["--network", "nosuch:mode"], ["--name", "with space"], ["--stop-signal", "NOPE"],
        ["--cap-add", "NOSUCH"], ["--ulimit", "nofile"], ["--env-file", "/no/such/file"], ["--mount", "type=what"],
        ["--user", "nosuchuser"], ["--userns", "nosuch"], ["--workdir", "relative"], ["--pull", "perhaps"],
        ["--log-driver", "nosuch"], ["--security-opt", "seccomp=/no/such/file"], ["--device", "/dev/nosuch"],
        ["--ip", "999.1.1.1"], ["--add-host", "nonsense"], ["--restart", "sometimes"], ["--platform", "plan9/mips"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_bad_value_is_refused_with_a_remedy_and_nothing_is_left(img: Rpod, words: list[str]) -> None:
    done = img.run("run", "--rm", *words, "img", "true")
    # podman ends with 126 where it needs the image to see what is wrong.
    code = 126 if words in (["--user", "nosuchuser"], ["--workdir", "relative"]) else 125
    assert done.returncode == code, (done.returncode, done.stderr)
    is_clear(done.stderr.decode())
    nothing_of_it(img)


@pytest.mark.parametrize("command", ["stop", "rm", "logs", "exec", "inspect", "start", "kill", "wait", "attach"])
def test_a_container_that_is_not_there_is_named(img: Rpod, command: str) -> None:
    done = img.run(command, "nobody", *(["true"] if command == "exec" else []))
    assert done.returncode in (1, 125), done.stderr
    is_clear(done.stderr.decode(), "nobody")


def test_a_volume_that_is_missing_or_out_of_reach_is_named(img: Rpod, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    is_clear(img.error("run", "--rm", "-v", f"{tmp_path}/nosuch:/x", "img", "true"), f"{tmp_path}/nosuch")
    if os.access("/root", os.X_OK):
        pytest.skip("/root is open to everybody here")
    is_clear(img.error("run", "--rm", "-v", "/root/inside:/x", "img", "true"), "/root/inside")
    nothing_of_it(img)


def test_a_taken_port_is_named_with_the_next_free_one(img: Rpod) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = img.error("run", "--rm", "-p", f"127.0.0.1:{port}:80", "img", "true")
        is_clear(said, str(port))
        assert "free" in said
    nothing_of_it(img)


def test_an_image_that_is_not_there_is_no_error_where_force_is_used(rpod):
    """As podman 4.3.1: scripts clean up with ``rmi -f``."""
    assert rpod("rmi", "-f", "nosuch") == ""
    is_clear(rpod.error("rmi", "nosuch", code=1), "nosuch")

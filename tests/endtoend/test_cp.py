"""``rpod cp`` in every direction. Where nothing else is said, the expected trees are what podman 4.3.1 makes of the same words."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod

MOMENT = 1_000_000_000.25
UP = ("--network", "none", "--stop-timeout", "0")


@pytest.fixture(params=["running", "stopped"])
def box(request: pytest.FixtureRequest, img: Rpod) -> Iterator[Rpod]:
    """A container ``box`` of the test image (user app), running or stopped."""
    img(
        "run",
        "-d",
        *UP,
        "--user",
        "0",
        "--name",
        "box",
        "img",
        "sh",
        "-c",
        "mkdir -p /data/old; echo f > /data/file; exec sleep 1000",
    )
    for _ in range(100):
        if img.run("exec", "box", "test", "-s", "/data/file").returncode == 0:
            break
        time.sleep(0.05)
    if request.param == "stopped":
        img("stop", "box")
    yield img
    img("rm", "-f", "box")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with what a tree can hold; the test works in ``tmp_path``."""
    tree = tmp_path / "src"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("a\n")
    (tree / "a").chmod(0o640)
    os.link(tree / "a", tree / "hard")
    (tree / "link").symlink_to("a")
    (tree / "dangling").symlink_to("/nowhere/at/all")
    (tree / "sub" / "s").write_text("s\n")
    (tree / "sub" / "new\nline ünd \\ blank").write_text("odd\n")
    os.mkfifo(tree / "fifo")
    (tree / "sub").chmod(0o1777)
    os.utime(tree / "a", (MOMENT, MOMENT))
    os.utime(tree / "sub", (MOMENT, MOMENT))
    (tmp_path / "one").write_text("one\n")
    (tmp_path / "one").chmod(0o751)
    return tree


def listing(rpod: Rpod, path: str) -> dict[str, tarfile.TarInfo]:
    """Return what is at a path of the container, by name below it, as the archive of ``cp PATH -`` has it."""
    done = rpod.run("cp", f"box:{path}", "-")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        members = tar.getmembers()
    top = members[0].name
    return {member.name[len(top) :].lstrip("/"): member for member in members}


def content(rpod: Rpod, path: str) -> str:
    done = rpod.run("cp", f"box:{path}", "-")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file is not None
        return file.read().decode()


def names(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


SRC = {"", "a", "hard", "link", "dangling", "sub", "sub/s", "sub/new\nline ünd \\ blank", "fifo"}


# -- into a container


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/data/new", "/data/new"),
        ("/data", "/data/one"),
        ("/data/", "/data/one"),
        ("/data/file", "/data/file"),
        ("data/rel", "/data/rel"),
    ],
)
def test_a_file_goes_to_the_name_into_the_directory_or_over_the_file(
    box: Rpod, source: Path, target: str, lands: str
) -> None:
    box("cp", f"{source.parent}/one", f"box:{target}")
    assert content(box, lands) == "one\n"
    assert listing(box, lands)[""].mode == 0o751


def test_a_directory_is_made_under_a_new_name_and_goes_below_an_existing_one(box: Rpod, source: Path) -> None:
    box("cp", str(source), "box:/data/new")
    assert set(listing(box, "/data/new")) == SRC
    box("cp", str(source), "box:/data/new")
    assert set(listing(box, "/data/new/src")) == SRC
    box("cp", f"{source}/", "box:/data/other")
    assert set(listing(box, "/data/other")) == SRC


def test_slash_dot_copies_the_content(box: Rpod, source: Path) -> None:
    box("cp", f"{source}/.", "box:/data/old")
    assert set(listing(box, "/data/old")) == SRC
    box("cp", f"{source}/.", "box:/data/fresh")
    assert set(listing(box, "/data/fresh")) == SRC


def test_login_mode_times_links_and_owner_are_kept_or_the_containers(img: Rpod, source: Path) -> None:
    img("create", "--name", "box", "img", "true")
    img("cp", str(source), "box:/tmp/new")
    found = listing(img, "/tmp/new")
    assert found["a"].mode == 0o640
    assert found["sub"].mode == 0o1777
    assert found["a"].mtime == MOMENT
    assert found["sub"].mtime == MOMENT
    assert found["hard"].islnk() or found["a"].islnk()
    assert (found["link"].linkname, found["dangling"].linkname) == ("a", "/nowhere/at/all")
    assert found["fifo"].isfifo()
    ids = img("unshare", "cat", "/proc/self/uid_map").split()
    owner = 1000 if len(ids) > 3 else 0  # the image's USER, or the one id there is
    assert {member.uid for member in found.values()} == {owner}


def test_without_archive_owners_stay(img: Rpod, source: Path, debian: bool) -> None:
    if not debian:
        pytest.skip("one id: every owner is the same")
    img("create", "--name", "box", "img", "true")
    img("cp", "-a=false", f"{source}/a", "box:/tmp/mine")
    assert listing(img, "/tmp/mine")[""].uid == 0  # the user is root of the namespace, as files of the user show inside
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("theirs")
        info.uid, info.gid = 7, 8
        tar.addfile(info)
    img("cp", "--archive=false", "-", "box:/tmp", stdin=out.getvalue())
    found = listing(img, "/tmp/theirs")[""]
    assert (found.uid, found.gid) == (7, 8)


def test_keep_id_gives_files_to_the_user_as_the_container_sees_it(img: Rpod, source: Path, debian: bool) -> None:
    if not debian:
        pytest.skip("this user has one id")
    img("run", "-d", *UP, "--userns", "keep-id", "--name", "box", "img", "sleep", "1000")
    img("cp", f"{source.parent}/one", "box:/tmp/one")
    assert img("exec", "box", "stat", "-c", "%u", "/tmp/one").strip() == "1000"
    img("stop", "box")
    img("cp", f"{source.parent}/one", "box:/tmp/two")
    assert listing(img, "/tmp/two")[""].uid == 1000
    img("start", "box")
    assert img("exec", "box", "stat", "-c", "%u %a", "/tmp/two").split() == ["1000", "751"]


# -- out of a container


@pytest.mark.parametrize(
    ("target", "lands"), [("new", "new"), ("there", "there/file"), ("there/", "there/file"), ("taken", "taken")]
)
def test_a_file_comes_out_as_the_users_own(box: Rpod, tmp_path: Path, target: str, lands: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "taken").write_text("old")
    box("cp", "box:/data/file", f"{tmp_path}/{target}")
    made = tmp_path / lands
    assert made.read_text() == "f\n"
    assert made.stat().st_uid == os.getuid()


def test_a_directory_comes_out_whole(img: Rpod, tmp_path: Path, debian: bool) -> None:
    img("create", "--name", "box", "img", "true")
    img("cp", "box:/app", f"{tmp_path}/app")
    assert names(tmp_path / "app") == {"hello.py", "one", "two", "setuid", "dir", "dir/new", "latest"}
    assert (tmp_path / "app/one").stat().st_ino == (tmp_path / "app/two").stat().st_ino
    assert os.readlink(tmp_path / "app/latest") == "one"
    assert stat.S_IMODE((tmp_path / "app/setuid").stat().st_mode) == 0o4755
    assert (tmp_path / "app/one").stat().st_mtime == 1_700_000_000.25
    (tmp_path / "there").mkdir()
    img("cp", "box:/app/.", f"{tmp_path}/there")
    assert names(tmp_path / "there") == names(tmp_path / "app")
    img("cp", "box:/app", f"{tmp_path}/there")
    assert names(tmp_path / "there/app") == names(tmp_path / "app")


def test_relative_host_paths_count_from_the_working_directory(box: Rpod, tmp_path: Path) -> None:
    done = subprocess.run(
        box.argv("cp", "box:/data/file", "."), cwd=tmp_path, env=box.env, check=True, capture_output=True
    )
    assert done.stderr == b""
    assert (tmp_path / "file").read_text() == "f\n"
    (tmp_path / "with:colon").write_text("c")
    subprocess.run(box.argv("cp", "./with:colon", "box:/data/"), cwd=tmp_path, env=box.env, check=True)
    assert content(box, "/data/with:colon") == "c"


def test_a_file_of_the_kernels_making_comes_out_with_its_content(img: Rpod, tmp_path: Path) -> None:
    img("run", "-d", *UP, "--name", "box", "img", "sleep", "1000")
    img("cp", "box:/proc/1/status", str(tmp_path))
    assert "Name:\tsleep" in (tmp_path / "status").read_text()


# -- volumes


def test_volumes_are_copied_from_and_to_whether_it_runs_or_not(img: Rpod, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "one").write_text("one\n")
    places = ("-v", "kept:/vol", "-v", f"{tmp_path}/shared:/bound", "-v", f"{tmp_path}/shared:/readonly:ro")
    img("run", "-d", *UP, "--user", "0", "--name", "box", *places, "--tmpfs", "/mem", "img", "sleep", "1000")
    img("cp", f"{tmp_path}/one", "box:/mem/one")
    assert img("exec", "box", "cat", "/mem/one") == "one\n"
    for name in ("first", "second"):
        img("cp", f"{tmp_path}/one", f"box:/vol/{name}")
        img("cp", f"{tmp_path}/one", f"box:/bound/{name}")
        assert (tmp_path / "shared" / name).read_text() == "one\n"
        assert "read-only" in img.error("cp", f"{tmp_path}/one", f"box:/readonly/{name}")
        img("stop", "box")
    assert img("run", "--rm", "-v", "kept:/vol", "img", "ls", "/vol").split() == ["first", "second"]


def test_a_file_that_is_a_mount_is_written_in_place(img: Rpod, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("192.0.2.9 elsewhere\n")
    img("run", "-d", *UP, "--user", "0", "--name", "box", "img", "sleep", "1000")
    img("cp", f"{tmp_path}/hosts", "box:/etc/hosts")
    assert img("exec", "box", "cat", "/etc/hosts") == "192.0.2.9 elsewhere\n"


# -- between containers


def test_login_between_containers_running_and_stopped(img: Rpod) -> None:
    img("run", "-d", *UP, "--name", "box", "img", "sleep", "1000")
    img("create", "--name", "made", "img", "cat", "/tmp/app/one")
    img("cp", "box:/app", "made:/tmp")
    assert img("start", "-a", "made") == "linked\n"
    img("cp", "made:/app/dir", "box:/tmp/back")
    assert img("exec", "box", "cat", "/tmp/back/new") == "new\n"


def test_within_one_container_and_between_two_that_do_not_run(img: Rpod) -> None:
    img("create", "--name", "box", "img", "true")
    img("create", "--name", "two", "img", "true")
    img("cp", "box:/app/one", "box:/tmp/again")
    assert content(img, "/tmp/again") == "linked\n"
    img("cp", "box:/tmp/again", "two:/tmp/again")
    img("cp", "two:/tmp/again", "box:/tmp/third")
    assert content(img, "/tmp/third") == "linked\n"


def test_a_directory_is_not_copied_into_itself(box: Rpod) -> None:
    assert "into itself" in box.error("cp", "box:/data", "box:/data/old")
    assert "into itself" in box.error("cp", "box:/", "box:/data/new")


# -- archives


def test_login_an_archive_goes_in_and_comes_out(img: Rpod, source: Path) -> None:
    img("create", "--name", "box", "img", "true")
    packed = subprocess.run(["tar", "-C", source, "-czf", "-", "."], check=True, capture_output=True).stdout
    img("cp", "-", "box:/tmp", stdin=packed)
    assert content(img, "/tmp/sub/s") == "s\n"
    assert listing(img, "/tmp")[""].mode == 0o1777  # the directory itself stays as it was
    done = img.run("cp", "box:/app/dir", "-")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.getnames() == ["dir", "dir/new"]


def test_links_of_the_container_are_followed_inside_it_only(img: Rpod, tmp_path: Path) -> None:
    img(
        "run",
        "--name",
        "box",
        "--user",
        "0",
        "img",
        "sh",
        "-c",
        f"ln -s {tmp_path} /out; ln -s /../../../../tmp /up; ln -s /etc/passwd /pw",
    )
    (tmp_path / "victim").write_text("host\n")
    assert "could not be found" in img.error("cp", f"{tmp_path}/victim", "box:/out/stolen")
    assert "could not be found" in img.error("cp", "box:/out/victim", str(tmp_path / "x"))
    img("cp", f"{tmp_path}/victim", "box:/up/landed")
    assert not Path("/tmp/landed").exists()
    assert content(img, "/tmp/landed") == "host\n"
    img("cp", "box:/pw", f"{tmp_path}/pw")
    assert "app:" in (tmp_path / "pw").read_text()


@pytest.mark.parametrize("name", ["../../escape", "/../../escape", "l/escape", "abs/escape"])
def test_a_hostile_archive_stays_inside(img: Rpod, tmp_path: Path, name: str) -> None:
    img("create", "--name", "box", "--user", "0", "img", "true")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for link, target in (("l", "../../../../../../.."), ("abs", str(tmp_path))):
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        info = tarfile.TarInfo(name)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    img.run("cp", "-", "box:/tmp", stdin=out.getvalue())
    assert list(tmp_path.iterdir()) == []
    assert not [place for place in ("/escape", "/tmp/escape", f"{img.root}/escape") if os.path.exists(place)]


@pytest.mark.parametrize("data", [b"", b"this is not an archive", b"\x1f\x8bbroken"])
def test_what_is_no_archive_is_refused(img: Rpod, data: bytes) -> None:
    img("create", "--name", "box", "img", "true")
    done = img.run("cp", "-", "box:/tmp", stdin=data)
    assert done.returncode == 125
    assert b"tar archive" in done.stderr


# -- what is in the way


def test_a_directory_and_a_file_replace_each_other_only_on_request(box: Rpod, tmp_path: Path) -> None:
    (tmp_path / "d" / "file").mkdir(parents=True)
    (tmp_path / "d" / "file" / "deep").write_text("deep\n")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old").write_text("now a file\n")
    assert "--overwrite" in box.error("cp", f"{tmp_path}/d/.", "box:/data")
    assert "--overwrite" in box.error("cp", f"{tmp_path}/f/.", "box:/data")
    assert content(box, "/data/file") == "f\n"
    box("cp", "--overwrite", f"{tmp_path}/d/.", "box:/data")
    assert content(box, "/data/file/deep") == "deep\n"
    box("cp", f"{tmp_path}/f/.", "box:/data", "--overwrite")
    assert content(box, "/data/old") == "now a file\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("box:/nosuch", "."), "'/nosuch' could not be found"),
        (("box:/data/file", "nodir/x"), "'nodir/x' could not be found on the host"),
        (("box:/data/file", "nodir/"), "'nodir/' could not be found on the host"),
        (("/nosuch", "box:/"), "'/nosuch' could not be found on the host"),
        (("/etc/hostname", "box:/data/no/where"), "'/data/no/where' could not be found"),
        (("/etc/hostname", "box:/data/no/"), "'/data/no/' could not be found"),
        (("/usr", "box:/data/file"), "cannot copy a directory onto the file"),
        (("/etc/hostname", "elsewhere"), "names a container"),
        (("box:", "."), "a path is missing"),
        (("nosuchbox:/x", "."), "no container with name or id 'nosuchbox'"),
        (("/root/secret", "box:/data"), "Permission denied"),
    ],
)
def test_errors_name_the_path_and_say_what_to_do(box: Rpod, tmp_path: Path, words: tuple[str, str], part: str) -> None:
    done = subprocess.run(
        box.argv("cp", *words), cwd=tmp_path, env=box.env, capture_output=True, timeout=60, check=False
    )
    said = done.stderr.decode()
    assert done.returncode == 125
    assert part in said
    assert len(said.splitlines()) == 2, said


# -- size, and being killed


def test_a_big_file_keeps_its_bytes_and_its_holes(img: Rpod, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.write(os.urandom(3_000_000))
        file.seek(200_000_000)
        file.write(b"end")
    img("create", "--name", "box", "img", "true")
    img("cp", str(big), "box:/tmp/big")
    img("cp", "box:/tmp/big", f"{tmp_path}/back")
    assert (tmp_path / "back").stat().st_size == big.stat().st_size
    assert (tmp_path / "back").stat().st_blocks * 512 < 50_000_000
    subprocess.run(["cmp", big, tmp_path / "back"], check=True)


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "copy"])
def test_a_killed_copy_leaves_no_mount_and_no_process(img: Rpod, driver: str) -> None:
    store = img.with_options("--storage-driver", driver)
    store("create", "--name", "box", "img", "true")
    before = len(store.processes())
    victim = store.start("cp", "-", "box:/tmp", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with victim:
        time.sleep(1)  # it waits for the archive, everything mounted
        assert victim.poll() is None
        victim.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (len(store.processes()) > before or store.mounts()):
        time.sleep(0.1)
    assert len(store.processes()) == before, store.processes()
    assert store.mounts() == []
    assert "true" in store("inspect", "--format", "{{.Path}}", "box")
    store("start", "box")
    store("rm", "-f", "box")


def test_a_copy_leaves_nothing_mounted_and_the_container_startable(img: Rpod, source: Path) -> None:
    img("create", "--name", "box", "img", "cat", "/tmp/one")
    img("cp", f"{source.parent}/one", "box:/tmp/one")
    assert img.mounts() == []
    assert img("ps", "-a", "--format", "{{.State}}") == "created\n"
    assert img("start", "-a", "box") == "one\n"


def test_the_host_image_and_a_root_directory_of_the_user_can_be_copied_to(img: Rpod, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one\n")
    img("create", "--name", "box", "host", "--", "cat", "/etc/made")
    img("cp", f"{tmp_path}/one", "box:/etc/made")
    assert not Path("/etc/made").exists()
    assert img("start", "-a", "box") == "one\n"

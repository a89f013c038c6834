"""Bad input and hosts that lack something: a clear error with a remedy, nothing lost, nothing left behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import RPOD, Rpod, make_store

SMALL = 256


class Archive:
    """Images made by hand for a test, as OCI layouts and docker archives."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def layout(self, name: str, *layers: bytes, command: str = "true") -> Path:
        """Write a layout of busybox and ``layers`` on top; return its path."""
        path = self.place / name
        path.mkdir()
        base = images.busybox_base(images.cache_directory()).read_bytes()
        stack = [(tar, "gzip") for tar in (base, *layers)]
        images.LayoutWriter(path).image(stack, {"Cmd": [command], "Env": ["PATH=/bin:/usr/bin"]}, "bad")
        return path

    def docker(self, layout: Path) -> Path:
        """Write what ``docker save`` makes of a layout of ours, uncompressed layers."""
        import gzip

        blobs = layout / "blobs/sha256"
        index = json.loads((layout / "index.json").read_text())
        manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
        config = manifest["config"]["digest"][7:]
        path = self.place / f"{layout.name}.tar"
        with tarfile.open(path, "w") as tar:
            images.add(tar, f"{config}.json", (blobs / config).read_bytes())
            names = []
            for number, layer in enumerate(manifest["layers"]):
                names.append(f"{number}/layer.tar")
                images.add(tar, names[-1], gzip.decompress((blobs / layer["digest"][7:]).read_bytes()))
            images.add(
                tar,
                "manifest.json",
                json.dumps([{"Config": f"{config}.json", "RepoTags": ["localhost/bad:1"], "Layers": names}]).encode(),
            )
        return path


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def one_layer(*entries: tuple[str, dict[str, object]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, how in entries:
            images.add(tar, name, **how)  # type: ignore[arg-type]
    return out.getvalue()


def is_clear(said: str, *words: str) -> None:
    """One sentence that names the thing, then a remedy on a line of its own, and no bug."""
    lines = [line for line in said.splitlines() if line and not line.startswith(("Trying to pull", "rpod: "))]
    assert "Traceback" not in said, said
    assert lines[0].startswith("Error: "), said
    assert len(lines) >= 2, f"no remedy: {said}"
    assert lines[1].startswith("  "), said
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"


def nothing_of_it(rpod: Rpod) -> None:
    """No container, staging directory, partial blob, mount or process is left."""
    assert rpod("ps", "-aq") == ""
    assert list(rpod.root.glob("layers/.*")) == []
    assert list(rpod.root.glob("image/blobs/**/*.part*")) == []
    assert list(rpod.root.glob("names/containers/*")) == []
    assert list(rpod.runroot.glob("*/containers/*")) + list(rpod.runroot.glob("*/netns/*")) == []
    assert rpod.mounts() == []


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
    assert done.returncode == 125, (done.returncode, done.stderr)
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


# What the host lacks. Files are hidden and limits set in namespaces of the test's own; nothing of the machine changes.


class Poor:
    """rpod on a host that lacks something, run as the same user."""

    def __init__(self, rpod: Rpod) -> None:
        self.rpod = rpod

    def run(
        self,
        *words: str,
        hide: tuple[str, ...] = (),
        before: str = "",
        env: dict[str, str] | None = None,
        as_root: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run rpod with files ``hide`` emptied and the shell lines ``before`` done, in a namespace where we are root at first."""
        steps = [before] if before else []
        steps += [f"mount --bind $(mktemp -p {self.rpod.root}) {path}" for path in hide if Path(path).exists()]
        become = "" if as_root else f"unshare --user --map-user={os.getuid()} --map-group={os.getgid()} -- "
        script = "set -e\n" + "\n".join(steps) + f'\nexec {become}"$@"'
        argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *self.rpod.argv(*words)]
        return subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env={**self.rpod.env, **(env or {})}
        )


def devices_without(*missing: str) -> str:
    """Return shell lines that make a /dev without the devices ``missing``."""
    names = [
        name for name in ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun") if name not in missing
    ]
    return f"""
        old=$(mktemp -d)
        mount --rbind /dev $old
        mount -t tmpfs -o mode=755 none /dev
        mkdir /dev/net /dev/pts /dev/shm
        for one in {" ".join(names)}; do if [ -e $old/$one ]; then touch /dev/$one; mount --bind $old/$one /dev/$one; fi; done
        for one in pts shm; do if [ -e $old/$one ]; then mount --rbind $old/$one /dev/$one; fi; done
        ln -s pts/ptmx /dev/ptmx
        ln -s /proc/self/fd /dev/fd
        """


@pytest.fixture
def poor() -> Iterator[Poor]:
    """A store of its own: its pause process lives in namespaces of the test's own."""
    rpod = make_store()
    yield Poor(rpod)
    subprocess.run(["unshare", "--user", "--map-root-user", "rm", "-rf", str(rpod.root)], check=False)
    rpod.end()


def programs_without(place: Path, *missing: str) -> dict[str, str]:
    """Return the environment in which rpod finds every program of this machine but ``missing``."""
    place.mkdir()
    for directory in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for path in Path(directory).iterdir() if Path(directory).is_dir() else ():
            if path.name not in missing and not (place / path.name).is_symlink():
                (place / path.name).symlink_to(path)
    return {"RPOD_PROGRAM_PATH": str(place)}


@pytest.mark.parametrize(
    ("missing", "words"),
    [(("conmon",), ("conmon", "apt-get install conmon")), (("crun", "runc"), ("crun", "apt install crun"))],
)
def test_a_missing_monitor_or_runtime_is_named_with_its_package(
    rpod: Rpod, tmp_path: Path, missing: tuple[str, ...], words: tuple[str, ...]
) -> None:
    lacking = rpod.with_options(env=programs_without(tmp_path / "bin", *missing))
    is_clear(lacking.error("run", "--rm", "host", "--", "true"), *words)
    nothing_of_it(rpod)
    assert lacking("ps", "-a") != ""
    assert lacking("images") != ""


def test_one_runtime_is_enough(rpod: Rpod, tmp_path: Path) -> None:
    for missing in ("crun", "runc"):
        lacking = rpod.with_options(env=programs_without(tmp_path / f"bin-{missing}", missing))
        done = lacking.run("run", "--rm", "host", "--", "echo", "works")
        if missing == "runc" and done.returncode:
            is_clear(done.stderr.decode(), "crun")  # a host that mixes cgroup v1 and v2
        else:
            assert done.stdout == b"works\n", done.stderr
        for record in rpod.runroot.glob("*/probes/*"):
            record.unlink()


def test_without_newuidmap_one_id_is_used_and_said_once(rpod: Rpod, tmp_path: Path) -> None:
    lacking = rpod.with_options(env=programs_without(tmp_path / "bin", "newuidmap"))
    first = lacking.run("run", "--rm", "host", "--", "id", "-u")
    assert first.stdout == b"0\n", first.stderr
    if subprocess.run(["grep", "-q", f"^{os.environ.get('USER')}:", "/etc/subuid"], check=False).returncode == 0:
        assert b"newuidmap is not installed" in first.stderr
        assert b"uidmap" in first.stderr
    second = lacking.run("run", "--rm", "host", "--", "id", "-u")
    assert (second.stdout, second.stderr) == (b"0\n", b"")


def test_without_sub_ids_one_id_is_used_and_said_once(poor: Poor) -> None:
    done = poor.run("run", "--rm", "--network", "none", "host", "--", "id", "-u", hide=("/etc/subuid", "/etc/subgid"))
    assert done.stdout == b"0\n", done.stderr
    assert b"no subordinate ids" in done.stderr
    assert b"usermod --add-subuids" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_without_user_namespaces_the_limit_and_its_remedy_are_named(poor: Poor) -> None:
    for words in (("run", "--rm", "host", "--", "true"), ("images",), ("unshare", "true")):
        done = poor.run(*words, before="echo 0 > /proc/sys/user/max_user_namespaces", as_root=True)
        if words[0] == "images" and done.returncode == 0:
            continue  # a command that only reads may do without
        assert done.returncode == 125, (words, done.stderr)
        is_clear(done.stderr.decode(), "max_user_namespaces", "sysctl -w")
    assert not list(poor.rpod.runroot.glob("*/pause.json"))


def test_without_dev_fuse_the_driver_that_needs_it_says_so_and_another_is_chosen(poor: Poor) -> None:
    lacking = devices_without("fuse")
    if shutil.which("fuse-overlayfs"):
        argv = ("--storage-driver", "fuse-overlayfs", "run", "--rm", "--network", "none", "host", "--", "true")
        done = poor.run(*argv, before=lacking)
        assert done.returncode == 125, done.stderr
        is_clear(done.stderr.decode(), "/dev/fuse")
    done = poor.run("run", "--rm", "--network", "none", "host", "--", "echo", "works", before=lacking)
    assert done.stdout == b"works\n", done.stderr


def test_without_dev_net_tun_helpers_say_so_and_the_hosts_network_is_used(poor: Poor) -> None:
    lacking = devices_without("net/tun")
    for helper in ("slirp4netns", "pasta"):
        if shutil.which(helper):
            done = poor.run("run", "--rm", "--network", helper, "host", "--", "true", before=lacking)
            assert done.returncode == 125, done.stderr
            is_clear(done.stderr.decode(), "/dev/net/tun")
    done = poor.run("run", "--rm", "host", "--", "echo", "works", before=lacking)
    assert done.stdout == b"works\n", done.stderr
    assert b"host's network" in done.stderr
    again = poor.run("run", "--rm", "host", "--", "echo", "works", before=lacking)
    assert (again.stdout, again.stderr) == (b"works\n", b"")


def default_runroot(rpod: Rpod, **env: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run a container with the runtime directory chosen from the environment."""
    environment = {key: value for key, value in {**rpod.env, **env}.items() if value is not None}
    argv = [RPOD, "--root", str(rpod.root), "run", "--rm", "--network", "none", "host", "--", "echo", "works"]
    return subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("directory", [None, "", "/nonexistent", "/", "relative"])
def test_a_runtime_directory_that_is_missing_or_someone_elses_is_replaced(rpod: Rpod, directory: str | None) -> None:
    done = default_runroot(rpod, XDG_RUNTIME_DIR=directory)
    assert done.stdout == b"works\n", done.stderr


def test_a_runtime_directory_in_which_others_may_write_is_not_used(rpod: Rpod, tmp_path: Path) -> None:
    open_place = tmp_path / "rootless-pod"
    open_place.mkdir()
    open_place.chmod(0o777)
    done = default_runroot(rpod, XDG_RUNTIME_DIR=str(tmp_path))
    assert done.stdout == b"works\n", done.stderr
    assert list(open_place.iterdir()) == []


def test_a_home_that_cannot_be_written_is_named_with_the_option_that_helps(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("XDG_DATA_HOME", None)
    runroot = tmp_path / "run"
    argv = [RPOD, "--runroot", str(runroot), "run", "--rm", "host", "--", "true"]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 125
    is_clear(done.stderr.decode(), str(home), "--root DIR")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("taken", [178, 188, 253])
def test_a_full_disk_in_the_middle_of_a_pull_is_named_and_costs_nothing(
    poor: Poor, archive: Archive, taken: int
) -> None:
    """The store lies on a tmpfs of 256 MiB, some of it taken (pulls begin with 64 free); with room made, the pull succeeds."""
    files = ((f"file{number}", {"content": os.urandom(1 << 14) * 64}) for number in range(80))
    layout = archive.layout("large", one_layer(*files))
    root = poor.rpod.root
    rpod = " ".join(poor.rpod.argv())
    script = f"""
        mount -t tmpfs -o size=256m none {root}
        head -c {taken}M /dev/zero > {root}/filler
        {rpod} pull -q oci:{layout}:bad; echo "code $?"
        echo "images $({rpod} images -q)"
        echo "left $(find {root} -name '.staging*' -o -name '.trash*' -o -name '*.part' | wc -l)"
        echo "used $(du -sk --exclude=filler {root} | cut -f1)"
        rm {root}/filler
        {rpod} pull -q oci:{layout}:bad; echo "code $?"
        {rpod} run --rm --network none $({rpod} images -q) sh -c 'ls /file15'
    """
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env=poor.rpod.env)
    out, said = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in said, said
    assert "no space left" in said.lower() or "disk is full" in said.lower() or "full" in said.lower(), said
    first, _, rest = out.partition("images")
    assert first.strip() == "code 125", (out, said)
    assert "left 0" in rest, (out, said)
    # Only the bottom layer, which was whole, may stay for the next pull.
    assert int(rest.partition("used ")[2].split()[0]) < 4096, (out, said)
    assert "code 0" in rest, f"{out}\n{said}"
    assert "/file15" in rest, (out, said)

"""Images made, compared, pruned and checked, with podman and umoci as judges."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import images
import pytest
import trees
from conftest import Rpod, make_store
from registries import require

DRIVERS = ("overlay", "fuse-overlayfs", "pyfuse3", "copy")
WORK = (
    "echo new > /new; ln /new /linked; mkdir -p /made/deep; echo x > /made/deep/x; ln -s x /made/link; "
    "rm /etc/group; chmod 700 /root; rm -r /app/dir; mkdir /app/dir; echo fresh > /app/dir/fresh; "
    "echo longer >> /app/hello.py; chown 7:8 /app/setuid; rm /app/latest; mkdir /app/latest; touch /app/latest/in"
)
CHANGES = """\
C /app
C /app/dir
A /app/dir/fresh
D /app/dir/new
C /app/hello.py
C /app/latest
A /app/latest/in
C /app/setuid
C /etc
D /etc/group
A /linked
A /made
A /made/deep
A /made/deep/x
A /made/link
A /new
C /root
"""
"""What WORK does to the test image, counted by hand."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Rpod]:
    """A store with the busybox image as ``small``."""
    store = make_store()
    layout = tmp_path / "layout"
    base = images.busybox_base(images.cache_directory())
    writer = images.LayoutWriter(layout)
    layers = [
        (base.read_bytes(), "gzip"),
        (images.application_layer(images.member(base, "etc/passwd"), images.member(base, "etc/group")), "gzip"),
        (images.whiteout_layer(), "gzip"),
    ]
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin", "KEPT=yes"], "Labels": {"maker": "tests"}, "WorkingDir": "/app"}
    writer.image(layers, config, "test")
    store("pull", "-q", f"oci:{layout}:test")
    store("tag", store("images", "-q", "--no-trunc").split()[0], "localhost/small:latest")
    for name in store("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if "small" not in name:
            store("untag", "small", name)
    yield store
    store.end()


def usable(store: Rpod, driver: str) -> Rpod:
    """Return the store with a driver, skipping where it does not work here."""
    chosen = store.with_options("--storage-driver", driver)
    tried = chosen.run("run", "--rm", "small", "true")
    if b"does not work here" in tried.stderr:
        pytest.skip(f"{driver}: {tried.stderr.decode()[:200]}")
    assert tried.returncode == 0, tried.stderr.decode()
    return chosen


def tree_of(store: Rpod, image: str) -> dict[str, dict[str, object]]:
    """Return the files of an image as rpod mounts it, owners as the image means them."""
    script = f"""root=$("$@" image mount {image}) && {sys.executable} {trees.__file__} $root; "$@" image unmount {image} >&2"""
    return settled(json.loads(store("unshare", "sh", "-c", script, "sh", *store.argv())))


def settled(rows: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Return a tree without the time of its root, which no layer has an entry for."""
    rows["."].pop("mtime_ns")
    return rows


def config_of(store: Rpod, image: str) -> dict[str, object]:
    return json.loads(store("image", "inspect", image))[0]  # type: ignore[no-any-return]


@pytest.mark.kernel
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_commit_holds_exactly_what_the_container_changed(small: Rpod, driver: str) -> None:
    rpod = usable(small, driver)
    rpod("run", "--name", "job", "small", "sh", "-c", WORK)
    assert rpod("diff", "job") == CHANGES
    rpod("commit", "-q", "job", "made")
    rpod("commit", "-q", "--squash", "job", "flat")
    made, flat = tree_of(rpod, "made"), tree_of(rpod, "flat")
    assert made == flat
    assert made["app/setuid"]["owner"] == [7, 8]
    assert made["app/two"]["same_as"] == made["app/one"]["same_as"]
    assert made["linked"]["same_as"] == made["new"]["same_as"]
    assert "etc/group" not in made
    assert "app/dir/new" not in made
    assert made["app/latest"]["kind"] == "directory"
    assert rpod("diff", "made", "flat") == ""
    assert len(config_of(rpod, "made")["RootFS"]["Layers"]) == 4  # type: ignore[index]
    assert len(config_of(rpod, "flat")["RootFS"]["Layers"]) == 1  # type: ignore[index]
    rpod("run", "--rm", "made", "sh", "-c", "test ! -e /etc/group && test -f /app/dir/fresh && test ! -e /app/dir/new")
    rpod("system", "check")


@pytest.mark.kernel
@pytest.mark.peer
def test_podman_sees_the_committed_tree_as_rpod_does(small: Rpod, tmp_path: Path, debian: bool) -> None:
    from test_formats import Podman

    require("podman")
    if not debian:
        pytest.skip("podman needs subordinate ids")
    small("run", "--name", "job", "small", "sh", "-c", WORK)
    small("commit", "-q", "-c", 'CMD ["/bin/judge"]', "-c", "ENV NEW=a b", "-c", "LABEL l=1", "job", "made")
    small("save", "--format", "oci-dir", "-o", str(tmp_path / "oci"), "localhost/made:latest")
    place = Path(tempfile.mkdtemp(prefix="pm-", dir="/var/tmp"))
    room = tmp_path / "room"
    room.mkdir()
    podman = Podman(place)
    try:
        image = podman.pull(tmp_path / "oci", room, "localhost/made:latest")
        theirs, ours = podman.read_tree(image), tree_of(small, "made")
        # A root that no layer has an entry for has mode 0555 with podman 4.3, 0755 with umoci and here.
        del theirs["."], ours["."]
        assert theirs == ours
        said = json.loads(podman("image", "inspect", image))[0]
        assert said["Config"] == config_of(small, "made")["Config"]
        assert said["Config"]["Cmd"] == ["/bin/judge"]
        assert "NEW=a b" in said["Config"]["Env"]
        assert said["RootFS"]["Layers"] == config_of(small, "made")["RootFS"]["Layers"]  # type: ignore[index]
        assert len(said["History"]) == 4
    finally:
        podman.end()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.peer
@pytest.mark.kernel
def test_umoci_unpacks_a_commit_as_rpod_mounts_it(small: Rpod, tmp_path: Path) -> None:
    require("umoci")
    small("run", "--name", "job", "small", "sh", "-c", WORK)
    small("commit", "-q", "job", "made")
    small("save", "--format", "oci-dir", "-o", str(tmp_path / "oci"), "localhost/made:latest")
    index = json.loads((tmp_path / "oci/index.json").read_text())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "made"}
    (tmp_path / "oci/index.json").write_text(json.dumps(index))
    words = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/oci:made", str(tmp_path / "bundle")]
    done = subprocess.run(words, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    theirs = trees.read_tree(str(tmp_path / "bundle/rootfs"))
    ours = tree_of(small, "made")
    for rows in (theirs, ours):
        rows.pop(".")
        for row in rows.values():
            row.pop("owner")  # umoci without root keeps owners in an attribute
            row.pop("xattrs", None)
            row["mtime_ns"] = int(row["mtime_ns"]) // 1_000_000_000  # type: ignore[call-overload]
    assert theirs == ours


def read_tar(data: bytes) -> dict[str, tuple[bytes, int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: (one.type, one.mode, one.uid, one.gid) for one in tar}


@pytest.mark.kernel
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_export_is_the_whole_tree_without_volumes_running_or_not(small: Rpod, driver: str, tmp_path: Path) -> None:
    rpod = usable(small, driver)
    script = (
        "echo in > /vol/in; echo out > /out; chown 5:6 /out; touch /ready; while test ! -e /end; do sleep 0.1; done"
    )
    rpod("run", "-d", "--name", "job", "-v", "v1:/vol", "small", "sh", "-c", script)
    deadline = time.monotonic() + 20
    while rpod.run("exec", "job", "test", "-e", "/ready").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    running = read_tar(rpod.run("export", "job").stdout)
    rpod("exec", "job", "touch", "/end")
    rpod("wait", "job")
    rpod("export", "-o", str(tmp_path / "job.tar"), "job")
    stopped = read_tar((tmp_path / "job.tar").read_bytes())
    assert running["out"] == (tarfile.REGTYPE, 0o644, 5, 6)
    assert "vol" in running
    assert "vol/in" not in running
    assert stopped.keys() - running.keys() == {"end"}
    assert {name: row for name, row in stopped.items() if name != "end"} == running
    made = rpod("import", str(tmp_path / "job.tar"), "again").strip()
    assert made.startswith("sha256:")
    assert tree_of(rpod, "again")["out"]["owner"] == [5, 6]


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd", "xz", "bzip2"])
def test_a_tar_is_imported_however_it_is_packed(small: Rpod, packing: str) -> None:
    tar = images.application_layer(b"root:x:0:0::/:/bin/sh\n", b"root:x:0:\n")
    if packing != "plain":
        require(packing)
        tar = subprocess.run([packing, "-c"], input=tar, capture_output=True, check=True).stdout
    plain = images.application_layer(b"root:x:0:0::/:/bin/sh\n", b"root:x:0:\n")
    printed = small("import", "-m", "why", "-c", 'CMD ["sh"]', "-c", "EXPOSE 80", "-", "tar:1", stdin=tar).strip()
    found = config_of(small, "tar:1")
    assert printed == f"sha256:{found['Id']}"
    assert found["RootFS"]["Layers"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]  # type: ignore[index]
    assert found["Config"] == {"Cmd": ["sh"], "ExposedPorts": {"80/tcp": {}}}
    assert found["History"][0]["comment"] == "why"  # type: ignore[index]


def test_a_tar_is_imported_from_a_server_and_redirects_are_followed(small: Rpod) -> None:
    tar = images.application_layer(b"", b"")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/here")
                self.end_headers()
            elif self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
                self.end_headers()
            elif self.path == "/here":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(tar)
            else:
                self.send_error(404)

        def log_message(self, *_words: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        at = f"http://127.0.0.1:{server.server_port}"
        small("import", f"{at}/moved", "web")
        assert config_of(small, "web")["RootFS"]["Layers"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}"]  # type: ignore[index]
        assert "404" in small.error("import", f"{at}/gone")
        assert "redirects" in small.error("import", f"{at}/loop")
        assert "ftp" in small.error("import", "ftp://127.0.0.1/x")
    finally:
        server.shutdown()
        server.server_close()


def test_a_damaged_tar_leaves_the_store_as_it_was(small: Rpod) -> None:
    before = sorted(path.name for path in (small.root / "image/blobs/sha256").iterdir())
    for bad in (b"junk" * 300, images.application_layer(b"", b"")[:1500], b""):
        done = small.run("import", "-", "bad", stdin=bad)
        assert done.returncode == 125
    assert "bad" not in small("images")
    assert sorted(path.name for path in (small.root / "image/blobs/sha256").iterdir()) == before


@pytest.mark.kernel
def test_what_was_asked_of_a_container_becomes_the_images_default(small: Rpod, tmp_path: Path) -> None:
    small(
        "create", "--name", "job", "-e", "A=1", "--label", "l=v", "--user", "7", "-w", "/tmp", "-v", "/anon",
        "-v", "named:/named", "--entrypoint", "/bin/sh", "small", "-c", "exit 3",
    )  # fmt: skip
    printed = small("commit", "--iidfile", str(tmp_path / "id"), "--format", "docker", "-m", "said", "-a", "me",
                    "-c", "ONBUILD RUN true", "-c", "STOPSIGNAL SIGINT", "job", "made").strip()  # fmt: skip
    found = config_of(small, "made")
    assert (tmp_path / "id").read_text() == printed == found["Id"]
    assert found["Author"] == "me"
    assert found["Comment"] == "said"
    assert found["ManifestType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert found["Config"] == {
        "Cmd": ["-c", "exit 3"],
        "Entrypoint": ["/bin/sh"],
        "Env": ["PATH=/bin", "KEPT=yes", "A=1"],
        "Labels": {"maker": "tests", "l": "v"},
        "OnBuild": ["RUN true"],
        "StopSignal": "SIGINT",
        "User": "7",
        "Volumes": {"/anon": {}},
        "WorkingDir": "/tmp",
    }
    assert small.run("run", "--rm", "made").returncode == 3
    small("commit", "--include-volumes", "job", "with")
    assert config_of(small, "with")["Config"]["Volumes"] == {"/anon": {}, "/named": {}}  # type: ignore[index]


def test_a_bad_instruction_changes_nothing(small: Rpod) -> None:
    small("create", "--name", "job", "small")
    before = small("images", "-a", "-q")
    for bad in ("RUN true", "EXPOSE x", "ENV", "VOLUME rel", "STOPSIGNAL NOPE", "LABEL x"):
        assert "--change" in small.error("commit", "-c", bad, "job", "bad")
    assert small("images", "-a", "-q") == before


@pytest.mark.kernel
def test_pruning_takes_what_nothing_uses_and_leaves_the_rest_working(small: Rpod) -> None:
    small("run", "--name", "job", "small", "sh", "-c", "echo 1 > /1")
    small("commit", "-q", "job", "one")
    unnamed = small("commit", "-q", "job").strip()
    assert unnamed in small("image", "prune", "-f")
    assert small("image", "prune", "-f") == ""
    refused = small.run("image", "prune", "-a", stdin=b"n\n").stdout.decode()
    assert refused.startswith("WARNING! This command removes all images without at least one container")
    assert "one" in small("images")
    gone = small("image", "prune", "-a", "-f").split()
    assert len(gone) == 1
    assert "small" in small("images")
    small("start", "-a", "job")
    small("volume", "create", "kept")
    small("create", "--name", "user", "-v", "kept:/kept", "small")
    small("volume", "create", "unused")
    said = small("system", "prune", "-f", "--volumes", "-a")
    assert "Deleted Containers" in said
    assert "Total reclaimed space:" in said
    assert small("images", "-q") == ""
    assert small("volume", "ls", "-q") == ""
    assert list((small.root / "layers").iterdir()) == []
    assert list((small.root / "image/blobs/sha256").iterdir()) == []


@pytest.mark.kernel
def test_a_mounted_image_keeps_its_layers_and_mounts_only_inside(small: Rpod) -> None:
    assert "must execute `rpod unshare` first" in small.error("image", "mount", "small")
    words = " ".join(small.argv())
    script = (
        f"root=$({words} image mount small) && test -e $root/app/hello.py && {words} rmi small >/dev/null; "
        f"{words} image prune -af; test -e $root/app/hello.py && ! touch $root/x 2>/dev/null && {words} image mount && "
        f"{words} image unmount -a && {words} image prune -af && ls {small.root}/layers | wc -l"
    )
    said = small("unshare", "sh", "-c", script).split("\n")
    assert str(small.root) in said[-4]
    assert said[-2].strip() == "0"


def damage(store: Rpod, script: str) -> None:
    store("unshare", "sh", "-c", f"cd {store.root} && {script}")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("for one in layers/*/diff/app/hello.py; do touch -r $one t; echo more >> $one; touch -r t $one; done", "bytes"),
        ("for one in layers/*/diff/app/hello.py; do touch -r $one t; tr e f < $one > u; cat u > $one; touch -r t $one; done", "other content"),
        ("rm layers/*/diff/app/setuid", "is missing"),
        ("for one in layers/*/diff/etc; do touch $one/strange; done", "does not belong there"),
        ("chmod 777 layers/*/diff/app/setuid", "mode 777"),
        ("chown 9 layers/*/diff/app/hello.py", "owner 9"),
        ("touch -d @1 layers/*/diff/app/setuid", "modification time"),
        ("cp -p layers/*/diff/app/one x && mv x layers/*/diff/app/one", "hard links"),
        ("for one in layers/*/diff/app/dir/new; do rm $one; mkdir $one; done", "another type"),
        ("rm layers/*/layer.json", "no layer"),
    ],
)  # fmt: skip
def test_a_damaged_layer_is_found_and_mended_from_its_blob(small: Rpod, script: str, said: str) -> None:
    before = tree_of(small, "small")
    damage(small, f"{script}")
    quick = small.run("system", "check", "--quick").returncode
    assert quick == (125 if "layer.json" in script else 0)
    found = small.run("system", "check")
    assert found.returncode == 125
    assert any(word in found.stdout.decode() for word in said.split("|")), found.stdout.decode()
    small("system", "check", "--repair")
    small("system", "check")
    assert tree_of(small, "small") == before


def test_a_damaged_blob_is_found_and_a_pull_brings_it_back(small: Rpod, tmp_path: Path) -> None:
    blob = max((small.root / "image/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.write_bytes(data)
    found = json.loads(small.run("system", "check", "--format", "json").stdout)
    assert {(one["kind"], one["severity"]) for one in found} == {("blob", "damage"), ("image", "damage")}
    assert small.run("system", "check", "--repair").returncode == 125
    assert not blob.exists()
    small("pull", "-q", f"oci:{tmp_path}/layout:test")
    small("system", "check")


def test_a_broken_index_is_made_anew_from_what_is_there(small: Rpod) -> None:
    image = config_of(small, "small")["Id"]
    (small.root / "image/index.json").write_text("garbage")
    assert "index.json" in small.error("images") or small.run("system", "check").returncode == 125
    small("system", "check", "--repair")
    assert small("images", "-a", "-q", "--no-trunc").strip() == f"sha256:{image}"


@pytest.mark.kernel
def test_what_cannot_be_mended_is_removed_by_force(small: Rpod) -> None:
    small("create", "--name", "job", "small")
    manifest = str(config_of(small, "small")["Digest"]).removeprefix("sha256:")
    (small.root / "image/blobs/sha256" / manifest).write_bytes(b"{}")
    assert small.run("system", "check").returncode == 125
    small("system", "check", "--repair", "--force")
    small("system", "check")
    assert small("images", "-q") == ""
    assert small("ps", "-aq") == ""


@pytest.mark.peer
def test_a_list_of_two_platforms_goes_out_as_skopeo_reads_it(small: Rpod, tmp_path: Path) -> None:
    require("skopeo")
    tar = images.application_layer(b"", b"")
    small("import", "--arch", "arm64", "--variant", "v8", "-", "arm", stdin=tar)
    small("manifest", "create", "both", "small")
    small("manifest", "add", "--annotation", "k=v", "both", "arm")
    small("manifest", "annotate", "--os-version", "9", "both", "arm")
    listed = json.loads(small("manifest", "inspect", "both"))["manifests"]
    assert listed[1]["platform"] == {"architecture": "arm64", "os": "linux", "os.version": "9", "variant": "v8"} or (
        listed[1]["platform"]["architecture"] == "arm64"
    )
    assert listed[1]["annotations"] == {"k": "v"}
    small("rmi", "arm")
    small("image", "prune", "-af")
    digest = small("manifest", "push", "-q", "both", f"oci:{tmp_path}/out:x").strip()
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/out:x"], capture_output=True, check=True
    ).stdout
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest
    words = ["skopeo", "copy", "-q", "--all", f"oci:{tmp_path}/out:x", f"dir:{tmp_path}/dir"]
    done = subprocess.run(words, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    other = make_store()
    try:
        assert f"sha256:{other('pull', '-q', '--all-platforms', f'oci:{tmp_path}/out:x').strip()}" == digest
        name = json.loads((other.root / "image/index.json").read_text())["manifests"][0]["annotations"]
        listed_as = name["org.opencontainers.image.ref.name"]
        other("run", "--rm", listed_as, "true")
        other("system", "check")
        assert other("manifest", "push", "-q", listed_as, f"oci:{tmp_path}/again:x").strip() == digest
    finally:
        other.end()
    assert small.run("manifest", "exists", "both").returncode == 0
    small("manifest", "remove", "both", listed[1]["digest"])
    assert len(json.loads(small("manifest", "inspect", "both"))["manifests"]) == 1
    assert "Untagged: localhost/both:latest" in small("manifest", "rm", "both")
    assert small.run("manifest", "exists", "both").returncode == 1


@pytest.mark.kernel
def test_a_container_made_from_a_list_keeps_its_image_when_the_list_goes(small: Rpod) -> None:
    small("manifest", "create", "both", "small")
    small("untag", "small")
    small("rmi", "-f", *small("images", "-q").split())
    small("run", "--name", "job", "both", "true")
    small("manifest", "rm", "both")
    small("image", "prune", "-af")
    small("start", "-a", "job")
    small("system", "check")


@pytest.mark.kernel
@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_store_that_verifies(small: Rpod, tmp_path: Path) -> None:
    """Commands that write the store, in pairs, ended in the middle."""
    rounds = int(os.environ.get("RPOD_KILL_ROUNDS", "12"))
    chance = random.Random(int(os.environ.get("RPOD_SEED", "3")))
    small("run", "--name", "job", "small", "sh", "-c", WORK)
    tar = Path(small.root).parent / f"rpod-kill-{os.getpid()}.tar"
    tar.write_bytes(images.application_layer(b"a", b"b"))
    small("save", "-o", str(tmp_path / "saved.tar"), "localhost/small:latest")
    commands = (
        ("pull", "-q", f"oci:{tmp_path}/layout:test"),
        ("load", "-q", "-i", str(tmp_path / "saved.tar")),
        ("rmi", "small"),
        ("commit", "-q", "job", "k:1"),
        ("commit", "-q", "--squash", "job", "k:2"),
        ("commit", "-q", "job"),
        ("rmi", "k:1"),
        ("rmi", "k:2"),
        ("image", "prune", "-f"),
        ("image", "prune", "-a", "-f"),
        ("import", str(tar), "k:3"),
        ("system", "prune", "-f", "--filter", "until=24h"),
        ("manifest", "create", "--amend", "k:list", "small"),
        ("manifest", "rm", "k:list"),
    )
    try:
        for number in range(rounds):
            pair = [
                small.start(*chance.choice(commands), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            stdin=subprocess.DEVNULL, start_new_session=True)
                for _ in range(2)
            ]  # fmt: skip
            time.sleep(chance.uniform(0.02, 0.5))
            for one in pair:
                try:
                    os.killpg(one.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                one.wait(30)
            if number % 3 == 2:
                small("system", "check")
        small("start", "-a", "job")
        small("commit", "-q", "job", "k:9")
        small("run", "--rm", "k:9", "test", "-e", "/made/deep/x")
        small("system", "check", "--repair")
        small("system", "prune", "-af")
        assert list((small.root / "layers").iterdir()) == []
    finally:
        tar.unlink()

"""Images from a registry: pulled, chosen, refused, pulled again; what is left when a pull goes wrong."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import Rpod, free_port
from registries import Registry, Stalling

pytestmark = pytest.mark.registry

PLAIN = "--tls-verify=false"
OTHER_MACHINE = "s390x"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Registry]:
    """A registry of this test alone, empty."""
    made = Registry(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image of busybox, as an OCI layout with the tag ``mixed``."""
    path = tmp_path_factory.mktemp("small") / "layout"
    images.zstd_layout(path)
    return path


def manifest_of(layout: Path) -> dict[str, object]:
    index = json.loads((layout / "index.json").read_text())
    return blob_of(layout, index["manifests"][0]["digest"])


def blob_of(layout: Path, digest: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    return found


def layers_of(layout: Path) -> list[str]:
    return [layer["digest"] for layer in manifest_of(layout)["layers"]]  # type: ignore[attr-defined]


def stored(rpod: Rpod) -> set[str]:
    """Return what the store holds of images and layers: blobs, layers, and whatever else lies beside them."""
    found = set()
    for place in ("image/blobs/sha256", "layers"):
        found |= {f"{place}/{path.name}" for path in (rpod.root / place).glob("*")}
    return found


def listed(rpod: Rpod) -> list[object]:
    """Return what the store's index says."""
    index = rpod.root / "image/index.json"
    entries: list[object] = json.loads(index.read_text())["manifests"] if index.exists() else []
    return entries


def half_done(rpod: Rpod) -> list[str]:
    """Return what no finished pull leaves: temporary files, staging directories.

    An empty one may stay for a minute: a worker ended in the very moment it made it, and the next sweep takes it.
    """
    found = [name for name in stored(rpod) if "/." in name or name.endswith(".tmp")]
    return [name for name in found if not (rpod.root / name).is_dir() or os.listdir(rpod.root / name)]


# Pull and run.


def test_an_image_pulled_by_its_tag_runs(rpod: Rpod, registry: str, layout: Path, layout_digest: str) -> None:
    name = f"{registry}/debian:test"
    image = rpod("pull", "-q", PLAIN, name).strip()
    config = manifest_of(layout)["config"]["digest"].removeprefix("sha256:")  # type: ignore[index]
    assert image == config
    assert rpod("run", "--rm", name, "id", "-un").strip() == "app"
    document = json.loads(rpod("image", "inspect", name))[0]
    assert document["Digest"] == layout_digest
    assert document["RepoTags"] == [name]
    assert document["RepoDigests"] == [f"{registry}/debian@{layout_digest}"]
    assert document["Config"]["User"] == "app"
    assert len(document["RootFS"]["Layers"]) == 3


def test_programs_of_the_pulled_debian_run(rpod: Rpod, registry: str, debian: bool) -> None:
    if not debian:
        pytest.skip("this user cannot make the Debian image: no subordinate ids")
    name = f"{registry}/debian:test"
    rpod("pull", "-q", PLAIN, name)
    assert rpod("run", "--rm", name, "id").strip() == "uid=1000(app) gid=1000(app) groups=1000(app)"
    assert rpod("run", "--rm", name, "apt-get", "--version").startswith("apt ")
    assert rpod("run", "--rm", name, "python3", "hello.py").split() == ["python", "3", "1000", "/app"]


def test_run_pulls_what_is_missing_and_only_that(rpod: Rpod, server: Registry, small: Path) -> None:
    server.push(f"oci:{small}:mixed", "small:1")
    name = f"{server.address}/small:1"
    assert "no image" in rpod.error("run", "--rm", "--pull", "never", name, "true")
    assert rpod("run", "--rm", PLAIN, name, "echo", "ran").strip() == "ran"
    before = len(server.fetched())
    assert before == 4
    assert rpod("run", "--rm", name, "echo", "ran").strip() == "ran"
    assert rpod("run", "--rm", PLAIN, "--pull", "always", name, "echo", "ran").strip() == "ran"
    assert len(server.fetched()) == before


def test_a_digest_names_one_image_for_ever(rpod: Rpod, server: Registry, small: Path, layout: Path) -> None:
    digest = server.push(f"oci:{small}:mixed", "app:1")
    server.push(f"oci:{layout}:test", "app:1")
    name = f"{server.address}/app@{digest}"
    image = rpod("pull", "-q", PLAIN, name).strip()
    document = json.loads(rpod("image", "inspect", image))[0]
    assert document["Digest"] == digest
    assert name in document["RepoDigests"]
    assert rpod("run", "--rm", name, "echo", "ran").strip() == "ran"


def test_a_tag_that_moved_leaves_the_old_image_without_a_name(
    rpod: Rpod, server: Registry, small: Path, tmp_path: Path
) -> None:
    name = f"{server.address}/app:latest"
    server.push(f"oci:{small}:mixed", "app:latest")
    old = rpod("pull", "-q", PLAIN, name).strip()
    writer = images.LayoutWriter(tmp_path / "next")
    writer.image([(images.busybox_base(images.cache_directory()).read_bytes(), "zstd")], {"Cmd": ["true"]}, "next")
    server.push(f"oci:{tmp_path}/next:next", "app:latest")
    new = rpod("pull", "-q", PLAIN, name).strip()
    assert new != old
    rows = rpod("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").split("\n")
    assert f"sha256:{new} {name}" in rows
    assert f"sha256:{old} <none>:<none>" in rows


def test_all_tags_of_a_repository_come_at_once(rpod: Rpod, server: Registry, small: Path) -> None:
    for tag in ("one", "two"):
        server.push(f"oci:{small}:mixed", f"app:{tag}")
    rpod("pull", "-q", "-a", PLAIN, f"{server.address}/app")
    assert sorted(rpod("images", "--format", "{{.Tag}}").split()) == ["one", "two"]


def test_a_docker_schema_2_image_runs_under_the_registrys_digest(rpod: Rpod, server: Registry, layout: Path) -> None:
    digest = server.push(f"oci:{layout}:test", "docker:2", "--format", "v2s2")
    name = f"{server.address}/docker:2"
    rpod("pull", "-q", PLAIN, name)
    document = json.loads(rpod("image", "inspect", name))[0]
    assert document["Digest"] == digest
    assert document["ManifestType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert rpod("run", "--rm", name, "sh", "-c", "id -un; cat one").split() == ["app", "linked"]


# Several platforms under one name.


def platforms_layout(path: Path) -> dict[str, str]:
    """Write an OCI layout with an index of two images, this machine's and another's; return their manifests' digests."""
    here = images.MACHINES.get(platform.machine(), platform.machine())
    base = images.busybox_base(images.cache_directory()).read_bytes()
    writer = images.LayoutWriter(path)
    manifests = []
    for architecture in (OTHER_MACHINE, here):
        writer.image([(base, "gzip")], {"Cmd": ["echo", f"made for {architecture}"]}, "one")
        manifest = manifest_of(path)
        config = blob_of(path, manifest["config"]["digest"])  # type: ignore[index]
        config["architecture"] = architecture
        name, size = writer.blob(json.dumps(config).encode())
        manifest["config"] = {**manifest["config"], "digest": name, "size": size}  # type: ignore[dict-item]
        name, size = writer.blob(json.dumps(manifest).encode())
        described = {"mediaType": manifest["mediaType"], "digest": name, "size": size}
        manifests.append({**described, "platform": {"os": "linux", "architecture": architecture}})
    media_type = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    name, size = writer.blob(json.dumps(index).encode())
    top = {"mediaType": media_type, "digest": name, "size": size}
    top["annotations"] = {"org.opencontainers.image.ref.name": "multi"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return {"index": name, **{one["platform"]["architecture"]: one["digest"] for one in manifests}}


def test_of_a_manifest_list_this_machines_image_is_taken_or_the_one_asked_for(
    rpod: Rpod, server: Registry, tmp_path: Path
) -> None:
    digests = platforms_layout(tmp_path / "multi")
    assert server.push(f"oci:{tmp_path}/multi:multi", "multi:1", "--all") == digests["index"]
    name = f"{server.address}/multi:1"
    here = images.MACHINES.get(platform.machine(), platform.machine())
    assert rpod("run", "--rm", PLAIN, name).strip() == f"made for {here}"
    mine = json.loads(rpod("image", "inspect", name))[0]
    assert (mine["Architecture"], mine["Digest"]) == (here, digests[here])
    assert f"{server.address}/multi@{digests['index']}" in mine["RepoDigests"]
    other = rpod("pull", "-q", PLAIN, "--platform", f"linux/{OTHER_MACHINE}", name).strip()
    theirs = json.loads(rpod("image", "inspect", other))[0]
    assert (theirs["Architecture"], theirs["Digest"]) == (OTHER_MACHINE, digests[OTHER_MACHINE])
    said = rpod.error("pull", "-q", PLAIN, "--arch", "riscv64", name)
    assert "riscv64" in said
    assert OTHER_MACHINE in said


# Who may, and how.


def test_a_registry_with_accounts_wants_the_right_password(tmp_path: Path, rpod: Rpod, small: Path) -> None:
    server = Registry(tmp_path, {"ann": "secret words"})
    try:
        server.push(f"oci:{small}:mixed", "closed:1")
        name = f"{server.address}/closed:1"
        said = rpod.error("pull", "-q", PLAIN, name)
        assert server.address in said
        assert "--creds" in said or "login" in said
        assert rpod.error("pull", "-q", PLAIN, "--creds", "ann:wrong", name)
        assert listed(rpod) == []
        rpod("pull", "-q", PLAIN, "--creds", "ann:secret words", name)
        rpod("rmi", name)
        import base64

        token = base64.b64encode(b"ann:secret words").decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {server.address: {"auth": token}}}))
        (tmp_path / "auth.json").chmod(0o600)
        rpod("pull", "-q", PLAIN, "--authfile", f"{tmp_path}/auth.json", name)
        assert rpod("run", "--rm", name, "echo", "let in").strip() == "let in"
    finally:
        server.stop()


def test_plain_http_needs_a_word_from_the_user_or_registries_conf(
    rpod: Rpod, server: Registry, small: Path, tmp_path: Path
) -> None:
    server.push(f"oci:{small}:mixed", "team/app:1")
    said = rpod.error("pull", "-q", f"{server.address}/team/app:1")
    assert "--tls-verify=false" in said or "insecure" in said
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f'unqualified-search-registries = ["{server.address}"]\n'
        f'[[registry]]\nlocation = "{server.address}"\ninsecure = true\n'
        f'[[registry]]\nprefix = "example.org/apps"\nlocation = "{server.address}/team"\ninsecure = true\n'
        f'[[registry]]\nlocation = "blocked.example.org"\nblocked = true\n'
    )
    told = rpod.with_options(env={"CONTAINERS_REGISTRIES_CONF": str(conf)})
    told("pull", "-q", f"{server.address}/team/app:1")
    told("pull", "-q", "team/app:1")
    told("pull", "-q", "example.org/apps/app:1")
    assert sorted(told("images", "--format", "{{.Repository}}").split()) == sorted(
        [f"{server.address}/team/app", "example.org/apps/app"]
    )
    assert "blocked" in told.error("pull", "-q", "blocked.example.org/x:1")


def test_a_mirror_is_tried_first_and_the_registry_itself_next(
    rpod: Rpod, server: Registry, small: Path, tmp_path: Path
) -> None:
    server.push(f"oci:{small}:mixed", "mirrored:1")
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f'[[registry]]\nlocation = "{server.address}"\ninsecure = true\n'
        f'[[registry.mirror]]\nlocation = "127.0.0.1:{free_port()}"\ninsecure = true\n'
    )
    told = rpod.with_options(env={"CONTAINERS_REGISTRIES_CONF": str(conf)})
    told("pull", "-q", f"{server.address}/mirrored:1")
    assert told("images", "--format", "{{.Repository}}").strip() == f"{server.address}/mirrored"


# When it goes wrong.


def test_a_registry_that_is_down_is_named_at_once_and_nothing_changes(rpod: Rpod) -> None:
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    said = rpod.error("pull", "-q", PLAIN, f"{address}/app:1")
    assert time.monotonic() - began < 20
    assert address in said
    assert "refused" in said
    assert rpod.error("run", "--rm", PLAIN, f"{address}/app:1", "true")
    assert (listed(rpod), half_done(rpod), rpod("ps", "-aq")) == ([], [], "")


def test_an_unknown_name_or_tag_is_an_error_that_names_it(rpod: Rpod, server: Registry, small: Path) -> None:
    server.push(f"oci:{small}:mixed", "app:1")
    said = rpod.error("pull", "-q", PLAIN, f"{server.address}/app:no-such-tag")
    assert f"{server.address}/app" in said
    assert "no-such-tag" in said
    assert "nosuch" in rpod.error("pull", "-q", PLAIN, f"{server.address}/nosuch:1")
    assert rpod("images", "-q") == ""


@pytest.fixture
def renewed(rpod: Rpod, server: Registry, small: Path, tmp_path: Path) -> str:
    """The name of an image that is here and prints ``old``, while the registry has another one under it by now."""
    writer = images.LayoutWriter(tmp_path / "old")
    writer.image(
        [(images.busybox_base(images.cache_directory()).read_bytes(), "gzip")], {"Cmd": ["echo", "old"]}, "old"
    )
    server.push(f"oci:{tmp_path}/old:old", "app:1")
    rpod("pull", "-q", PLAIN, f"{server.address}/app:1")
    server.push(f"oci:{small}:mixed", "app:1")
    return f"{server.address}/app:1"


def flipped(data: bytes, part: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(part)] ^= 1
    return bytes(changed)


DAMAGES = {
    "one bit of a plain layer": (1, lambda data: flipped(data, b"linked")),
    "one bit of a zstd layer": (0, lambda data: data[:-100] + flipped(data[-100:], data[-50:-46])),
    "half a gzip layer": (2, lambda data: data[: len(data) // 2]),
    "half a zstd layer": (0, lambda data: data[: len(data) // 2]),
    "half a plain layer": (1, lambda data: data[: len(data) // 2]),
    "a longer layer": (1, lambda data: data + bytes(10240)),
    "another layer": (2, lambda data: images.gzip.compress(images.application_layer(b"", b""))),
    "an empty config": (None, lambda _data: b""),
    "one bit of the config": (None, lambda data: flipped(data, b"layer 0")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_its_digest_is_refused_and_the_old_image_stays(
    rpod: Rpod, server: Registry, small: Path, renewed: str, damage: str
) -> None:
    number, change = DAMAGES[damage]
    victim = layers_of(small)[number] if number is not None else manifest_of(small)["config"]["digest"]  # type: ignore[index]
    file = server.blob(victim)
    good = file.read_bytes()
    file.write_bytes(change(good))
    before = listed(rpod)
    said = rpod.error("pull", "-q", PLAIN, renewed)
    assert "Traceback" not in said
    assert listed(rpod) == before
    assert half_done(rpod) == []
    assert not [name for name in stored(rpod) if victim.removeprefix("sha256:") in name]
    assert rpod("run", "--rm", renewed).strip() == "old"
    file.write_bytes(good)
    rpod("pull", "-q", PLAIN, renewed)
    assert rpod("run", "--rm", renewed, "cat", "/app/one").strip() == "linked"


def test_a_manifest_that_does_not_fit_the_digest_asked_for_is_refused(
    rpod: Rpod, server: Registry, small: Path
) -> None:
    digest = server.push(f"oci:{small}:mixed", "app:1")
    file = server.blob(digest)
    file.write_bytes(file.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
    assert rpod.error("pull", "-q", PLAIN, f"{server.address}/app@{digest}")
    assert rpod("images", "-q") == ""
    assert half_done(rpod) == []


def test_after_a_killed_pull_the_next_one_brings_the_image(rpod: Rpod, registry: str, layout: Path) -> None:
    proxy = Stalling(int(registry.rpartition(":")[2]), limit=300_000)
    name = f"{proxy.address}/debian:test"
    try:
        child = rpod.start("pull", "-q", PLAIN, name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with child:
            assert proxy.stalled.wait(30), "the pull asked for less than a layer"
            child.send_signal(signal.SIGKILL)
            assert child.wait(10) == -signal.SIGKILL
        assert rpod("images", "-q") == ""
        proxy.release()
        rpod("pull", "-q", PLAIN, name)
        assert rpod("run", "--rm", name, "id", "-un").strip() == "app"
        assert half_done(rpod) == []
        blobs = {path.name for path in (rpod.root / "image/blobs/sha256").iterdir()}
        assert blobs == {path.name for path in (layout / "blobs/sha256").iterdir()}
    finally:
        proxy.close()


def test_a_pull_ended_by_the_user_leaves_nothing_and_no_process(rpod: Rpod, registry: str) -> None:
    proxy = Stalling(int(registry.rpartition(":")[2]), limit=300_000)
    try:
        child = rpod.start(
            "pull", "-q", PLAIN, f"{proxy.address}/debian:test", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with child:
            assert proxy.stalled.wait(30)
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == 130
        assert half_done(rpod) == []
        assert rpod("images", "-q") == ""
    finally:
        proxy.close()


def test_two_pulls_at_once_fetch_each_blob_once(rpod: Rpod, server: Registry, layout: Path) -> None:
    server.push(f"oci:{layout}:test", "app:1")
    name = f"{server.address}/app:1"
    pulls = [rpod.start("pull", "-q", PLAIN, name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [pull.communicate(timeout=120) for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    layers = layers_of(layout)
    assert sorted(one for one in server.fetched() if one in layers) == sorted(layers)
    assert rpod("run", "--rm", name, "id", "-un").strip() == "app"


# What is here.


def test_images_are_listed_tagged_told_about_and_removed(rpod: Rpod, server: Registry, small: Path) -> None:
    server.push(f"oci:{small}:mixed", "app:1")
    name = f"{server.address}/app:1"
    image = rpod("pull", "-q", PLAIN, name).strip()
    assert rpod("images", "-q", "--no-trunc").strip() == f"sha256:{image}"
    row = json.loads(rpod("images", "--format", "json"))[0]
    assert row["Id"] == image
    assert row["Names"] == [name]
    rpod("tag", name, "other:2", "registry.example.org/team/app:3")
    assert sorted(rpod("images", "--format", "{{.Repository}}:{{.Tag}}").split()) == sorted(
        [name, "localhost/other:2", "registry.example.org/team/app:3"]
    )
    history = json.loads(rpod("history", "--format", "json", "other:2"))
    assert [one["CreatedBy"] for one in history] == ["layer 2", "layer 1", "layer 0"]
    rpod("image", "exists", "other:2")
    rpod("image", "exists", "nothing:1", code=1)
    assert "Untagged: localhost/other:2" in rpod("rmi", "other:2")
    container = rpod("create", name, "true").strip()
    assert "registry.example.org/team/app:3" in rpod.error("rmi", image)
    rpod("untag", image, "registry.example.org/team/app:3")
    assert container[:12] in rpod.error("rmi", name, code=2)
    rpod("rm", container)
    assert f"Deleted: {image}" in rpod("rmi", name).replace("sha256:", "")
    assert rpod("images", "-q") == ""
    assert [name for name in stored(rpod) if name.rpartition("/")[2].isalnum()] == []
    rpod("rmi", name, code=1)

"""The store: names, ids, look-up, tag, untag, removal and garbage."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from rootless_pod.errors import Conflict, NotFound, Usage
from rootless_pod.image.acquire import acquire
from rootless_pod.image.inspect import history, inspect_image
from rootless_pod.image.keep import KeptImage
from rootless_pod.image.layout import open_layout, user_layout
from rootless_pod.image.lookup import list_images, lookup
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.image.remove import (
    collect_garbage,
    remove_broken,
    remove_image,
    tag_image,
    untag_image,
)
from rootless_pod.storage.store import Store

QUIET = PullOptions(quiet=True, single_id=True)


@pytest.fixture
def store(paths, make_image, tmp_path):
    """Add an image under names; return what was made."""
    count = 0

    def add(*names, files=None, **config):
        nonlocal count
        count += 1
        made = make_image(*(files or ({"file": os.urandom(200)},)), **config)
        layout = made.write_layout(tmp_path / f"layout{count}", "v1")
        pull(paths, f"oci:{layout}:v1", QUIET)
        if names:
            tag_image(paths, made.config_digest, names)
        untag_image(paths, made.config_digest, (f"localhost/{layout.lstrip('/')}:v1",))
        return made

    return add


def ident(made):
    return made.config_digest.removeprefix("sha256:")


def test_an_image_is_found_by_every_way_of_naming_it(paths, store):
    made = store("docker.io/library/busybox:1", "example.org:5000/team/app:2")
    for text in (
        "busybox:1",
        "library/busybox:1",
        "docker.io/busybox:1",
        "docker.io/library/busybox:1",
        "docker://docker.io/library/busybox:1",
        "example.org:5000/team/app:2",
        "app:2",
        "team/app:2",
        ident(made),
        ident(made)[:12],
        ident(made)[:3],
        made.config_digest,
        made.digest,
        f"busybox@{made.digest}",
    ):
        assert lookup(paths, text).id == ident(made), text


@pytest.mark.parametrize(
    "text", ["busybox", "busybox:2", "other/busybox:1", "quay.io/library/busybox:1", "fffffffffff"]
)
def test_what_is_not_here_is_not_found_with_exit_code_125_and_a_remedy(paths, store, text):
    store("docker.io/library/busybox:1")
    with pytest.raises(NotFound) as caught:
        lookup(paths, text)
    assert caught.value.exit_code == 125
    assert caught.value.remedy == f"run: rpod pull {text}"


def test_a_short_name_of_several_images_is_decided_by_registries_conf(paths, store):
    store("quay.io/x/app:1")
    mine = store("example.org/app:1")
    with pytest.raises(Conflict, match="several images"):
        lookup(paths, "app:1")
    conf = pathlib.Path(os.environ["CONTAINERS_REGISTRIES_CONF"])
    conf.write_text('unqualified-search-registries = ["example.org"]\n')
    assert lookup(paths, "app:1").id == ident(mine)
    local = store("localhost/app:1")
    assert lookup(paths, "app:1").id == ident(local)


def test_the_host_image_is_built_in(paths):
    image = acquire(paths, "host", single_id=True)
    assert image.is_host
    assert image.layers == ()
    assert image.config.working_dir == "/"
    assert any(one.startswith("PATH=") for one in image.config.env)
    assert list_images(paths) == ()
    with pytest.raises(Usage):
        remove_image(paths, "host")
    with pytest.raises(Usage):
        tag_image(paths, "host", ("x",))


def test_looking_up_a_local_image_imports_nothing_slow(paths, store):
    store("example.org/app:1")
    code = (
        "import sys\n"
        "from rootless_pod.paths import Paths\n"
        "from rootless_pod.image.acquire import acquire\n"
        f"paths = Paths(graphroot={paths.graphroot!r}, runroot={paths.runroot!r}, boot_id='boot')\n"
        "assert acquire(paths, 'app:1', single_id=True).names\n"
        "print(','.join(sys.modules))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    python = [sys.executable, "-S", "-c", code]
    loaded = set(subprocess.run(python, env=env, capture_output=True, check=True).stdout.decode().strip().split(","))
    slow = {"typing", "re", "pathlib", "subprocess", "dataclasses", "enum", "json", "shutil", "tempfile", "logging"}
    slow |= {"contextlib", "socket", "urllib3", "ssl", "rich", "tomllib", "hashlib", "tarfile"}
    assert loaded & slow == set()


def test_a_cached_record_that_was_damaged_is_made_anew(paths, store):
    made = store("example.org/app:1")
    (record,) = pathlib.Path(paths.graphroot, "image-cache").iterdir()
    record.write_text("{")
    assert lookup(paths, "app:1").id == ident(made)
    assert json.loads(record.read_text())["id"] == ident(made)


def test_a_name_moves_with_tag_and_the_old_image_stays_without_it(paths, store):
    first, second = store("example.org/app:1"), store("example.org/app:2")
    tag_image(paths, "example.org/app:2", ("example.org/app:1", "short"))
    assert lookup(paths, "app:1").id == ident(second)
    assert lookup(paths, ident(first)).names == ()
    assert set(lookup(paths, ident(second)).names) == {
        "example.org/app:1",
        "example.org/app:2",
        "localhost/short:latest",
    }
    with pytest.raises(Usage):
        tag_image(paths, "app:1", (f"x@{second.digest}",))
    with pytest.raises(Usage, match="lower case"):
        tag_image(paths, "app:1", ("Upper",))


def test_untag_takes_the_names_given_or_all(paths, store):
    made = store("example.org/a:1", "example.org/b:1", "example.org/c:1")
    other = store("example.org/o:1")
    with pytest.raises(NotFound):
        untag_image(paths, "a:1", ("o:1",))
    assert untag_image(paths, "a:1", ("b:1",)) == ("example.org/b:1",)
    assert set(untag_image(paths, "a:1")) == {"example.org/a:1", "example.org/c:1"}
    assert lookup(paths, ident(made)).names == ()
    assert lookup(paths, "o:1").id == ident(other)


def test_removing_one_of_several_names_only_untags(paths, store):
    made = store("example.org/a:1", "example.org/b:1")
    removal = remove_image(paths, "a:1")
    assert (removal.untagged, removal.deleted) == (("example.org/a:1",), ())
    removal = remove_image(paths, "b:1")
    assert (removal.untagged, removal.deleted) == (("example.org/b:1",), (ident(made),))
    with pytest.raises(NotFound) as caught:
        remove_image(paths, "b:1")
    assert caught.value.exit_code == 1


def test_an_id_with_several_names_needs_force(paths, store):
    made = store("example.org/a:1", "example.org/b:1")
    with pytest.raises(Conflict, match="several names"):
        remove_image(paths, ident(made)[:12])
    assert remove_image(paths, ident(made)[:12], force=True).deleted == (ident(made),)
    assert list_images(paths) == ()


def test_an_image_of_a_container_is_kept_with_exit_code_2(paths, store):
    made = store("example.org/a:1", "example.org/b:1")
    box = pathlib.Path(paths.containers, "c" * 64)
    box.mkdir()
    (box / "container.json").write_text(json.dumps({"image_id": ident(made)}))
    assert remove_image(paths, "b:1").untagged == ("example.org/b:1",)
    for force in (False, True):
        with pytest.raises(Conflict, match="in use by container cccccccccccc") as caught:
            remove_image(paths, "a:1", force=force)
        assert caught.value.exit_code == 2


def test_garbage_takes_what_nothing_refers_to_and_nothing_else(paths, store):
    shared = {"shared": os.urandom(5000)}
    one = store("example.org/one:1", files=(shared, {"own": os.urandom(5000)}))
    two = store("example.org/two:1", files=(shared, {"own": os.urandom(5000)}))
    assert collect_garbage(paths) == 0
    gone = lookup(paths, "one:1")
    remove_image(paths, "one:1")
    assert collect_garbage(paths) > 5000
    kept = lookup(paths, "two:1")
    assert set(os.listdir(paths.layers)) == set(kept.layers)
    assert gone.layers[1] not in os.listdir(paths.layers)
    blobs = {f"sha256:{name}" for name in os.listdir(f"{paths.image}/blobs/sha256")}
    assert blobs == {*two.blobs, two.digest}
    assert not set(one.blobs) <= blobs


def test_garbage_waits_while_someone_adds_an_image(paths, store):
    from rootless_pod.image.install import store_use_lock

    store("example.org/one:1")
    remove_image(paths, "one:1")
    with store_use_lock(paths):
        assert collect_garbage(paths) == 0
        assert os.listdir(paths.layers)
    assert collect_garbage(paths) > 0
    assert os.listdir(paths.layers) == []


def test_an_image_whose_blobs_are_gone_does_not_hide_the_others_and_can_be_removed(paths, store):
    lost, good = store("example.org/lost:1"), store("example.org/good:1")
    os.unlink(f"{paths.image}/blobs/{lost.digest.replace(':', '/')}")
    for record in pathlib.Path(paths.graphroot, "image-cache").iterdir():
        record.unlink()
    assert [image.id for image in list_images(paths)] == [ident(good)]
    assert remove_broken(paths) == ("example.org/lost:1",)
    assert [entry.name for entry in open_layout(paths).entries()] == ["example.org/good:1"]


def test_many_writers_of_the_index_lose_no_name(paths, store):
    made = store("example.org/app:0")
    code = (
        "import sys\n"
        "from rootless_pod.paths import Paths\n"
        "from rootless_pod.image.remove import tag_image\n"
        f"paths = Paths(graphroot={paths.graphroot!r}, runroot={paths.runroot!r}, boot_id='boot')\n"
        "for n in range(10):\n"
        f"    tag_image(paths, {ident(made)!r}, (f'example.org/app:{{sys.argv[1]}}-{{n}}',))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=env) for n in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    assert len(lookup(paths, ident(made)).names) == 41


def test_an_image_another_tool_put_into_the_store_is_found(paths, make_image, tmp_path, skopeo):
    user_layout(paths)
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    skopeo("copy", f"oci:{layout}:v1", f"oci:{paths.image}:example.org/skopeo/app:3")
    image = acquire(paths, "example.org/skopeo/app:3", single_id=True)
    assert f"sha256:{image.id}" == made.config_digest
    assert pathlib.Path(paths.layers, image.layers[0], "diff/etc/motd").read_bytes() == b"hello\n"


def test_inspect_and_history_say_what_the_config_says(paths, store):
    made = store("example.org/app:1", files=({"a": b"12345"}, {"b": b"123"}), author="ann")
    found = inspect_image(paths, lookup(paths, "app:1"))
    assert found["Id"] == ident(made)
    assert found["Digest"] == made.digest
    assert found["RepoTags"] == ["example.org/app:1"]
    assert found["RepoDigests"] == [f"example.org/app@{made.digest}"]
    assert found["RootFS"]["Layers"] == made.diff_ids
    assert found["Config"]["Cmd"] == ["/bin/sh"]
    assert found["Author"] == "ann"
    steps = history(paths, lookup(paths, "app:1"))
    assert [step.size_bytes for step in steps] == [3, 5]
    assert [step.image_id for step in steps] == [ident(made), ""]
    assert steps[0].created_by == "step 1"


def test_an_image_that_was_removed_after_its_look_up_gives_no_container(paths, store):
    store("example.org/app:1")
    image = lookup(paths, "example.org/app:1")
    remove_image(paths, "example.org/app:1")
    with pytest.raises(NotFound, match="removed meanwhile"), KeptImage(paths, image):
        raise AssertionError("a record would be written here")


def test_an_image_is_not_removed_while_a_record_of_a_container_is_written(paths, store):
    store("example.org/app:1")
    image = lookup(paths, "example.org/app:1")
    code = (
        "import sys; from rootless_pod.paths import Paths; from rootless_pod.image.remove import remove_image\n"
        "from rootless_pod.errors import Conflict\n"
        "try: remove_image(Paths(graphroot=sys.argv[1], runroot=sys.argv[2], boot_id=sys.argv[3]), 'example.org/app:1')\n"
        "except Conflict as fault: print(fault.message)\n"
    )
    with KeptImage(paths, image):
        argv = [sys.executable, "-c", code, paths.graphroot, paths.runroot, paths.boot_id]
        remover = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parents[2])
        with pytest.raises(subprocess.TimeoutExpired):
            remover.wait(1.0)
        os.makedirs(f"{paths.containers}/{'c' * 64}")
        with open(f"{paths.containers}/{'c' * 64}/container.json", "w") as file:
            json.dump({"image_id": image.id}, file)
    said, _errors = remover.communicate(timeout=30)
    assert "is in use by container cccccccccccc" in said
    assert lookup(paths, "example.org/app:1").id == image.id


def test_layers_unpacked_with_one_id_are_unpacked_again_once_the_owners_can_be_real(paths, store):
    made = store("example.org/app:1")
    image = lookup(paths, "example.org/app:1")
    layers = Store(paths)
    (chain,) = image.layers
    assert layers.layer_info(chain).single_id
    acquire(paths, "example.org/app:1", single_id=True)
    assert layers.layer_info(chain).single_id
    acquire(paths, "example.org/app:1", single_id=False)
    assert not layers.layer_info(chain).single_id
    made_at = os.stat(layers.layer_path(chain)).st_ino
    acquire(paths, "example.org/app:1", single_id=False)
    acquire(paths, "example.org/app:1", single_id=True)
    assert os.stat(layers.layer_path(chain)).st_ino == made_at
    assert made.layers


def test_a_layer_with_one_id_whose_blob_is_gone_stays_as_it_is(paths, store):
    made = store("example.org/app:1")
    os.unlink(open_layout(paths).own_path(made.layers[0]["digest"]))
    image = acquire(paths, "example.org/app:1", single_id=False)
    assert Store(paths).layer_info(image.layers[0]).single_id

"""What the disk may not have yet: noted before, forgotten after, judged after a power cut."""

from __future__ import annotations

import os
import time

import pytest

from rootless_pod.errors import Corrupt
from rootless_pod.image.acquire import acquire
from rootless_pod.image.layers import LayerTask
from rootless_pod.image.layout import open_layout
from rootless_pod.image.lookup import lookup
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.image.unwritten import Unwritten, notes_dir, settle
from rootless_pod.linux import procfs
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record
from rootless_pod.storage.store import Store

QUIET = PullOptions(quiet=True, single_id=True)


def wait_until_written(paths, seconds=20.0):
    deadline = time.monotonic() + seconds
    while os.path.exists(notes_dir(paths)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not os.path.exists(notes_dir(paths))


@pytest.fixture
def pulled(paths, make_image, tmp_path):
    made = make_image({"one": b"1" * 3000}, {"two": b"2"})
    layout = made.write_layout(tmp_path / "layout", "v1")
    image = pull(paths, f"oci:{layout}:v1", QUIET)[0]
    assert wait_until_written(paths)
    return made, image, f"oci:{layout}:v1"


def note_of_another_boot(paths, layers, blobs):
    os.makedirs(notes_dir(paths))
    note = f"{notes_dir(paths)}/{'0' * 32}-1"
    write_record(f"{note}.json", {"layers": layers, "blobs": blobs})
    open(note, "w").close()
    return note


def test_a_pull_leaves_no_note_once_the_disk_has_everything(pulled):
    _made, image, _source = pulled
    assert len(image.layers) == 2


def test_the_note_stands_before_the_first_layer_gets_its_name(paths):
    paths.prepare()
    chain, digest = "a" * 64, "sha256:" + "b" * 64
    blob = Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=digest, size=1)
    with Unwritten(paths, [LayerTask(descriptor=blob, diff_id=digest, chain_id=chain, below=())]):
        (note,) = [name for name in os.listdir(notes_dir(paths)) if name.endswith(".json")]
        assert note.startswith(procfs.boot_id())
        assert read_record(f"{notes_dir(paths)}/{note}") == {"layers": [chain], "blobs": [digest]}
    assert wait_until_written(paths)


def test_where_nothing_is_missing_there_is_no_note(paths):
    paths.prepare()
    with Unwritten(paths, ()):
        assert not os.path.exists(notes_dir(paths))


def test_after_a_power_cut_damaged_blobs_go_and_whole_ones_stay(paths, pulled):
    made, image, source = pulled
    layout = open_layout(paths)
    damaged, whole = (layer["digest"] for layer in made.layers)
    size = os.path.getsize(layout.own_path(damaged))
    with open(layout.own_path(damaged), "r+b") as file:
        file.write(bytes(size))  # what a file system without our sync may show: the size, and zeros
    note_of_another_boot(paths, list(image.layers), [damaged, whole, "sha256:" + "0" * 64])
    settle(paths)
    assert not layout.has_blob(damaged)
    assert layout.has_blob(whole)
    assert not any(Store(paths).has_layer(chain) for chain in image.layers)
    assert not os.path.exists(notes_dir(paths))
    again = pull(paths, source, QUIET)[0]
    assert again.id == image.id
    assert all(Store(paths).has_layer(chain) for chain in image.layers)


def test_after_a_power_cut_with_whole_blobs_the_layers_are_unpacked_from_them(paths, pulled):
    made, image, _source = pulled
    note_of_another_boot(paths, list(image.layers), [layer["digest"] for layer in made.layers])
    settle(paths)
    assert not any(Store(paths).has_layer(chain) for chain in image.layers)
    acquire(paths, image.id, pull_policy="never", single_id=True)
    assert all(Store(paths).has_layer(chain) for chain in image.layers)


def test_a_note_of_this_boot_whose_writer_was_killed_costs_nothing(paths, pulled):
    _made, image, _source = pulled
    os.makedirs(notes_dir(paths))
    note = f"{notes_dir(paths)}/{procfs.boot_id()}-1"
    write_record(f"{note}.json", {"layers": list(image.layers), "blobs": []})
    open(note, "w").close()
    settle(paths)
    assert all(Store(paths).has_layer(chain) for chain in image.layers)
    assert not os.path.exists(notes_dir(paths))


def test_a_note_somebody_works_on_is_left_alone(paths, pulled):
    _made, image, _source = pulled
    note = note_of_another_boot(paths, list(image.layers), [])
    with Lock(note):
        settle(paths)
        assert os.path.exists(f"{note}.json")
    settle(paths)
    assert not os.path.exists(notes_dir(paths))


def test_half_a_note_and_a_lost_one_are_no_obstacle(paths, pulled):
    _made, image, _source = pulled
    os.makedirs(notes_dir(paths))
    for name in (".x.json.12.ab.tmp", f"{'0' * 32}-2"):
        open(f"{notes_dir(paths)}/{name}", "w").close()
    with open(f"{notes_dir(paths)}/{'0' * 32}-3", "w"), open(f"{notes_dir(paths)}/{'0' * 32}-3.json", "w") as file:
        file.write("{")
    settle(paths)
    assert not os.path.exists(notes_dir(paths))
    assert lookup(paths, image.id).id == image.id


def test_a_failing_pull_leaves_no_note_either(paths, make_image, tmp_path):
    made = make_image({"one": b"1"})
    layout = made.write_layout(tmp_path / "layout", "v1")
    os.unlink(f"{layout}/blobs/{made.layers[0]['digest'].replace(':', '/')}")
    with pytest.raises(Corrupt):
        pull(paths, f"oci:{layout}:v1", QUIET)
    assert wait_until_written(paths)

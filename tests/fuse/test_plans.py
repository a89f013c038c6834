"""Plans and values of the storage drivers: pure functions."""

from __future__ import annotations

import os
import shutil
import threading

import pytest

from rootless_pod.errors import Corrupt, Usage
from rootless_pod.fuse import choose
from rootless_pod.fuse.driver import OVERFLOW_ID, IdShift, MountedRootfs, RootfsRequest, ShiftRange
from rootless_pod.fuse.fuse_overlayfs import OLDEST, argv, parse_version
from rootless_pod.fuse.host import Part, Surroundings, plan_host
from rootless_pod.linux.overlay import option_flags
from rootless_pod.storage.rootfs import RootfsRecord

KEEP_1000 = (
    ShiftRange(container_id=0, parent_id=1, size=1000),
    ShiftRange(container_id=1000, parent_id=0, size=1),
    ShiftRange(container_id=1001, parent_id=1001, size=64535),
)
REQUEST = RootfsRequest(container_dir="/c", merged="/c/m", upper="/c/u", work="/c/w", lower_dirs=("/top", "/bottom"))


def test_a_shift_and_its_inverse_cancel_out():
    shift = IdShift(uids=KEEP_1000, gids=KEEP_1000)
    for stored in (0, 1, 999, 1000, 1001, 65535):
        assert shift.stored_uid(shift.shown_uid(stored)) == stored
        assert shift.stored_gid(shift.shown_gid(stored)) == stored
    assert shift.shown_uid(0) == 1
    assert shift.shown_gid(1000) == 0
    assert shift.shown_uid(70000) == OVERFLOW_ID


def test_fuse_overlayfs_gets_layers_top_first_and_stays_in_the_foreground():
    assert argv(REQUEST) == (
        "fuse-overlayfs", "-f", "-o", "lowerdir=/top:/bottom,upperdir=/c/u,workdir=/c/w", "/c/m",
    )  # fmt: skip


def test_fuse_overlayfs_without_an_upper_directory_is_read_only():
    assert "upperdir" not in argv(REQUEST.replace(read_only=True, volatile=True))[3]


def test_fuse_overlayfs_gets_mappings_as_stored_shown_length():
    shift = IdShift(uids=KEEP_1000, gids=KEEP_1000[:1])
    options = argv(REQUEST.replace(id_shift=shift, volatile=True))[3]
    assert "uidmapping=0:1:1000:1000:0:1:1001:1001:64535" in options
    assert options.endswith("gidmapping=0:1:1000")
    assert ",volatile," in options


def test_the_version_is_read_from_what_the_program_says():
    told = "fusermount3 version: 3.14.0\nfuse-overlayfs: version 1.10\nFUSE library version 3.14.0\n"
    assert parse_version(told) == (1, 10)
    assert parse_version("fuse-overlayfs: version 0.7.6\n") < OLDEST
    assert parse_version("fuse-overlayfs: version 1.14-dev\n") > OLDEST
    assert parse_version("something else") is None


def test_options_are_split_into_key_and_value():
    assert option_flags(["userxattr", "a=b=c", "d="]) == [("userxattr", None), ("a", "b=c"), ("d", "")]


def test_an_unknown_driver_is_refused_with_the_names_there_are(tmp_path):
    with pytest.raises(Usage) as raised:
        choose.choose_storage("zfs", probes_dir=str(tmp_path), scratch_dir=str(tmp_path / "scratch"))
    assert all(name in raised.value.remedy for name in choose.ORDER)


@pytest.mark.parametrize(("id_shift", "remedy"), [(True, "install it; or ask for it: copy"), (False, "install it")])
def test_where_no_driver_works_the_advice_is_one_that_leads_on(id_shift, remedy):
    """The kernel's overlay says to take fuse-overlayfs, which does not work either."""
    refused = (
        ("overlay", "old kernel", "take fuse-overlayfs"), ("fuse-overlayfs", "not there", "install it"),
        ("pyfuse3", "not there", "install that"), ("copy", "large", "ask for it: copy"),
    )  # fmt: skip
    said = choose._none_works(None, refused, id_shift=id_shift)
    assert said.remedy == remedy
    assert said.message.endswith("old kernel; not there; large")


def test_every_driver_is_called_what_the_order_calls_it():
    for name in choose.ORDER:
        assert choose.driver_named(name).name == name


def test_records_come_back_as_they_were():
    mounted = MountedRootfs(path="/m", helper_pid=5, helper_started=77)
    assert MountedRootfs.from_json({**mounted.to_json(), "later": 1}) == mounted
    record = RootfsRecord(driver="overlay", boot_id="b", volatile=True)
    assert RootfsRecord.from_json({**record.to_json(), "later": 1}) == record
    with pytest.raises(Corrupt):
        RootfsRecord.from_json({"driver": "overlay"})


def make_root(tmp_path):
    for name in ("usr/bin", "etc", "var/lib/mounted", "var/log", "home/someone", "proc", "opt/mine/rpod", "tmp", "srv"):
        os.makedirs(tmp_path / name)
    os.symlink("usr/bin", tmp_path / "bin")
    (tmp_path / "swapfile").write_text("")
    (tmp_path / "opt/mine/file").write_text("")
    return str(tmp_path)


def kinds(root, surroundings):
    return {part.path: part.kind for part in plan_host(surroundings, root)}


def test_the_host_is_one_overlay_a_directory_with_links_as_links(tmp_path):
    found = kinds(make_root(tmp_path), Surroundings(mounts=()))
    assert found == {
        "/bin": "symlink", "/etc": "overlay", "/home": "empty", "/opt": "overlay", "/proc": "empty", "/srv": "overlay",
        "/tmp": "empty", "/usr": "overlay", "/var": "overlay",
    }  # fmt: skip


def test_a_directory_that_holds_a_mount_is_taken_apart(tmp_path):
    found = kinds(make_root(tmp_path), Surroundings(mounts=(("/var/lib/mounted", "fuse.lxcfs"),)))
    assert found["/var"] == "directory"
    assert found["/var/log"] == "overlay"
    assert found["/var/lib"] == "directory"
    assert found["/var/lib/mounted"] == "empty"
    assert found["/usr"] == "overlay"


def test_a_disk_of_its_own_is_shown(tmp_path):
    found = kinds(
        make_root(tmp_path), Surroundings(mounts=(("/var", "ext4"), ("/var/lib/mounted", "xfs"), ("/srv", "nfs4")))
    )
    assert found["/var"] == "directory"
    assert found["/var/lib/mounted"] == "overlay"
    assert found["/srv"] == "empty"


def test_hidden_directories_are_empty_wherever_they_lie(tmp_path):
    root = make_root(tmp_path)
    found = kinds(root, Surroundings(mounts=(), hidden=("/opt/mine/rpod",)))
    assert found["/opt/mine/rpod"] == "empty"
    assert found["/opt/mine/file"] == "file"
    assert found["/opt"] == "directory"


@pytest.mark.parametrize("mounts", [(), (("/var/lib/mounted", "nfs"),), (("/var/tmp", "tmpfs"),)])
def test_what_others_have_in_var_tmp_does_not_show_and_everybody_may_write_there(tmp_path, mounts):
    root = make_root(tmp_path)
    os.makedirs(tmp_path / "var/tmp/others")
    (part,) = [part for part in plan_host(Surroundings(mounts=mounts), root) if part.path.startswith("/var/tmp")]
    assert (part.kind, part.mode) == ("empty" if mounts else "cover", 0o1777)
    assert part.describe() == "empty directory /var/tmp"


def test_every_step_can_be_described(tmp_path):
    parts = plan_host(Surroundings(mounts=(("/opt/mine/rpod", "nfs"),)), make_root(tmp_path))
    assert {part.kind for part in parts} == {"overlay", "empty", "directory", "symlink", "file"}
    assert all(part.path in part.describe() for part in parts)


def test_what_vanishes_while_it_is_listed_does_not_end_the_plan(tmp_path):
    """Others work on this machine while the host is put together."""
    busy = tmp_path / "srv"
    (busy / "keep" / "mounted").mkdir(parents=True)
    ending = threading.Event()

    def churn():
        while not ending.is_set():
            for number in range(8):
                os.symlink("nowhere", busy / f"link{number}")
                os.makedirs(busy / f"dir{number}" / "keep" / "deep")
            for number in range(8):
                os.unlink(busy / f"link{number}")
                shutil.rmtree(busy / f"dir{number}")

    surroundings = Surroundings(
        mounts=tuple((f"/srv/{d}/keep/m", "ext4") for d in ("keep", *map("dir{}".format, range(8))))
    )
    other = threading.Thread(target=churn)
    other.start()
    try:
        for _ in range(300):
            parts = plan_host(surroundings, str(tmp_path))
            assert Part(kind="directory", path="/srv/keep", mode=0o755) in parts
    finally:
        ending.set()
        other.join()

"""-v and --mount. Origin of words and errors: podman 4.3.1 and podman-run(1)."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import Conflict, NotFound, Refused, RpodError, Usage
from rootless_pod.oci.mountoptions import locked
from rootless_pod.oci.runtime import ResolvedMount
from rootless_pod.paths import Paths
from rootless_pod.volumes import volume as store
from rootless_pod.volumes.resolve import parse_mount, parse_volume, resolve


@pytest.fixture
def paths(tmp_path):
    found = Paths(graphroot=str(tmp_path / "graph"), runroot=str(tmp_path / "run"), boot_id="b")
    os.makedirs(found.volumes)
    return found


@pytest.fixture
def rootfs(tmp_path):
    root = tmp_path / "rootfs"
    (root / "data/inner").mkdir(parents=True)
    (root / "data/file").write_text("from the image")
    (root / "data").chmod(0o2750)
    return str(root)


# Origin: the mounts of podman's config.json for the same words.
@pytest.mark.parametrize(
    ("text", "kind", "source", "target", "options"),
    [
        ("/tmp:/mnt:ro", "bind", "/tmp", "/mnt", ("ro", "rprivate", "rbind")),
        ("/tmp:/mnt", "bind", "/tmp", "/mnt", ("rw", "rprivate", "rbind")),
        ("./a:/mnt/:z,rslave", "bind", "./a", "/mnt", ("rslave", "rw", "rbind")),
        ("vol1:/vol", "volume", "vol1", "/vol", ("rw", "rprivate", "nosuid", "nodev", "rbind")),
        ("vol1:/vol:exec,suid,dev,bind", "volume", "vol1", "/vol", ("exec", "suid", "dev", "bind", "rw", "rprivate")),
        ("/vol", "volume", "", "/vol", ()),
    ],
)
def test_volume_words_are_podmans(text, kind, source, target, options):
    request = parse_volume(text)
    assert (request.kind, request.source, request.target, request.options) == (kind, source, target, options)


def test_some_words_are_for_us():
    request = parse_volume("v:/v:U,nocopy,O,upperdir=/u,workdir=/w")
    assert (request.chown, request.copy_up, request.overlay, request.upper, request.work) == (
        True,
        False,
        True,
        "/u",
        "/w",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/tmp:rel", "invalid container path 'rel', must be an absolute path"),
        ("/tmp:/", "can't be a destination"),
        ("/tmp:/a/../..", "can't be a destination"),
        ("/tmp:/x:foo", "invalid option type 'foo'"),
        ("/tmp:/x:ro,rw", "contradicts"),
        ("/tmp:/x:slave,shared", "contradicts"),
        ("/tmp:/x:exec,noexec", "contradicts"),
        ("/tmp:/x:idmap", "idmap"),
        ("a:/b:ro:d", "incorrect volume format"),
        (":/x", "incorrect volume format"),
        ("", "incorrect volume format"),
        ("a/b:/x", "not valid"),
        ("/tmp:/x:upperdir=/a", "upperdir and workdir"),
    ],
)
def test_bad_volumes_are_refused(text, words):
    with pytest.raises(RpodError, match=words):
        parse_volume(text)


@pytest.mark.parametrize(
    ("text", "kind", "source", "options"),
    [
        ("type=bind,src=/etc,dst=/t,ro=true,bind-propagation=rslave", "bind", "/etc", ("ro", "rslave", "rbind")),
        ("type=bind,source=/etc,target=/t,readonly=false", "bind", "/etc", ("rw", "rprivate", "rbind")),
        ("type=bind,src=/etc,dst=/t,z,rshared", "bind", "/etc", ("rshared", "rw", "rbind")),
        ("type=bind,src=/etc,dst=/t,Z,ro", "bind", "/etc", ("ro", "rprivate", "rbind")),
        ("type=tmpfs,dst=/t,tmpfs-size=1m", "tmpfs", "",
         ("size=1m", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup")),
        ("type=tmpfs,destination=/t,notmpcopyup,tmpfs-mode=700,noexec", "tmpfs", "",
         ("noexec", "mode=700", "rw", "rprivate", "nosuid", "nodev")),
        ("type=volume,src=v,dst=/t,nodev", "volume", "v", ("nodev", "rw", "rprivate", "nosuid", "rbind")),
        ("source=v,dst=/t", "volume", "v", ("rw", "rprivate", "nosuid", "nodev", "rbind")),
        ('type=bind,"src=/a,b",dst=/t', "bind", "/a,b", ("rw", "rprivate", "rbind")),
        ("type=devpts,dst=/t,uid=1,max=3", "devpts", "",
         ("rprivate", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "uid=1", "max=3")),
    ],
)  # fmt: skip
def test_mount_keys_have_many_names(text, kind, source, options):
    request = parse_mount(text)
    assert (request.kind, request.source, request.target, request.options) == (kind, source, "/t", options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=foo,dst=/x", "invalid filesystem type 'foo'"),
        ("type=bind,dst=/x", "must set a source"),
        ("type=bind,src=/x", "must set volume destination"),
        ("type=bind,src=/x,dst=/y,dst=/z", "more than once"),
        ("type=bind,src=/x,dst=/y,foo=1", "foo: invalid mount option"),
        ("type=bind,src=/x,dst=/y,ro=maybe", "truth value"),
        ("type=bind,src=/x,dst=/y,bind-propagation=up", "bind-propagation"),
        ("type=tmpfs,src=/x,dst=/y", "has no source"),
        ("type=volume,dst=/y,z", "z: invalid mount option"),
        ("src=/x,dst=/y", "is a path"),
        ("type=tmpfs,dst=/y,tmpfs-mode=9", "invalid mode"),
        ("type=tmpfs,dst=/y,tmpfs-size=big", "invalid size"),
        ("type=artifact,src=x,dst=/y", "not supported"),
        ("type=volume,src=v,dst=/y,volume-opt=a=b", "volume options"),
    ],
)
def test_bad_mounts_are_refused(text, words):
    with pytest.raises(RpodError, match=words):
        parse_mount(text)


def test_a_missing_source_is_podmans_error_with_the_command_that_makes_it(paths):
    with pytest.raises(NotFound, match="^statfs /nope/x: no such file or directory$") as caught:
        resolve([parse_volume("/nope/x:/x")], paths=paths)
    assert caught.value.remedy == "mkdir -p /nope/x"


def test_relative_sources_are_below_the_callers_directory(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert resolve([parse_volume("./data:/x")], paths=paths)[0].source == str(tmp_path / "data")


def test_destinations_are_unique_and_parents_first(paths, tmp_path):
    wanted = [parse_volume(f"{tmp_path}:{target}") for target in ("/a/b/c", "/a", "/a/b")]
    assert [mount.target for mount in resolve(wanted, paths=paths)] == ["/a", "/a/b", "/a/b/c"]
    with pytest.raises(Usage, match="^/a: duplicate mount destination$"):
        resolve([*wanted, parse_volume("v:/a/")], paths=paths)
    assert store.names(paths) == []


def test_named_volumes_are_made_and_filled_from_the_image_once(paths, rootfs):
    first = resolve([parse_volume("v:/data")], paths=paths, rootfs=rootfs)[0]
    assert sorted(os.listdir(first.source)) == ["file", "inner"]
    assert os.stat(first.source).st_mode & 0o7777 == 0o2750
    os.unlink(f"{first.source}/file")
    again = resolve([parse_volume("v:/data")], paths=paths, rootfs=rootfs)[0]
    assert os.listdir(again.source) == ["inner"]
    assert not again.anonymous


def test_nocopy_leaves_it_empty_and_the_next_use_fills_it(paths, rootfs):
    assert os.listdir(resolve([parse_volume("v:/data:nocopy")], paths=paths, rootfs=rootfs)[0].source) == []
    assert os.listdir(resolve([parse_volume("v:/data")], paths=paths, rootfs=rootfs)[0].source) != []


def test_a_volume_where_the_image_has_nothing_goes_to_the_containers_user(paths, rootfs):
    assert resolve([parse_volume("v:/none")], paths=paths, rootfs=rootfs)[0].chown
    assert not resolve([parse_volume("v:/none")], paths=paths, rootfs=rootfs)[0].chown


def test_image_volumes_become_anonymous_ones_unless_mounted_over(paths, rootfs, tmp_path):
    mounts = resolve(
        [parse_volume(f"{tmp_path}:/other")], paths=paths, rootfs=rootfs, image_volumes=("/data", "/other/", "rel")
    )
    by_target = {mount.target: mount for mount in mounts}
    assert set(by_target) == {"/data", "/other", "/rel"}
    assert by_target["/data"].anonymous
    assert len(by_target["/data"].volume) == 64
    assert os.listdir(by_target["/data"].source)
    assert by_target["/other"].type == "bind"


def test_image_volumes_can_be_tmpfs_or_nothing(paths):
    assert resolve([], paths=paths, image_volumes=("/d",), image_volume="ignore") == ()
    assert resolve([], paths=paths, image_volumes=("/d",), image_volume="tmpfs")[0].type == "tmpfs"
    with pytest.raises(Usage):
        resolve([], paths=paths, image_volumes=("/d",), image_volume="foo")


def test_after_a_failure_no_anonymous_volume_is_left(paths):
    with pytest.raises(NotFound):
        resolve([parse_volume("/anon"), parse_volume("/nope:/x")], paths=paths)
    assert store.names(paths) == []


def test_overlay_mounts_have_a_place_for_writes(paths, tmp_path):
    lower = tmp_path / "lower"
    lower.mkdir()
    mount = resolve([parse_volume(f"{lower}:/a/b:O")], paths=paths, overlay_dir=str(tmp_path / "o"))[0]
    assert mount.type == "overlay"
    assert mount.options == (
        f"lowerdir={lower}", f"upperdir={tmp_path}/o/a-b/upper", f"workdir={tmp_path}/o/a-b/work", "userxattr",
    )  # fmt: skip
    with pytest.raises(Refused):
        resolve([parse_volume(f"{lower}:/a/b:O")], paths=paths)


def test_the_writes_of_two_overlays_never_lie_in_one_place(paths, tmp_path):
    wanted = [parse_volume(f"{tmp_path}:{target}:O") for target in ("/a/b", "/a-b", "/a%2Db", "/a%b")]
    mounts = resolve(wanted, paths=paths, overlay_dir=str(tmp_path / "o"))
    assert len({option for mount in mounts for option in mount.options if option.startswith("upperdir=")}) == 4


def test_globs_are_one_mount_each(paths, tmp_path):
    for name in ("a1", "a2", "b"):
        (tmp_path / name).touch()
    mounts = resolve([parse_mount(f"type=glob,src={tmp_path}/a*,dst=/g")], paths=paths)
    assert [mount.target for mount in mounts] == ["/g/a1", "/g/a2"]
    with pytest.raises(NotFound):
        resolve([parse_mount(f"type=glob,src={tmp_path}/z*")], paths=paths)


def test_a_subpath_stays_inside_the_volume(paths, tmp_path):
    found = store.create(paths, "v")
    os.mkdir(f"{found.path}/sub")
    os.symlink(str(tmp_path), f"{found.path}/trap")
    mount = resolve([parse_mount("type=volume,src=v,dst=/x,subpath=sub,nocopy")], paths=paths)[0]
    assert mount.source == f"{found.path}/sub"
    with pytest.raises(NotFound):
        resolve([parse_mount("type=volume,src=v,dst=/x,subpath=trap/graph,nocopy")], paths=paths)


def test_flags_of_the_source_are_kept():
    flags = os.ST_NOSUID | os.ST_NODEV | os.ST_RDONLY
    assert locked(("rw", "rprivate", "rbind", "dev"), flags) == ("ro", "rprivate", "rbind", "dev", "nosuid")


def test_a_mount_survives_its_record():
    mount = ResolvedMount(source="/a", target="/b", options=("ro", "rbind"), volume="v")
    assert ResolvedMount.from_record({**mount.as_dict(), "options": list(mount.options)}) == mount


def test_names_in_use_are_kept(paths):
    store.create(paths, "v")
    with pytest.raises(Conflict, match="abcdef123456$"):
        store.remove(paths, "v", used_by=["abcdef1234567890"])
    assert store.exists(paths, "v")

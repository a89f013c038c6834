"""Small programs for the tests of single drivers; each is one function run by name inside a user namespace.

They end with exit code 0 if what they assert holds.
"""

# ruff: noqa: PT017 - these run in plain processes, without pytest
from __future__ import annotations

import os
import stat
import subprocess
import sys

from rootless_pod.errors import HostUnready, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.fuse import choose, host, native
from rootless_pod.fuse.copy import Copy, copied_tree
from rootless_pod.fuse.driver import IdShift, RootfsRequest, ShiftRange
from rootless_pod.fuse.fuse_overlayfs import FuseOverlayfs
from rootless_pod.fuse.native import NativeOverlay
from rootless_pod.linux import mount, overlay, procfs
from rootless_pod.linux.tree import remove_tree
from rootless_pod.paths import Paths
from rootless_pod.storage import rootfs
from tests.fuse.world import get, put, snapshot

CHAIN = ("1" * 64, "2" * 64)


class FakeImage(Frozen):
    id: str = "f" * 64
    layers: tuple = CHAIN
    is_host: bool = False


def lay_out(base, **changes):
    container = f"{base}/container"
    request = RootfsRequest(**{
        "container_dir": container, "merged": f"{container}/merged", "upper": f"{container}/upper",
        "work": f"{container}/work", "lower_dirs": (f"{base}/top", f"{base}/bottom"), **changes,
    })  # fmt: skip
    for directory in (*request.lower_dirs, request.merged, request.upper, request.work):
        os.makedirs(directory, exist_ok=True)
    put(f"{request.lower_dirs[-1]}/file", b"lower")
    return request


def paths_at(base):
    paths = Paths(graphroot=f"{base}/graph", runroot=f"{base}/run", boot_id=procfs.boot_id())
    paths.prepare()
    for number, chain in enumerate(CHAIN):
        os.makedirs(f"{paths.layers}/{chain}/diff/dir")
        put(f"{paths.layers}/{chain}/diff/file", str(number).encode())
    return paths


def every_way_of_mounting_many_layers_works(base):
    for way in (overlay.mount_by_fsconfig, overlay.mount_by_numbers):
        request = lay_out(base, lower_dirs=tuple(f"{base}/{number:0200}" for number in range(300)))
        try:
            way(request.merged, request.lower_dirs, request.upper, request.work, ["userxattr"])
        except OSError as error:
            assert way is overlay.mount_by_fsconfig, error
            assert os.uname().release < "6.5", error
            continue
        assert get(f"{request.merged}/file") == b"lower"
        put(f"{request.merged}/file", b"upper")
        native.detach(request.merged)
        remove_tree(request.container_dir)


def layers_of_an_own_file_system_are_shifted_by_the_kernel(base):
    """A tmpfs mounted in the namespace is ours, so its mounts may be id-mapped (Linux 6.13 for descriptors)."""
    mount.mount("tmpfs", base, "tmpfs")
    shift = (ShiftRange(container_id=0, parent_id=1, size=1000), ShiftRange(container_id=1000, parent_id=0, size=1))
    request = lay_out(base, id_shift=IdShift(uids=shift, gids=shift))
    put(f"{base}/bottom/mine", b"")
    os.chown(f"{base}/bottom/mine", 1000, 1000)
    for read_only in (True, False):
        try:
            mounted = NativeOverlay().mount(request.replace(read_only=read_only))
        except Refused:
            assert tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 13)
            return
        assert os.stat(f"{mounted.path}/file").st_uid == 1
        assert os.stat(f"{mounted.path}/mine").st_uid == 0
        if not read_only:
            put(f"{mounted.path}/new", b"")
            assert os.stat(f"{request.upper}/new").st_uid == 1000
        NativeOverlay().unmount(request, mounted)


def a_volatile_mount_skips_syncing_and_can_be_followed_by_another(base):
    request = lay_out(base, volatile=True)
    mounted = NativeOverlay().mount(request)
    line = next(line for line in procfs.read_text("/proc/self/mountinfo").splitlines() if request.merged in line)
    assert "volatile" in line
    assert "userxattr" in line
    NativeOverlay().unmount(request, mounted)
    assert os.path.exists(f"{request.work}/work/incompat/volatile")
    mounted = NativeOverlay().mount(request.replace(volatile=False))
    NativeOverlay().unmount(request, mounted)


def a_refused_overlay_leaves_nothing_and_says_what_to_do(base):
    request = lay_out(base)
    os.rmdir(request.upper)
    put(request.upper)
    try:
        NativeOverlay().mount(request)
    except Refused as error:
        assert request.merged in error.message
        assert "--storage-driver" in error.remedy
    else:
        raise AssertionError("mounted")
    assert request.merged not in procfs.read_text("/proc/self/mountinfo")


def one_read_only_layer_is_a_bind_mount(base):
    request = lay_out(base, lower_dirs=(f"{base}/bottom",), read_only=True)
    mounted = NativeOverlay().mount(request)
    assert os.stat(f"{mounted.path}/file").st_ino == os.stat(f"{base}/bottom/file").st_ino
    assert os.statvfs(mounted.path).f_flag & os.ST_RDONLY
    NativeOverlay().unmount(request, mounted)
    put(f"{base}/bottom/file", b"still writable below")


def choosing_takes_the_first_that_works_and_keeps_the_answer(base):
    probes, scratch = f"{base}/probes", f"{base}/scratch"
    os.mkdir(probes)
    choice = choose.choose_storage(None, probes_dir=probes, scratch_dir=scratch)
    assert choice.driver.name == "overlay"
    assert choice.refused == ()
    assert os.listdir(scratch) == []
    kept = os.stat(f"{probes}/storage-any.json")
    assert choose.choose_storage(None, probes_dir=probes, scratch_dir=scratch).reason == choice.reason
    assert os.stat(f"{probes}/storage-any.json").st_ino == kept.st_ino
    put(f"{probes}/storage-any.json", b'{"facts": [], "programs": [], "name": "copy", "reason": "", "refused": []}')
    assert choose.choose_storage(None, probes_dir=probes, scratch_dir=scratch).driver.name == "overlay"
    put(f"{probes}/storage-any.json", b"damaged")
    assert choose.choose_storage(None, probes_dir=probes, scratch_dir=scratch).driver.name == "overlay"
    assert scratch not in procfs.read_text("/proc/self/mountinfo")


def choosing_goes_on_where_the_kernel_refuses_and_says_why(base):
    """An overlay can't be the upper directory of an overlay: below one, the kernel's driver is refused."""
    request = lay_out(base)
    outer = NativeOverlay().mount(request)
    probes = f"{base}/probes"
    os.mkdir(probes)
    choice = choose.choose_storage(None, probes_dir=probes, scratch_dir=f"{outer.path}/scratch")
    assert choice.driver.name in {"fuse-overlayfs", "pyfuse3", "copy"}
    assert choice.refused[0][0] == "overlay"
    assert choice.refused[0][1] in choice.reason
    assert choice.refused[0][2]
    try:
        choose.choose_storage("overlay", probes_dir=probes, scratch_dir=f"{outer.path}/scratch")
    except HostUnready as error:
        assert "overlay does not work here" in error.message
        assert error.remedy
    else:
        raise AssertionError("a named driver that fails was taken")
    os.environ["RPOD_PROGRAM_PATH"] = "/nowhere"
    again = choose.choose_storage(None, probes_dir=probes, scratch_dir=f"{outer.path}/scratch")
    assert again.driver.name in {"pyfuse3", "copy"}
    assert [name for name, _reason, _remedy in again.refused][:2] == ["overlay", "fuse-overlayfs"]
    assert "apt-get install fuse-overlayfs" in again.refused[1][2]
    NativeOverlay().unmount(request, outer)


def a_nested_user_namespace_sees_the_owners_the_image_names(base):
    """What --userns keep-id rests on: uid 1000 of the container is the user, uid 0 is another id of theirs."""
    from rootless_pod.fuse.idmapped import namespace_of
    from rootless_pod.linux import namespaces

    ranges = (
        ShiftRange(container_id=0, parent_id=1, size=1000),
        ShiftRange(container_id=1000, parent_id=0, size=1),
        ShiftRange(container_id=1001, parent_id=1001, size=10000),
    )
    shift = IdShift(uids=ranges, gids=ranges)
    for name in ("fuse-overlayfs", "pyfuse3", "copy"):
        os.makedirs(f"{base}/{name}")
        if choose.try_in_child(name, f"{base}/{name}", id_shift=True):
            continue
        request = lay_out(f"{base}/{name}", id_shift=shift)
        bottom = f"{base}/{name}/bottom"
        put(f"{bottom}/users", b"users")
        os.chown(f"{bottom}/users", 1000, 1000)
        put(f"{bottom}/private", b"roots", 0o600)
        driver = choose.driver_named(name)
        mounted = driver.mount(request)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                namespaces.setns(namespace_of(shift), namespaces.CLONE_NEWUSER)
                os.setgroups([])
                os.setresgid(0, 0, 0)
                os.setresuid(0, 0, 0)
                os.chdir(mounted.path)
                assert (os.stat("file").st_uid, os.stat("users").st_uid) == (0, 1000)
                put("by-root", b"")
                put("given", b"")
                os.chown("given", 33, 34)
                assert (os.stat("given").st_uid, os.stat("given").st_gid) == (33, 34)
                os.mkdir("home", 0o755)
                os.chown("home", 1000, 1000)
                os.setresgid(1000, 1000, 1000)
                os.setresuid(1000, 1000, 1000)
                assert get("file") == b"lower"
                for forbidden in ("file", "private"):
                    assert not os.access(forbidden, os.W_OK), f"{name}: the user may write {forbidden}"
                put("home/by-user", b"")
                assert os.stat("home/by-user").st_uid == 1000
                with open("users", "ab") as file:
                    file.write(b"!")
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0, name
        shown = {entry: os.stat(f"{mounted.path}/{entry}").st_uid for entry in ("by-root", "given", "home/by-user")}
        assert shown == {"by-root": 1, "given": 34, "home/by-user": 0}
        driver.unmount(request, mounted)
        if name != "copy":
            stored = {entry: os.stat(f"{request.upper}/{entry}").st_uid for entry in shown}
            assert stored == {"by-root": 0, "given": 33, "home/by-user": 1000}


def shifting_is_never_a_silent_copy(base):
    probes = f"{base}/probes"
    os.mkdir(probes)
    os.environ["RPOD_PROGRAM_PATH"] = "/nowhere"
    try:
        choice = choose.choose_storage(None, probes_dir=probes, scratch_dir=f"{base}/scratch", id_shift=True)
    except HostUnready as error:
        assert "copy the whole image" in error.message
    else:
        assert choice.driver.name in {"overlay", "pyfuse3"}
    named = choose.choose_storage("copy", probes_dir=probes, scratch_dir=f"{base}/scratch", id_shift=True)
    assert named.driver.name == "copy"
    assert choose.choose_storage("vfs", probes_dir=probes, scratch_dir=f"{base}/scratch").driver.name == "copy"


def a_killed_copy_is_swept_and_a_complete_one_is_used_again(base):
    request = lay_out(base)
    os.makedirs(f"{request.container_dir}/.copy-partial-old/dir")
    mounted = Copy().mount(request)
    assert not os.path.exists(f"{request.container_dir}/.copy-partial-old")
    put(f"{mounted.path}/new", b"kept")
    Copy().unmount(request, mounted)
    Copy().unmount(request, mounted)
    inode = os.stat(f"{copied_tree(request.container_dir)}/file").st_ino
    mounted = Copy().mount(request)
    assert get(f"{mounted.path}/new") == b"kept"
    assert os.stat(f"{mounted.path}/file").st_ino == inode
    Copy().unmount(request, mounted)


def a_copy_that_fails_leaves_nothing(base):
    mount.mount("tmpfs", base, "tmpfs", 0, "size=1m")
    request = lay_out(base)
    put(f"{base}/bottom/large", b"x" * 700_000)
    try:
        Copy().mount(request)
    except Refused as error:
        assert "No space left" in error.message
        assert error.remedy
    else:
        raise AssertionError("it fitted")
    assert sorted(os.listdir(request.container_dir)) == ["merged", "upper", "work"]


def the_helper_is_told_apart_from_a_later_process_of_its_pid(base):
    request = lay_out(base)
    mounted = FuseOverlayfs().mount(request)
    native.detach(request.merged)
    bystander = subprocess.Popen(["sleep", "60"])
    FuseOverlayfs().unmount(request, mounted.replace(helper_pid=bystander.pid, helper_started=1))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    FuseOverlayfs().unmount(request, mounted)
    assert not procfs.is_alive(mounted.helper_pid, mounted.helper_started)


def a_helper_that_cannot_mount_is_reported_with_its_words(base):
    request = lay_out(base)
    os.rmdir(request.upper)
    put(request.upper)
    try:
        FuseOverlayfs().mount(request)
    except Exception as error:  # noqa: BLE001 - its words are checked
        assert "upper" in str(error)
        assert "ran: " in str(error)
    else:
        raise AssertionError("mounted")
    assert request.merged not in procfs.read_text("/proc/self/mountinfo")


def a_root_file_system_is_unmounted_from_its_record_and_removed(base):
    paths = paths_at(base)
    before = snapshot(paths.layers)
    for name in ("overlay", "fuse-overlayfs", "copy"):
        os.mkdir(paths.container(name))
        made = rootfs.mount_rootfs(
            paths=paths, container_id=name, image=FakeImage(), driver=choose.driver_named(name), volatile=True
        )
        assert get(f"{made.path}/file") == b"1", "the last layer of an image is on top"
        put(f"{made.path}/dir/new", b"new")
        assert rootfs.rootfs_is_mounted(paths=paths, container_id=name)
        record = made.record.to_json()
        rootfs.unmount_rootfs(paths, name, record)
        assert not rootfs.rootfs_is_mounted(paths=paths, container_id=name)
        rootfs.unmount_rootfs(paths, name, {**record, "boot_id": "another boot"})
        rootfs.remove_rootfs(paths.container(name))
        assert not os.path.lexists(paths.container(name))
        rootfs.remove_rootfs(paths.container(name))
    assert snapshot(paths.layers) == before


def a_missing_layer_is_named(base):
    paths = paths_at(base)
    os.mkdir(paths.container("c"))
    try:
        image = FakeImage(layers=(*CHAIN, "3" * 64))
        rootfs.mount_rootfs(paths=paths, container_id="c", image=image, driver=NativeOverlay())
    except Exception as error:  # noqa: BLE001 - its words are checked
        assert "3" * 64 in str(error)
    else:
        raise AssertionError("mounted")


def an_image_without_layers_is_an_empty_tree(base):
    paths = paths_at(base)
    os.mkdir(paths.container("c"))
    made = rootfs.mount_rootfs(
        paths=paths, container_id="c", image=FakeImage(layers=()), driver=NativeOverlay(), read_only=True
    )
    assert os.listdir(made.path) == []
    rootfs.unmount_rootfs(paths, "c", made.record)


def a_directory_of_the_user_is_mounted_below_and_kept(base):
    paths = paths_at(base)
    os.mkdir(paths.container("c"))
    os.mkdir(f"{base}/mine")
    put(f"{base}/mine/file", b"mine")
    made = rootfs.mount_rootfs(paths=paths, container_id="c", image=None, lower=f"{base}/mine", driver=NativeOverlay())
    put(f"{made.path}/file", b"changed")
    rootfs.unmount_rootfs(paths, "c", made.record)
    assert get(f"{base}/mine/file") == b"mine"


def removal_touches_nothing_outside(base):
    os.makedirs(f"{base}/outside/dir")
    put(f"{base}/outside/file", b"mine")
    top = f"{base}/tree"
    os.makedirs(f"{top}/a/b")
    os.symlink(f"{base}/outside", f"{top}/a/link")
    os.symlink("/etc/passwd", f"{top}/passwd")
    os.mkdir(f"{top}/closed")
    put(f"{top}/closed/file")
    os.chmod(f"{top}/closed", 0)
    os.mkdir(f"{top}/mounted")
    mount.bind(f"{base}/outside", f"{top}/mounted")
    try:
        remove_tree(top)
    except OSError as error:
        assert "mounted" in error.filename
    else:
        raise AssertionError("a mount point was entered")
    assert get(f"{base}/outside/file") == b"mine"
    assert os.listdir(top) == ["mounted"]
    native.detach(f"{top}/mounted")
    remove_tree(top)
    assert not os.path.lexists(top)
    assert sorted(os.listdir(f"{base}/outside")) == ["dir", "file"]


def trees_deeper_than_the_limits_are_removed(base):
    top = f"{base}/deep"
    os.mkdir(top)
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _level in range(3000):
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(top)
    assert not os.path.lexists(top)
    remove_tree(top)


def the_host_runs_and_stays_as_it_is(base):
    paths = paths_at(base)
    image = FakeImage(layers=(), is_host=True)
    names = [name for name in ("overlay", "fuse-overlayfs", "pyfuse3") if not choose.try_in_child(name, base)]
    assert "overlay" in names or "fuse-overlayfs" in names
    passwd, etc = get("/etc/passwd"), sorted(os.listdir("/etc"))
    home = os.environ["HOME"]
    for name in names:
        os.mkdir(paths.container(name))
        made = rootfs.mount_rootfs(
            paths=paths, container_id=name, image=image, driver=choose.driver_named(name), volatile=True
        )
        root = made.path
        assert os.path.islink(f"{root}/bin") == os.path.islink("/bin")
        for hidden in ("/home", "/root", "/tmp", "/run", "/proc", "/sys", "/dev"):
            assert os.listdir(f"{root}{hidden}") == [], (name, hidden)
        assert not os.path.lexists(f"{root}{home}") or os.listdir(f"{root}{home}") == []
        assert stat.S_IMODE(os.stat(f"{root}/tmp").st_mode) == 0o1777
        for command in (["sh", "-c", "echo from-sh"], ["python3", "-c", "print('from-python')"]):
            done = subprocess.run(["chroot", root, *command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (name, done.stderr)
            assert "from-" in done.stdout
        if os.path.exists("/usr/bin/apt-get"):
            done = subprocess.run(["chroot", root, "apt-get", "--version"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (name, done.stderr)
        put(f"{root}/etc/resolv.conf.rpod", b"nameserver 127.0.0.1\n")
        put(f"{root}/etc/new", b"new")
        put(f"{root}/usr/bin/rpod-new", b"new")
        os.unlink(f"{root}/etc/passwd")
        put(f"{root}/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
        os.unlink(f"{root}/usr/bin/env")
        assert not os.path.lexists(f"{root}/usr/bin/env")
        rootfs.unmount_rootfs(paths, name, made.record.to_json())
        rootfs.unmount_rootfs(paths, name, made.record.to_json())
        assert not rootfs.rootfs_is_mounted(paths=paths, container_id=name)
        assert paths.container(name) not in procfs.read_text("/proc/self/mountinfo")
        rootfs.remove_rootfs(paths.container(name))
    assert get("/etc/passwd") == passwd
    assert sorted(os.listdir("/etc")) == etc
    assert os.path.exists("/usr/bin/env")
    assert not os.path.exists("/usr/bin/rpod-new")


def a_stopped_host_container_keeps_what_it_wrote(base):
    paths = paths_at(base)
    image = FakeImage(layers=(), is_host=True)
    os.mkdir(paths.container("c"))
    for turn in range(2):
        made = rootfs.mount_rootfs(paths=paths, container_id="c", image=image, driver=NativeOverlay())
        if turn:
            assert get(f"{made.path}/etc/mine") == b"mine"
            assert get(f"{made.path}/root/mine") == b"mine"
        put(f"{made.path}/etc/mine", b"mine")
        put(f"{made.path}/root/mine", b"mine")
        rootfs.unmount_rootfs(paths, "c", made.record)


def the_host_is_never_copied(base):
    request = lay_out(base)
    try:
        host.mount_host(request, Copy())
    except Refused as error:
        assert "whole machine" in error.message
        assert "--storage-driver" in error.remedy
    else:
        raise AssertionError("copied")
    assert os.listdir(request.merged) == []


SCRIPTS = {name: value for name, value in list(globals().items()) if getattr(value, "__module__", "") == __name__}
SCRIPTS = {
    name: value
    for name, value in SCRIPTS.items()
    if getattr(value, "__code__", None) is not None
    and value.__code__.co_varnames[:1] == ("base",)
    and "_at" not in name
}
SCRIPTS.pop("lay_out")
ONE_ID_IS_NOT_ENOUGH = {
    "a_nested_user_namespace_sees_the_owners_the_image_names",
    "layers_of_an_own_file_system_are_shifted_by_the_kernel",
    "shifting_is_never_a_silent_copy",
}


if __name__ == "__main__":
    os.umask(0o022)
    SCRIPTS[sys.argv[1]](sys.argv[2])

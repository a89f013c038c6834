"""What every driver must do, one function a rule. Each gets a ``World`` that is mounted freshly."""

# ruff: noqa: PT017 - these run in plain processes, without pytest
from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import shutil
import signal
import socket
import stat
import subprocess

from rootless_pod.errors import Refused
from rootless_pod.fuse.driver import IdShift, RootfsRequest, ShiftRange
from rootless_pod.linux import procfs
from rootless_pod.linux.tree import remove_tree
from tests.fuse.world import BIG, TEXT, WEIRD, get, put, whiteout

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def fails(number, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except OSError as error:
        allowed = number if isinstance(number, tuple) else (number,)
        assert error.errno in allowed, f"{error!r}, wanted {[errno.errorcode[n] for n in allowed]}"
    else:
        raise AssertionError(f"no error, wanted {number}")


def renameat2(old, new, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), ctypes.c_uint(flags)) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def in_children(count, work):
    """Run ``work(number)`` in ``count`` processes at the same time; return their exit codes."""
    gate_read, gate_write = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.close(gate_write)
                os.read(gate_read, 1)
                code = work(number) or 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(gate_read)
    os.close(gate_write)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def lower_files_read_as_they_are_stored(world):
    assert get(world.at("file")) == TEXT
    assert get(world.at("big")) == BIG
    found = os.stat(world.at("file"))
    assert (found.st_mode, found.st_size, found.st_mtime_ns) == (0o100644, len(TEXT), 1_100_000_000_987_654_321)
    assert os.stat(world.at("setuid")).st_mode == 0o104755


def layers_are_merged_top_first(world):
    assert sorted(os.listdir(world.at("dir"))) == ["a", "b", "c", "d", "sub"]
    assert get(world.at("dir/a")) == b"bottom a"
    assert get(world.at("dir/b")) == b"middle b"
    assert get(world.at("dir/c")) == b"top c"


def whiteouts_hide_and_are_not_listed(world):
    assert not os.path.lexists(world.at("gone"))
    assert "gone" not in os.listdir(world.path)


def opaque_directories_hide_what_is_below(world):
    assert os.listdir(world.at("opaque")) == ["new"]
    assert not os.path.lexists(world.at("opaque/old"))


def new_files_are_stored_in_the_writable_layer_and_survive_a_remount(world):
    put(world.at("dir/new"), b"new", 0o640)
    os.mkdir(world.at("fresh"), 0o710)
    world.remount()
    assert get(world.at("dir/new")) == b"new"
    assert stat.S_IMODE(os.stat(world.at("dir/new")).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(world.at("fresh")).st_mode) == 0o710


def appending_truncating_and_overwriting_lower_files_work(world):
    with open(world.at("file"), "ab") as file:
        file.write(b"more")
    assert get(world.at("file")) == TEXT + b"more"
    os.truncate(world.at("big"), 1000)
    assert get(world.at("big")) == BIG[:1000]
    os.truncate(world.at("big"), 2000)
    assert get(world.at("big")) == BIG[:1000] + bytes(1000)
    with open(world.at("dir/a"), "wb") as file:
        file.write(b"over")
    assert get(world.at("dir/a")) == b"over"
    with open(world.at("dir/b"), "r+b") as file:
        file.seek(2)
        file.write(b"XX")
    assert get(world.at("dir/b")) == b"miXXle b"


def exclusive_creation_sees_lower_files_but_not_whiteouts(world):
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    fails(errno.EEXIST, os.open, world.at("file"), flags)
    fails(errno.EEXIST, os.open, world.at("dangling"), flags)
    fails(errno.EEXIST, os.mkdir, world.at("dir"))
    os.close(os.open(world.at("gone"), flags))
    assert get(world.at("gone")) == b""


def unnamed_files_can_be_linked_in_where_they_are_supported(world):
    try:
        fd = os.open(world.at("dir"), os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        assert error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}
        return
    os.write(fd, b"unnamed")
    libc = ctypes.CDLL(None, use_errno=True)  # os.link can't follow the link in /proc
    made = libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, os.fsencode(world.at("dir/named")), 0x400)
    assert made == 0, os.strerror(ctypes.get_errno())
    os.close(fd)
    assert get(world.at("dir/named")) == b"unnamed"


def renaming_files_within_and_across_directories_works(world):
    os.rename(world.at("file"), world.at("moved"))
    assert get(world.at("moved")) == TEXT
    assert not os.path.lexists(world.at("file"))
    os.rename(world.at("dir/a"), world.at("dir/sub/a"))
    assert get(world.at("dir/sub/a")) == b"bottom a"
    assert "a" not in os.listdir(world.at("dir"))
    world.remount()
    assert get(world.at("moved")) == TEXT
    assert not os.path.lexists(world.at("file"))
    assert not os.path.lexists(world.at("dir/a"))


def renaming_over_an_entry_replaces_it(world):
    put(world.at("new"), b"new")
    os.rename(world.at("new"), world.at("file"))
    assert get(world.at("file")) == b"new"
    os.rename(world.at("dir/a"), world.at("dir/b"))
    assert get(world.at("dir/b")) == b"bottom a"
    put(world.at("new"), b"again")
    os.rename(world.at("new"), world.at("link"))
    assert not os.path.islink(world.at("link"))
    fails(errno.EISDIR, os.rename, world.at("file"), world.at("dir"))
    fails(errno.ENOTDIR, os.rename, world.at("empty"), world.at("file"))
    os.mkdir(world.at("made"))
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, world.at("made"), world.at("dir"))


def renaming_a_lower_directory_works_or_says_exdev_and_mv_copes(world):
    try:
        os.rename(world.at("dir"), world.at("elsewhere"))
    except OSError as error:
        assert error.errno == errno.EXDEV
        shutil.move(world.at("dir"), world.at("elsewhere"))
    assert not os.path.lexists(world.at("dir"))
    assert sorted(os.listdir(world.at("elsewhere"))) == ["a", "b", "c", "d", "sub"]
    assert get(world.at("elsewhere/sub/deeper/two")) == b"bottom sub/deeper/two"
    os.mkdir(world.at("dir"))
    assert os.listdir(world.at("dir")) == []


def renaming_a_new_directory_takes_its_content_along(world):
    os.makedirs(world.at("one/two"))
    put(world.at("one/two/three"), b"3")
    os.rename(world.at("one"), world.at("dir/moved"))
    assert get(world.at("dir/moved/two/three")) == b"3"
    os.rename(world.at("dir/moved"), world.at("empty"))
    assert get(world.at("empty/two/three")) == b"3"


def rename_noreplace_never_replaces(world):
    put(world.at("new"), b"new")
    fails((errno.EEXIST, errno.EINVAL), renameat2, world.at("new"), world.at("file"), RENAME_NOREPLACE)
    assert get(world.at("file")) == TEXT
    assert get(world.at("new")) == b"new"


def rename_exchange_swaps_or_is_refused(world):
    put(world.at("one"), b"1")
    put(world.at("two"), b"2")
    try:
        renameat2(world.at("one"), world.at("two"), RENAME_EXCHANGE)
    except OSError as error:
        assert error.errno in {errno.EINVAL, errno.ENOSYS}
        return
    assert (get(world.at("one")), get(world.at("two"))) == (b"2", b"1")


def removed_lower_entries_stay_away_and_can_be_made_again(world):
    os.unlink(world.at("file"))
    assert not os.path.lexists(world.at("file"))
    fails(errno.ENOENT, os.unlink, world.at("file"))
    world.remount()
    assert not os.path.lexists(world.at("file"))
    put(world.at("file"), b"made again")
    assert os.listdir(world.path).count("file") == 1
    assert get(world.at("file")) == b"made again"
    os.unlink(world.at("file"))
    assert not os.path.lexists(world.at("file"))


def a_directory_made_again_is_empty(world):
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, world.at("dir"))
    shutil.rmtree(world.at("dir"))
    os.mkdir(world.at("dir"))
    assert os.listdir(world.at("dir")) == []
    put(world.at("dir/a"), b"mine")
    world.remount()
    assert os.listdir(world.at("dir")) == ["a"]
    assert get(world.at("dir/a")) == b"mine"


def an_entry_can_be_replaced_by_another_kind(world):
    shutil.rmtree(world.at("dir"))
    put(world.at("dir"), b"now a file")
    os.unlink(world.at("file"))
    os.mkdir(world.at("file"))
    put(world.at("file/inner"), b"inner")
    os.unlink(world.at("link"))
    os.symlink("/somewhere", world.at("link"))
    world.remount()
    assert get(world.at("dir")) == b"now a file"
    assert os.listdir(world.at("file")) == ["inner"]
    assert os.readlink(world.at("link")) == "/somewhere"


def whiteouts_work_five_layers_deep(world):
    layers = []
    for number in range(5):
        layer = f"{world.base}/deep-{world.count}-{number}"
        os.makedirs(f"{layer}/d")
        if number % 2 == 0:
            put(f"{layer}/flip", str(number).encode())
            put(f"{layer}/d/flip", str(number).encode())
        else:
            whiteout(f"{layer}/flip")
            whiteout(f"{layer}/d/flip")
        put(f"{layer}/only{number}", b"")
        layers.append(layer)
    try:
        world.fresh(lower_dirs=tuple(reversed(layers)))
        assert get(world.at("flip")) == get(world.at("d/flip")) == b"4"
        world.fresh(lower_dirs=tuple(reversed(layers[:4])))
        assert not os.path.lexists(world.at("flip"))
        assert os.listdir(world.at("d")) == []
        put(world.at("d/flip"), b"upper")
        assert get(world.at("d/flip")) == b"upper"
        assert sorted(os.listdir(world.path)) == ["d", "only0", "only1", "only2", "only3"]
        world.close()
    finally:
        for layer in layers:
            remove_tree(layer)


def hard_links_share_content_and_inode(world):
    put(world.at("one"), b"1")
    os.link(world.at("one"), world.at("dir/two"))
    assert os.stat(world.at("one")).st_ino == os.stat(world.at("dir/two")).st_ino
    assert os.stat(world.at("one")).st_nlink == 2
    with open(world.at("dir/two"), "ab") as file:
        file.write(b"2")
    assert get(world.at("one")) == b"12"
    os.unlink(world.at("one"))
    assert os.stat(world.at("dir/two")).st_nlink == 1
    assert get(world.at("dir/two")) == b"12"


def a_lower_file_can_be_linked(world):
    os.link(world.at("file"), world.at("dir/file2"))
    with open(world.at("file"), "ab") as file:
        file.write(b"more")
    assert get(world.at("dir/file2")) == TEXT + b"more"
    assert os.stat(world.at("dir/file2")).st_nlink == 2
    if world.driver_name != "overlay":  # the kernel keeps the lower number for the old name only
        assert os.stat(world.at("dir/file2")).st_ino == os.stat(world.at("file")).st_ino
    os.unlink(world.at("file"))
    assert get(world.at("dir/file2")) == TEXT + b"more"
    fails(errno.EEXIST, os.link, world.at("other"), world.at("dir/a"))


def writing_one_of_two_lower_hard_links_keeps_both_readable(world):
    with open(world.at("hard1"), "ab") as file:
        file.write(b"er")
    assert get(world.at("hard1")) == b"harder"
    assert get(world.at("hard2")) in {b"hard", b"harder"}  # the kernel's overlay breaks lower links (index=off)
    os.unlink(world.at("hard2"))
    assert get(world.at("hard1")) == b"harder"


def symbolic_links_are_read_made_and_followed(world):
    assert os.readlink(world.at("link")) == "file"
    assert get(world.at("link")) == TEXT
    assert os.readlink(world.at("dangling")) == "nowhere/at all"
    text = "x/" * 500
    os.symlink(text, world.at("long"))
    assert os.readlink(world.at("long")) == text
    assert os.lstat(world.at("long")).st_size == len(text)
    os.symlink("loop", world.at("loop"))
    fails(errno.ELOOP, os.open, world.at("loop"), os.O_RDONLY)
    fails(errno.EEXIST, os.symlink, "x", world.at("link"))


def extended_attributes_are_kept_set_listed_and_removed(world):
    path = world.at("attributes")
    assert os.getxattr(path, "user.test") == b"value"
    os.setxattr(path, "user.more", bytes(range(256)))
    assert os.getxattr(path, "user.test") == b"value"
    assert {"user.test", "user.more"} <= set(os.listxattr(path))
    assert not [name for name in os.listxattr(path) if "overlay" in name]
    os.removexattr(path, "user.test")
    fails(errno.ENODATA, os.getxattr, path, "user.test")
    fails(errno.EEXIST, os.setxattr, path, "user.more", b"", os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, path, "user.none", b"", os.XATTR_REPLACE)
    with open(path, "ab") as file:
        file.write(b"!")
    world.remount()
    assert os.getxattr(world.at("attributes"), "user.more") == bytes(range(256))
    put(world.at("new"))
    os.setxattr(world.at("new"), "user.big", b"x" * 2000)
    assert len(os.getxattr(world.at("new"), "user.big")) == 2000


def attributes_survive_the_copy_up(world):
    with open(world.at("attributes"), "ab") as file:
        file.write(b"!")
    assert os.getxattr(world.at("attributes"), "user.test") == b"value"
    os.chmod(world.at("file"), 0o600)
    assert os.stat(world.at("file")).st_mtime_ns == 1_100_000_000_987_654_321
    if world.many_ids:
        os.chmod(world.at("owned"), 0o600)
        found = os.stat(world.at("owned"))
        assert (found.st_uid, found.st_gid) == (5, 6)


def modes_owners_and_times_are_set_exactly(world):
    for name in ("file", "dir", "new"):
        if name == "new":
            put(world.at(name))
        os.chmod(world.at(name), 0o751)
        assert stat.S_IMODE(os.stat(world.at(name)).st_mode) == 0o751
        times = (1_234_567_890_123_456_789, 1_345_678_901_234_567_891)
        os.utime(world.at(name), ns=times)
        found = os.stat(world.at(name))
        assert (found.st_atime_ns, found.st_mtime_ns) == times
    os.chmod(world.at("script"), 0o6755)
    assert stat.S_IMODE(os.stat(world.at("script")).st_mode) == 0o6755
    if world.many_ids:
        for name in ("file", "dir", "new"):
            os.chown(world.at(name), 1000, 1001)
            found = os.stat(world.at(name))
            assert (found.st_uid, found.st_gid) == (1000, 1001)
        os.chown(world.at("link"), 7, 8, follow_symlinks=False)
        assert os.lstat(world.at("link")).st_uid == 7
    world.remount()
    assert stat.S_IMODE(os.stat(world.at("script")).st_mode) == 0o6755
    os.utime(world.at("link"), ns=(10**18, 2 * 10**18), follow_symlinks=False)
    assert os.lstat(world.at("link")).st_mtime_ns == 2 * 10**18


def creation_honours_mode_and_umask(world):
    previous = os.umask(0o027)
    try:
        os.close(os.open(world.at("made"), os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(world.at("madedir"), 0o777)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(os.stat(world.at("made")).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(world.at("madedir")).st_mode) == 0o750


def set_group_id_directories_pass_their_group_on(world):
    if not world.many_ids:
        return
    os.mkdir(world.at("shared"))
    os.chown(world.at("shared"), 0, 9)
    os.chmod(world.at("shared"), 0o2775)
    put(world.at("shared/file"))
    os.mkdir(world.at("shared/sub"))
    assert os.stat(world.at("shared/file")).st_gid == 9
    assert os.stat(world.at("shared/sub")).st_gid == 9
    assert os.stat(world.at("shared/sub")).st_mode & stat.S_ISGID


def other_users_are_held_by_the_permissions(world):
    if not world.many_ids:
        return
    os.chmod(world.path, 0o755)
    os.mkdir(world.at("theirs"))
    os.chown(world.at("theirs"), 1000, 1000)
    for parent in (world.base, os.path.dirname(world.base), world.request.container_dir):
        if os.stat(parent).st_uid == 0:
            os.chmod(parent, 0o755)

    def work(_number):
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        fails(errno.EACCES, os.open, world.at("secret"), os.O_RDONLY)
        fails(errno.EACCES, os.open, world.at("file"), os.O_WRONLY)
        fails(errno.EACCES, os.unlink, world.at("file"))
        fails(errno.EACCES, os.mkdir, world.at("dir/mine"))
        fails(errno.EPERM, os.chmod, world.at("file"), 0o777)
        assert get(world.at("file")) == TEXT
        put(world.at("theirs/mine"), b"mine")
        os.mkdir(world.at("theirs/sub"))

    assert in_children(1, work) == [0]
    found = os.stat(world.at("theirs/mine"))
    assert (found.st_uid, found.st_gid) == (1000, 1000)
    assert os.stat(world.at("theirs/sub")).st_uid == 1000


def shared_mappings_write_through(world):
    for name in ("big", "new"):
        if name == "new":
            put(world.at(name), bytes(10000))
        with open(world.at(name), "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[5000:5006] = b"mapped"
            view.flush()
        with open(world.at(name), "rb") as file:
            file.seek(5000)
            assert file.read(6) == b"mapped"
    world.remount()
    assert get(world.at("big"))[5000:5006] == b"mapped"
    assert get(world.at("big"))[6000:] == BIG[6000:]


def private_mappings_of_lower_files_stay_private(world):
    with open(world.at("big"), "rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as view:
        view[0:3] = b"own"
    assert get(world.at("big"))[:3] == BIG[:3]


def syncing_files_and_directories_works(world):
    with open(world.at("file"), "ab") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    fd = os.open(world.at("dir"), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
    assert get(world.at("file")) == TEXT + b"synced"


def listing_is_complete_while_entries_are_deleted(world):
    for directory in ("many", "made"):
        if directory == "made":
            os.mkdir(world.at(directory))
            for number in range(700):
                put(world.at(f"{directory}/{number:03}"))
        kept = []
        with os.scandir(world.at(directory)) as listing:
            for entry in listing:
                if int(entry.name) % 3:
                    os.unlink(entry.path)
                else:
                    kept.append(entry.name)
        total = 300 if directory == "many" else 700
        left = sorted(os.listdir(world.at(directory)))
        assert left == [f"{number:03}" for number in range(0, total, 3)]
        assert sorted(kept) == left


def a_listing_shows_each_name_once_with_its_kind(world):
    with open(world.at("dir/a"), "ab") as file:
        file.write(b"copied up")
    names = os.listdir(world.at("dir"))
    assert len(names) == len(set(names))
    with os.scandir(world.path) as listing:
        kinds = {entry.name: (entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in listing}
    assert kinds["dir"] == (True, False)
    assert kinds["link"] == (False, True)
    assert kinds["file"] == (False, False)


def rewinding_a_directory_shows_new_entries(world):
    libc = ctypes.CDLL(None)
    libc.opendir.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.opendir(os.fsencode(world.at("dir"))))
    libc.readdir.restype = ctypes.c_void_p
    while libc.readdir(stream):
        pass
    put(world.at("dir/later"))
    libc.rewinddir(stream)
    seen = set()
    while entry := libc.readdir(stream):
        seen.add(ctypes.string_at(entry + 19))
    libc.closedir(stream)
    assert b"later" in seen


def holes_read_as_zeros_and_can_be_sought(world):
    fd = os.open(world.at("sparse"), os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, b"end", 10_000_000)
    assert os.pread(fd, 10, 5_000_000) == bytes(10)
    assert os.fstat(fd).st_size == 10_000_003
    hole = os.lseek(fd, 0, os.SEEK_HOLE)
    assert 0 <= hole <= 10_000_003
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert data <= 10_000_000
    os.ftruncate(fd, 100)
    assert os.lseek(fd, 0, os.SEEK_END) == 100
    os.close(fd)


def space_can_be_reserved_and_ranges_copied(world):
    fd = os.open(world.at("reserved"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, 100_000)
        assert os.fstat(fd).st_size == 100_000
    finally:
        os.close(fd)
    with open(world.at("big"), "rb") as source, open(world.at("copy"), "wb") as target:
        left = len(BIG)
        while left:
            try:
                count = os.copy_file_range(source.fileno(), target.fileno(), left)
            except OSError as error:
                assert error.errno in {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
                count = os.sendfile(target.fileno(), source.fileno(), None, left)
            left -= count
    assert get(world.at("copy")) == BIG


def big_files_are_written_and_read_back_whole(world):
    generator = random.Random(1)
    block = generator.randbytes(1 << 20)
    digest = hashlib.sha256()
    with open(world.at("large"), "wb") as file:
        for number in range(48):
            part = number.to_bytes(4, "big") + block[4:]
            digest.update(part)
            file.write(part)
    found = hashlib.sha256()
    with open(world.at("large"), "rb") as file:
        while part := file.read(333_333):
            found.update(part)
    assert found.digest() == digest.digest()
    assert os.stat(world.at("large")).st_size == 48 << 20
    fd = os.open(world.at("large"), os.O_RDONLY)
    for _turn in range(50):
        number = generator.randrange(48)
        assert os.pread(fd, 4, number << 20) == number.to_bytes(4, "big")
    os.close(fd)


def many_small_files_come_and_go(world):
    os.mkdir(world.at("small"))
    for number in range(1500):
        put(world.at(f"small/{number}"), str(number).encode())
    assert len(os.listdir(world.at("small"))) == 1500
    assert all(get(world.at(f"small/{number}")) == str(number).encode() for number in range(0, 1500, 7))
    shutil.rmtree(world.at("small"))
    assert not os.path.lexists(world.at("small"))


def several_processes_append_without_losing_a_line(world):
    put(world.at("log"))

    def work(number):
        fd = os.open(world.at("log"), os.O_WRONLY | os.O_APPEND)
        for turn in range(100):
            os.write(fd, f"{number}:{turn}\n".encode())

    assert in_children(4, work) == [0] * 4
    lines = get(world.at("log")).decode().splitlines()
    assert sorted(lines) == sorted(f"{number}:{turn}" for number in range(4) for turn in range(100))


def several_processes_append_to_a_lower_file_at_once(world):
    def work(number):
        fd = os.open(world.at("file"), os.O_WRONLY | os.O_APPEND)
        os.write(fd, f"{number}\n".encode())

    assert in_children(6, work) == [0] * 6
    text = get(world.at("file"))
    assert text.startswith(TEXT)
    assert sorted(text[len(TEXT) :].split()) == [str(number).encode() for number in range(6)]


def exactly_one_process_creates_a_name(world):
    def work(number):
        won = 0
        for turn in range(40):
            try:
                fd = os.open(world.at(f"dir/race{turn}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                continue
            os.write(fd, str(number).encode())
            os.close(fd)
            won += 1
        return won

    assert sum(in_children(4, work)) == 40
    assert all(get(world.at(f"dir/race{turn}")) in {b"0", b"1", b"2", b"3"} for turn in range(40))

    def make(_number):
        won = 0
        for turn in range(30):
            try:
                os.mkdir(world.at(f"made{turn}"))
            except FileExistsError:
                continue
            won += 1
        return won

    assert sum(in_children(4, make)) == 30


def processes_that_create_and_remove_do_not_disturb_each_other(world):
    def work(number):
        for turn in range(40):
            path = world.at(f"dir/{number}-{turn}")
            put(path, b"x" * 100)
            os.rename(path, f"{path}.moved")
            assert get(f"{path}.moved") == b"x" * 100
            if turn % 2:
                os.unlink(f"{path}.moved")

    assert in_children(4, work) == [0] * 4
    left = [name for name in os.listdir(world.at("dir")) if name.endswith(".moved")]
    assert len(left) == 80


def replacing_by_rename_never_shows_a_missing_or_half_file(world):
    put(world.at("current"), b"0" * 5000)

    def work(number):
        if number == 0:
            for turn in range(60):
                put(world.at("next"), str(turn % 10).encode() * 5000)
                os.rename(world.at("next"), world.at("current"))
            return
        for _turn in range(200):
            text = get(world.at("current"))
            assert len(text) == 5000
            assert len(set(text)) == 1

    assert in_children(3, work) == [0] * 3


def inode_numbers_are_stable(world):
    for name in ("file", "dir", "new"):
        if name == "new":
            put(world.at(name), b"new")
        first = os.stat(world.at(name)).st_ino
        fd = os.open(world.at(name), os.O_RDONLY)
        assert os.fstat(fd).st_ino == first == os.stat(world.at(name)).st_ino
        os.close(fd)
    before = os.stat(world.at("new")).st_ino
    os.rename(world.at("new"), world.at("dir/renamed"))
    assert os.stat(world.at("dir/renamed")).st_ino == before
    numbers = [os.stat(world.at(f"many/{number:03}")).st_ino for number in range(300)]
    assert len(set(numbers)) == 300


def open_files_outlive_their_name(world):
    for name in ("file", "new"):
        if name == "new":
            put(world.at(name), TEXT)
        fd = os.open(world.at(name), os.O_RDWR)
        os.unlink(world.at(name))
        assert os.pread(fd, 100, 0) == TEXT
        os.pwrite(fd, b"A", 0)
        assert os.pread(fd, 100, 0) == b"A" + TEXT[1:]
        os.ftruncate(fd, 3)
        assert os.fstat(fd).st_size == 3
        put(world.at(name), b"another")
        assert os.pread(fd, 100, 0) == b"A" + TEXT[1:3]
        os.close(fd)
        assert get(world.at(name)) == b"another"


def an_open_file_without_a_name_has_no_links(world):
    fd = os.open(world.at("file"), os.O_RDWR)
    try:
        os.unlink(world.at("file"))
        assert os.fstat(fd).st_nlink == 0
    finally:
        os.close(fd)


def names_may_be_255_bytes_long_and_no_longer(world):
    for name in ("x" * 255, "dir/" + "y" * 255):
        put(world.at(name), b"long")
        assert get(world.at(name)) == b"long"
        os.unlink(world.at(name))
    fails(errno.ENAMETOOLONG, os.open, world.at("x" * 256), os.O_CREAT | os.O_WRONLY)
    assert os.statvfs(world.path).f_namemax >= 255


def names_may_hold_any_byte(world):
    top = os.fsencode(world.path)
    for name in WEIRD:
        assert get(os.path.join(top, name)) == b"weird"
        assert name in os.listdir(top)
        with open(os.path.join(top, name), "ab") as file:
            file.write(b"er")
        assert get(os.path.join(top, name)) == b"weirder"
    for name in (b"\xff\xfe", b" ", b"-rf", b"a\nb", b"%s", b"\\", b"x" * 250, "snö☃".encode()):
        put(os.path.join(top, name), name)
        assert get(os.path.join(top, name)) == name
        assert name in os.listdir(top)
        os.rename(os.path.join(top, name), os.path.join(top, b"dir", name))
        assert get(os.path.join(top, b"dir", name)) == name


def writing_moves_the_times_forward(world):
    before = os.stat(world.at("dir")).st_mtime_ns
    put(world.at("dir/new"))
    assert os.stat(world.at("dir")).st_mtime_ns > before
    os.utime(world.at("file"), ns=(10**9, 10**9))
    with open(world.at("file"), "ab") as file:
        file.write(b"x")
    assert os.stat(world.at("file")).st_mtime_ns > 10**9


def wrong_kinds_are_refused_with_the_right_error(world):
    fails(errno.EISDIR, os.open, world.at("dir"), os.O_WRONLY)
    fails(errno.EISDIR, os.unlink, world.at("dir"))
    fails(errno.ENOTDIR, os.rmdir, world.at("file"))
    fails(errno.ENOTDIR, os.open, world.at("file/x"), os.O_RDONLY)
    fails(errno.ENOENT, os.open, world.at("none"), os.O_RDONLY)
    fails(errno.ENOENT, os.rename, world.at("none"), world.at("x"))
    fails(errno.EINVAL, os.rename, world.at("dir"), world.at("dir/sub/x"))
    fails(errno.ENOENT, os.open, world.at("dangling"), os.O_RDONLY)


def fifos_and_sockets_can_be_made_and_used(world):
    os.mkfifo(world.at("fifo"))
    assert stat.S_ISFIFO(os.stat(world.at("fifo")).st_mode)
    reader = os.open(world.at("fifo"), os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(world.at("fifo"), os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    os.close(writer)
    here = os.getcwd()
    os.chdir(world.path)
    try:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind("socket")
            server.listen(1)
            client.connect("socket")
            accepted, _address = server.accept()
            client.sendall(b"hello")
            assert accepted.recv(10) == b"hello"
            accepted.close()
    finally:
        os.chdir(here)
    assert stat.S_ISSOCK(os.stat(world.at("socket")).st_mode)


def locks_hold_between_processes(world):
    with open(world.at("file"), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)

        def work(_number):
            with open(world.at("file"), "r+b") as mine:
                fails((errno.EAGAIN, errno.EACCES), fcntl.flock, mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fails((errno.EAGAIN, errno.EACCES), fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB)

        assert in_children(1, work) == [0]


def programs_run_from_lower_and_new_files(world):
    assert subprocess.run([world.at("script")], check=False).returncode == 7
    put(world.at("mine"), b"#!/bin/sh\nexit 8\n", 0o755)
    assert subprocess.run([world.at("mine")], check=False).returncode == 8
    fails(errno.EACCES, subprocess.run, [world.at("file")], check=False)


def the_size_of_the_file_system_is_told(world):
    found = os.statvfs(world.path)
    assert found.f_blocks > 0
    assert found.f_bsize >= 512


def read_only_trees_refuse_every_change(world):
    for layers in (world.layers, world.layers[2:]):
        world.fresh(read_only=True, lower_dirs=layers)
        assert get(world.at("file")) == TEXT
        fails(errno.EROFS, os.open, world.at("file"), os.O_WRONLY)
        fails(errno.EROFS, os.open, world.at("new"), os.O_WRONLY | os.O_CREAT)
        fails(errno.EROFS, os.unlink, world.at("file"))
        fails(errno.EROFS, os.mkdir, world.at("made"))


def one_layer_and_no_content_are_fine(world):
    empty = f"{world.base}/nothing-{world.count}"
    os.mkdir(empty)
    try:
        world.fresh(lower_dirs=(empty,))
        assert os.listdir(world.path) == []
        put(world.at("first"), b"1")
        assert get(world.at("first")) == b"1"
        world.close()
    finally:
        remove_tree(empty)


def throw_away_trees_can_be_mounted_again(world):
    world.fresh(volatile=True)
    put(world.at("new"), b"new")
    world.remount()
    assert get(world.at("new")) == b"new"
    world.remount(volatile=False)
    assert get(world.at("new")) == b"new"


def unmounting_twice_is_fine(world):
    world.unmount()
    assert not os.path.lexists(world.at("file"))
    world.unmount()


def a_tree_in_use_is_taken_away_and_its_writes_are_kept(world):
    fd = os.open(world.at("file"), os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"late")
    world.unmount()
    assert not os.path.lexists(world.at("file"))
    try:
        os.close(fd)
    except OSError:
        pass  # the helper is gone: the write below is what counts
    world.mounted = world.driver.mount(world.request)
    assert get(world.at("file")) == TEXT + b"late"


def a_killed_helper_leaves_nothing_that_blocks(world):
    if world.mounted.helper_pid is None:
        return
    put(world.at("before"), b"before")
    fd = os.open(world.at("before"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    os.kill(world.mounted.helper_pid, signal.SIGKILL)
    while procfs.is_alive(world.mounted.helper_pid, world.mounted.helper_started):
        pass
    fails((errno.ENOTCONN, errno.ECONNABORTED), os.stat, world.at("file"))
    world.unmount()
    world.unmount()
    world.mounted = world.driver.mount(world.request)
    assert get(world.at("before")) == b"before"
    assert get(world.at("file")) == TEXT


def the_helper_ends_with_its_tree(world):
    pid, started = world.mounted.helper_pid, world.mounted.helper_started
    if pid is None:
        return
    assert procfs.is_alive(pid, started)
    world.unmount()
    assert not procfs.is_alive(pid, started)


def more_layers_than_a_page_of_options_holds_work(world):
    top = f"{world.base}/{'long' * 25}-{world.count}"
    layers = []
    for number in range(230):
        layer = f"{top}/{number:0100}"
        os.makedirs(layer)
        put(f"{layer}/{number}", str(number).encode())
        put(f"{layer}/shared", str(number).encode())
        layers.append(layer)
    assert len(":".join(layers)) > 3 * 4096
    try:
        world.fresh(lower_dirs=tuple(layers))
        assert len(os.listdir(world.path)) == 231
        assert get(world.at("shared")) == b"0"
        assert get(world.at("229")) == b"229"
        put(world.at("shared"), b"mine")
        assert get(world.at("shared")) == b"mine"
        world.close()
    finally:
        remove_tree(top)


def directories_with_special_names_work(world):
    special = f'{world.base}/a:b,c\\d "e" snö-{world.count}'
    os.makedirs(f"{special}/layer:1,x")
    put(f"{special}/layer:1,x/file", b"special")
    container = f"{special}/container"
    request = RootfsRequest(
        container_dir=container, merged=f"{container}/merged", upper=f"{container}/up:per", work=f"{container}/w,ork",
        lower_dirs=(f"{special}/layer:1,x", world.layers[2]),
    )  # fmt: skip
    for directory in (request.merged, request.upper, request.work):
        os.makedirs(directory)
    try:
        mounted = world.driver.mount(request)
    except Refused as error:
        assert world.driver_name == "fuse-overlayfs"  # its option text can't hold them
        assert special in error.message
        assert "--root" in error.remedy
        remove_tree(special)
        return
    try:
        assert get(f"{mounted.path}/file") == b"special"
        with open(f"{mounted.path}/file", "ab") as file:
            file.write(b"ly")
        assert get(f"{mounted.path}/file") == b"specially"
        assert get(f"{mounted.path}/dir/a") == b"bottom a"
    finally:
        world.driver.unmount(request, mounted)
        remove_tree(special)


def shifted_owners_are_right_on_both_sides(world):
    if not world.many_ids:
        return
    ranges = (
        ShiftRange(container_id=0, parent_id=1, size=1000),
        ShiftRange(container_id=1000, parent_id=0, size=1),
        ShiftRange(container_id=1001, parent_id=1001, size=10000),
    )
    probe = f"{world.base}/shift-probe-{world.count}"
    os.mkdir(probe)
    try:
        world.driver.probe(probe, id_shift=True)
    except Exception as error:  # noqa: BLE001 - its words are checked
        assert world.driver_name == "overlay", error
        assert "idmapped" in str(error)
        return
    finally:
        remove_tree(probe)
    world.fresh(id_shift=IdShift(uids=ranges, gids=ranges))
    assert os.stat(world.at("file")).st_uid == 1
    found = os.stat(world.at("owned"))
    assert (found.st_uid, found.st_gid) == (6, 7)
    put(world.at("mine"), b"mine")
    assert os.stat(world.at("mine")).st_uid == 0
    os.chown(world.at("mine"), 1, 1)
    assert os.stat(world.at("mine")).st_uid == 1
    with open(world.at("owned"), "ab") as file:
        file.write(b"!")
    found = os.stat(world.at("owned"))
    assert (found.st_uid, found.st_gid) == (6, 7)
    world.remount()
    assert os.stat(world.at("mine")).st_uid == 1
    assert os.stat(world.at("owned")).st_uid == 6
    if world.driver_name != "copy":
        assert os.stat(f"{world.request.upper}/mine").st_uid == 0
        assert os.stat(f"{world.request.upper}/owned").st_uid == 5


CASES = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__code__", None) is not None and value.__code__.co_varnames[:1] == ("world",)
}

DEVIATIONS = {
    ("fuse-overlayfs", "set_group_id_directories_pass_their_group_on"): "version 1.10: new directories do not inherit",
    ("fuse-overlayfs", "an_open_file_without_a_name_has_no_links"): "version 1.10: fstat keeps a link count of 1",
    ("fuse-overlayfs", "names_may_be_255_bytes_long_and_no_longer"): "version 1.10: 251, room for its .wh. marks",
}
"""What a program we do not write does otherwise, seen with the version named."""

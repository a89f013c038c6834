"""Run by test_namespace.py as root of a user namespace: ``python -m tests.storage.inside CASE DIRECTORY MODE``."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys

import pytest

from rootless_pod.errors import HostUnready
from rootless_pod.linux.mount import mount, umount
from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.diff import write_layer
from rootless_pod.storage.unpack import unpack_layer
from tests.storage import tarball as t
from tests.storage.test_tar import plant


def snapshot(top):
    seen = {}
    for directory, folders, files in os.walk(os.fsencode(top)):
        for name in [b".", *folders, *files] if directory == os.fsencode(top) else folders + files:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            content = b""
            if stat.S_ISREG(found.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(found.st_mode):
                content = os.readlink(path)
            xattrs = {}
            if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
                xattrs = {key: os.getxattr(path, key) for key in os.listxattr(path)}
            links = found.st_nlink if stat.S_ISREG(found.st_mode) else 0
            key = os.path.relpath(path, os.fsencode(top))
            seen[key] = (
                found.st_mode,
                found.st_uid,
                found.st_gid,
                found.st_mtime_ns,
                links,
                found.st_rdev,
                content,
                xattrs,
            )
    # The root is written only where it is special, so its time is of no account.
    seen[b"."] = seen[b"."][:3]
    return seen


def differences(one, other):
    return {
        name: (one.get(name), other.get(name)) for name in one.keys() | other.keys() if one.get(name) != other.get(name)
    }


def tree_with_owners(top):
    plant(top)
    for path, uid, gid in (
        ("one", 33, 42),
        ("link", 7, 8),
        ("sub", 1000, 1000),
        ("fifo", 5, 5),
        ("sub/deep", 0, 65000),
    ):
        os.chown(f"{top}/{path}", uid, gid, follow_symlinks=False)
    os.chmod(f"{top}/one", 0o6755)
    os.chmod(f"{top}/sub", 0o3775)
    os.setxattr(f"{top}/block", "user.note", b"a\0b")
    # cap_net_raw+ep, revision 2 as a layer has it.
    os.setxattr(f"{top}/more", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    subprocess.run(["setfacl", "-m", "u:33:rw", f"{top}/block"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "g:42:rx", f"{top}/sub/deep"], check=True)
    for path in ("sub/deep", "sub", "."):
        os.utime(f"{top}/{path}", ns=(1_500_000_000_000_000_001,) * 2)
    os.utime(f"{top}/link", ns=(1_500_000_000_000_000_002,) * 2, follow_symlinks=False)


def owners(base, mode):
    assert mode == "subid"
    source, mine, theirs, again = (f"{base}/{name}" for name in ("source", "mine", "theirs", "again"))
    tree_with_owners(source)
    for path in (mine, theirs, again):
        os.mkdir(path)
    archive = ["tar", "--format=posix", "--xattrs", "--xattrs-include=*", "--acls"]
    made = subprocess.run([*archive, "-C", source, "-cf", "-", "."], capture_output=True, check=True).stdout
    unpack_layer(io.BytesIO(made), mine, single_id=False)
    missing = differences(snapshot(source), snapshot(mine))
    # GNU tar writes ACLs in a text form of its own, which layers don't use: only those may be missing.
    assert {os.fsdecode(name) for name in missing} <= {"block", "sub/deep", "more", "sub"}, missing
    # A layer of ours has all of it.
    sink = io.BytesIO()
    written = write_layer(sink.write, source, is_upper=False)
    unpacked = unpack_layer(io.BytesIO(sink.getvalue()), again, single_id=False)
    assert unpacked.diff_id == written.diff_id
    assert unpacked.skipped == ()
    assert not differences(snapshot(source), snapshot(again))
    # and GNU tar reads the same from it.
    subprocess.run(
        [*archive, "--numeric-owner", "-C", theirs, "-xpf", "-"], input=sink.getvalue(), check=True, capture_output=True
    )
    rest = differences(snapshot(theirs), snapshot(again))
    assert {os.fsdecode(name) for name in rest} <= {"block", "sub/deep"}, rest
    capability = os.getxattr(f"{again}/more", "security.capability")
    assert capability.hex() == "0100000200200000000000000000000000000000"


def again(base, mode):
    """An owner that an earlier entry gave to a directory is not left to the last one."""
    os.mkdir(f"{base}/d")
    members = [t.directory(b"d", uid=5, gid=6), t.file(b"d/x", uid=5), t.directory(b"d", uid=0, gid=0)]
    unpack_layer(t.archive(*members), f"{base}/d", single_id=False)
    found = os.lstat(f"{base}/d/d")
    assert (found.st_uid, found.st_gid) == (0, 0)


def unmapped(base, mode):
    os.mkdir(f"{base}/d")
    with pytest.raises(HostUnready, match="4000000") as refusal:
        unpack_layer(t.archive(t.file(b"far", b"1", uid=4_000_000)), f"{base}/d", single_id=False)
    assert "usermod" in refusal.value.remedy


def single(base, mode):
    os.mkdir(f"{base}/d")
    far = [
        t.file(b"far", b"1", uid=4_000_000, gid=33, mode=0o4444),
        t.directory(b"dir", uid=5, gid=6, mode=0o2500),
        t.symlink(b"l", b"x", uid=5),
    ]
    result = unpack_layer(t.archive(*far, t.header(b"p", b"6", uid=9)), f"{base}/d", single_id=True)
    assert result.skipped == ()
    found = os.lstat(f"{base}/d/far")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o4444)
    sink = io.BytesIO()
    write_layer(sink.write, f"{base}/d", is_upper=False)
    os.mkdir(f"{base}/e")
    unpack_layer(io.BytesIO(sink.getvalue()), f"{base}/e", single_id=True)
    assert not differences(snapshot(f"{base}/d"), snapshot(f"{base}/e"))
    assert os.getxattr(f"{base}/e/far", "user.rootlesscontainers") == bytes.fromhex("088092f401") + b"\x10\x21"


def overlay(base, mode):
    """The kernel's overlay must see what the layers mean."""
    bottom = [
        t.file(b"gone", b"1"),
        t.file(b"kept", b"1"),
        t.file(b"op/old", b"1"),
        t.file(b"re/old", b"1"),
        t.file(b"dir/gone", b"1"),
        t.file(b"dir/kept", b"1"),
        t.file(b"tofile/x", b"1"),
        t.file(b"todir", b"1"),
    ]
    top = [
        t.file(b".wh.gone"), t.directory(b"op"), t.file(b"op/.wh..wh..opq"), t.file(b"op/new", b"2"),
        t.file(b".wh.re"), t.directory(b"re"), t.file(b"re/new", b"2"), t.file(b"dir/.wh.gone"),
        t.file(b"tofile", b"2"), t.directory(b"todir"), t.file(b"todir/x", b"2"), t.hard_link(b"linked", b"kept"),
    ]  # fmt: skip
    for name in ("bottom", "top", "upper", "work", "merged"):
        os.mkdir(f"{base}/{name}", 0o755)
    unpack_layer(t.archive(*bottom), f"{base}/bottom", single_id=mode == "single")
    unpack_layer(t.archive(*top), f"{base}/top", single_id=mode == "single", lower_dirs=(f"{base}/bottom",))
    data = f"lowerdir={base}/top:{base}/bottom,upperdir={base}/upper,workdir={base}/work,userxattr"
    mount("overlay", f"{base}/merged", "overlay", 0, data)
    try:
        seen = sorted(os.fsdecode(name) for name in snapshot(f"{base}/merged") if name != b".")
        assert seen == [
            "dir",
            "dir/kept",
            "kept",
            "linked",
            "op",
            "op/new",
            "re",
            "re/new",
            "todir",
            "todir/x",
            "tofile",
        ], seen
        assert os.path.samefile(f"{base}/merged/linked", f"{base}/merged/kept")
        os.unlink(f"{base}/merged/kept")
        remove_tree(f"{base}/merged/dir")
        os.mkdir(f"{base}/merged/dir")
        with open(f"{base}/merged/dir/mine", "w") as file:
            file.write("3")
    finally:
        umount(f"{base}/merged")
    # What the kernel wrote into the upper directory becomes a layer that means the same.
    sink = io.BytesIO()
    write_layer(sink.write, f"{base}/upper", is_upper=True)
    os.mkdir(f"{base}/third", 0o755)
    unpack_layer(io.BytesIO(sink.getvalue()), f"{base}/third", single_id=mode == "single")
    mount("overlay", f"{base}/merged", "overlay", 0, f"lowerdir={base}/third:{base}/top:{base}/bottom,userxattr")
    try:
        seen = sorted(os.fsdecode(name) for name in snapshot(f"{base}/merged") if name != b".")
        assert seen == ["dir", "dir/mine", "linked", "op", "op/new", "re", "re/new", "todir", "todir/x", "tofile"], seen
    finally:
        umount(f"{base}/merged")


if __name__ == "__main__":
    {"owners": owners, "again": again, "unmapped": unmapped, "single": single, "overlay": overlay}[sys.argv[1]](
        sys.argv[2], sys.argv[3]
    )
    print("held")

"""Looking up users in an image. Origin of the answers: podman 4.3.1 with the same files."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.spec.user import Accounts, find_user, group_line, passwd_line, read_accounts

ACCOUNTS = Accounts(
    passwd=(
        ("root", "x", "0", "0", "root", "/root", "/bin/sh"),
        ("alice", "x", "1000", "1000", "", "/home/alice", "/bin/sh"),
        ("77", "x", "5", "6", "", "/seven", ""),
    ),
    group=(
        ("root", "x", "0", ""), ("alice", "x", "1000", ""), ("wheel", "x", "10", "alice"), ("video", "x", "44", "bob,alice"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (), "/root"),
        ("0", 0, 0, (0,), "/root"),
        ("alice", 1000, 1000, (1000, 10, 44), "/home/alice"),
        ("1000", 1000, 1000, (1000, 10, 44), "/home/alice"),
        ("01000", 1000, 1000, (1000, 10, 44), "/home/alice"),
        ("alice:wheel", 1000, 10, (10,), "/home/alice"),
        ("alice:5678", 1000, 5678, (5678,), "/home/alice"),
        ("4000", 4000, 0, (0,), "/"),
        ("1234:5678", 1234, 5678, (5678,), "/"),
        ("77", 5, 6, (6,), "/seven"),  # a name of digits is a name first
    ],
)
def test_users_are_found_by_name_or_number(text, uid, gid, groups, home):
    user = find_user(ACCOUNTS, text)
    assert (user.uid, user.gid, user.groups, user.home) == (uid, gid, groups, home)


def test_added_groups_are_names_or_numbers():
    assert find_user(ACCOUNTS, "alice", ("video", "99")).groups == (1000, 10, 44, 99)


@pytest.mark.parametrize("text", ["alice:", "a:b:c"])
def test_malformed_users_are_refused(text):
    with pytest.raises(Usage):
        find_user(ACCOUNTS, text)


@pytest.mark.parametrize("text", ["bob", "-1", "4294967295", "1e3", "²"])
def test_unknown_users_are_named(text):
    with pytest.raises(NotFound, match="unable to find user"):
        find_user(ACCOUNTS, text)


def test_files_are_read_inside_the_root_only(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:/bin/sh\n")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    os.symlink(outside, root / "etc/passwd")
    os.symlink("../../outside", root / "etc/group")
    accounts = read_accounts(str(root))
    assert accounts == Accounts()


def test_links_inside_the_root_are_followed(tmp_path):
    (tmp_path / "usr/share").mkdir(parents=True)
    (tmp_path / "usr/share/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    os.symlink("/usr/share", tmp_path / "etc")
    assert read_accounts(str(tmp_path)).passwd[0][0] == "root"


def test_damaged_rows_are_left_out(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(b"\xff:x:a:b\n:::\nshort\nok:x:1:2::/h:/s\nbig:x:99999999999:1::/:/\n")
    assert [row[0] for row in read_accounts(str(tmp_path)).passwd] == ["ok"]


def test_a_fifo_or_a_huge_file_does_not_hang_us(tmp_path):
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    (tmp_path / "etc/group").write_bytes(b"x" * (5 << 20))
    with pytest.raises(Refused, match="/etc/group"):
        read_accounts(str(tmp_path))


def test_rows_for_unlisted_users_follow_the_template():
    user = find_user(ACCOUNTS, "4000:4001")
    assert passwd_line(user, "") == "4000:*:4000:4001:container user:/:/bin/sh"
    assert passwd_line(user, "$USERNAME:x:$UID:$GID:$NAME:$HOME:/bin/zsh", name="me") == "me:x:4000:4001:me:/:/bin/zsh"
    assert group_line(user, "$GROUPNAME:x:$GID:$USERLIST", name="me") == "me:x:4001:me"
    with pytest.raises(Usage):
        passwd_line(user, "a\nroot::0:0::/:/bin/sh")

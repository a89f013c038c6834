"""What ``volume create --opt`` may say, driver by driver."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Refused, Usage
from rootless_pod.volumes.options import copies_up, mount_words, parse_options


def test_owners_are_taken_out_of_o_and_shown_as_podman_does() -> None:
    found = parse_options("local", {"o": "uid=5,gid=6"})
    assert (found.uid, found.gid, found.needs_mount) == (5, 6, False)
    assert found.options == {"o": "uid=5,gid=6", "UID": "5", "GID": "6"}


def test_the_rest_of_o_is_for_mount() -> None:
    found = parse_options("local", {"type": "none", "device": "/d", "o": "bind,ro,uid=5,nocopy"})
    assert found.needs_mount
    assert mount_words(found.options) == ["bind", "ro"]
    assert not copies_up(found.options)


def test_a_tmpfs_has_owner_and_size_by_its_own_options() -> None:
    found = parse_options("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5"})
    assert mount_words(found.options) == ["size=1m", "uid=5"]


def test_a_timeout_is_for_the_plugin_and_not_sent_to_it() -> None:
    found = parse_options("plug", {"o": "timeout=7,x=1", "z": "2"})
    assert (found.timeout_seconds, found.options) == (7, {"o": "x=1", "z": "2"})


@pytest.mark.parametrize(
    ("driver", "given", "said"),
    [
        ("local", {"nosuch": "1"}, "invalid mount option nosuch for driver 'local'"),
        ("local", {"o": "uid=x"}, "uid"),
        ("image", {}, "must provide an image name"),
        ("image", {"image": "a", "x": "1"}, "invalid mount option x for driver 'image'"),
    ],
)
def test_what_a_driver_does_not_know_is_an_error(driver: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(Usage, match=said):
        parse_options(driver, given)


def test_a_quota_is_refused_with_the_reason() -> None:
    with pytest.raises(Refused, match="size=1m is not supported: project quotas"):
        parse_options("local", {"o": "size=1m"})

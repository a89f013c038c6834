"""Which platform runs on which. The fall-backs are those of containerd's platforms package."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.oci.platform import Platform, choose_platform, host_platform, normalise, parse_platform, rank


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("Linux/AMD64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_are_written_in_the_spelling_of_the_spec(text, expected):
    assert str(parse_platform(text)) == expected


@pytest.mark.parametrize("text", ["", "/", "linux/", "linux//v7", "a/b/c/d"])
def test_a_broken_platform_is_a_usage_error(text):
    with pytest.raises(Usage):
        parse_platform(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v8", "linux/arm/v5", True),
        ("linux/arm64", "linux/arm/v7", False),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64", True),
    ],
)
def test_a_machine_runs_its_own_and_older_variants(wanted, offered, runs):
    assert (rank(parse_platform(wanted), parse_platform(offered)) is not None) == runs


def test_the_nearest_variant_is_chosen():
    offered = [parse_platform(text) for text in ("linux/arm/v5", "linux/arm/v6", "linux/arm64")]
    assert choose_platform(parse_platform("linux/arm/v7"), offered) == 1


def test_this_machine_has_a_platform_that_matches_itself():
    host = host_platform()
    assert host.os == "linux"
    assert normalise(host) == host
    assert choose_platform(host, [Platform(os="linux", architecture="none"), host]) == 1

"""pasta: command lines as lists."""

from __future__ import annotations

import pytest

from rootless_pod.errors import HostUnready, Usage
from rootless_pod.network.mode import parse_publish
from rootless_pod.slirp.driver import Features, HelperRequest
from rootless_pod.slirp.pasta import argv, split_options

# Options of pasta --help as of 2023-03 and (the added ones) 2024-08, which no longer has --stderr.
V2023 = Features(
    path="/bin/pasta",
    version="pasta unknown version",
    flags=("--config-net", "--dns-forward", "--netns", "--no-map-gw", "--ns-mac-addr", "--stderr"),
)
V2024 = V2023.replace(
    flags=("--config-net", "--dns-forward", "--map-guest-addr", "--netns", "--no-map-gw", "--ns-mac-addr")
)


def request(*options, publish=(), **more):
    mappings = tuple(mapping for text in publish for mapping in parse_publish(text))
    return HelperRequest(netns_path="/n/one", run_dir="/r", options=options, publish=mappings, **more)


def test_by_default_no_port_and_no_way_to_the_host():
    assert argv(V2023, request()) == (
        "/bin/pasta", "--config-net", "--foreground", "--pid", "/proc/self/fd/3", "--quiet", "--stderr", "--mtu", "65520",
        "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none", "--no-map-gw",
        "--dns-forward", "169.254.1.1", "--netns", "/n/one",
    )  # fmt: skip


def test_a_newer_pasta_gets_an_address_for_the_host():
    words = argv(V2024, request())
    assert "--stderr" not in words
    assert words[words.index("--map-guest-addr") + 1] == "169.254.1.2"


def test_ports_are_lists_of_their_protocol():
    words = argv(V2023, request(publish=["8080:80", "[::1]:8081:81", "127.0.0.1:53:53/udp"]))
    assert words[words.index("--tcp-ports") :][:6] == (
        "--tcp-ports", "8080:80", "--tcp-ports", "::1/8081:81", "--udp-ports", "127.0.0.1/53:53",
    )  # fmt: skip


def test_the_users_options_replace_ours_and_stand_before_the_namespace():
    words = argv(V2023, request("-m", "1500", "-t", "auto", "--dns-forward", "10.0.0.1", "--map-gw", "-4"))
    assert "65520" not in words
    assert "169.254.1.1" not in words
    assert "--no-map-gw" not in words
    assert "--map-gw" not in words, "podman's word, not pasta's"
    assert words.count("none") == 3
    assert words[-9:] == ("-m", "1500", "-t", "auto", "--dns-forward", "10.0.0.1", "-4", "--netns", "/n/one")


def test_address_and_mac_are_passed_on():
    words = argv(V2023, request(ip="10.0.0.9", mac="02:00:00:00:00:01"))
    assert words[words.index("--address") + 1] == "10.0.0.9"
    both = argv(V2023, request(ip="10.0.0.9", ip6="fd12::9"))
    assert [both[at + 1] for at, word in enumerate(both) if word == "--address"] == ["10.0.0.9", "fd12::9"]
    assert words[words.index("--ns-mac-addr") + 1] == "02:00:00:00:00:01"


@pytest.mark.parametrize(
    "word", ["-f", "--foreground", "-P", "--pid=/x", "--netns", "--userns", "--no-netns-quit", "-l"]
)
def test_options_that_hold_the_life_cycle_stay_ours(word):
    with pytest.raises(Usage, match="rpod sets it"):
        split_options((word,))


def test_a_pasta_without_config_net_is_too_old():
    with pytest.raises(HostUnready, match="--config-net"):
        argv(V2023.replace(flags=("--netns",)), request())

"""--personality and --seccomp-policy: what the process sees and may do."""

from __future__ import annotations

import json
import platform
import shutil

import pytest

pytestmark = pytest.mark.kernel
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="LINUX32 has another name there")
@pytest.mark.skipif(shutil.which("crun") is None, reason="runc knows no personality")
def test_personality_shows_another_machine(img):
    once = ("run", "--rm", "--network", "none")
    assert img(*once, "--personality", "LINUX32", "img", "uname", "-m") == "i686\n"
    assert img(*once, "--personality", "linux", "img", "uname", "-m") == "x86_64\n"
    assert "no such execution domain" in img.error(*once, "--personality", "BSD", "img", "true")


def test_an_image_brings_its_seccomp_profile_if_that_is_wanted(img):
    img("run", "--name", "one", "--network", "none", "img", "true")
    label = f"LABEL io.containers.seccomp.profile='{json.dumps(PROFILE)}'"
    img("commit", "-q", "-c", label, "one", "localhost/careful")
    once = ("run", "--rm", "--network", "none")
    make = ("localhost/careful", "mkdir", "/tmp/made")
    try:
        img(*once, *make)
        assert img.run(*once, "--seccomp-policy", "image", *make).returncode == 1
        img(*once, "--seccomp-policy", "image", "--security-opt", "seccomp=unconfined", *make)
        img(*once, "--seccomp-policy", "image", "img", "mkdir", "/tmp/made")
    finally:
        img("rm", "one")
        img("rmi", "localhost/careful")


@pytest.mark.skipif(shutil.which("pasta") is None, reason="only pasta gives an IPv6 address that is asked for")
def test_an_ipv6_address_is_the_containers_and_the_pods(img):
    hexadecimal = "fd0000000000000000000000000000"
    said = img("run", "--rm", "--network", "pasta", "--ip6", "fd00::77", "img", "cat", "/proc/net/if_inet6")
    assert f"{hexadecimal}77" in said
    img("pod", "create", "--name", "six", "--network", "pasta", "--ip6", "fd00::78")
    try:
        assert f"{hexadecimal}78" in img("run", "--rm", "--pod", "six", "img", "cat", "/proc/net/if_inet6")
    finally:
        img("pod", "rm", "-f", "-t", "0", "six")
    for words in (("--network", "none", "--ip6", "fd00::77"), ("--ip6", "bogus")):
        assert "--ip6" in img.error("run", "--rm", *words, "img", "true")

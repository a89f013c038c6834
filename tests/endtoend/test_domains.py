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

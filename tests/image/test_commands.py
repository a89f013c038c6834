"""The image commands as an unprivileged user types them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.kernel


@pytest.fixture
def layout(make_image, user_dir):
    made = make_image(
        {"bin": None, "bin/tool": b"#!/bin/sh\n", "gone": b"old", "dir": None, "dir/old": b"x"},
        {".wh.gone": b"", "dir": None, "dir/.wh..wh..opq": b"", "dir/new": b"y"},
    )
    made.path = made.write_layout(f"{user_dir}/layout", "example.org/team/app:1")
    subprocess.run(["chmod", "-R", "a+rX", made.path], check=True)
    return made


def test_pull_images_inspect_history_tag_and_rmi_speak_as_podman_does(rpod, layout):
    image_id = layout.config_digest.removeprefix("sha256:")
    assert rpod("pull", f"oci:{layout.path}") == f"{image_id}\n"
    assert f"Copying blob {layout.layers[0]['digest']}" in rpod.stderr
    lines = rpod("images").splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert lines[1].split()[:3] == ["example.org/team/app", "1", image_id[:12]]
    assert rpod("images", "-q") == f"{image_id[:12]}\n"
    assert rpod("images", "-q", "--no-trunc") == f"sha256:{image_id}\n"
    assert (
        rpod("images", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}")
        == f"example.org/team/app:1 {layout.digest}\n"
    )
    (found,) = json.loads(rpod("images", "--format", "json"))
    assert (found["Id"], found["Names"], found["Digest"]) == (image_id, ["example.org/team/app:1"], layout.digest)
    (found,) = json.loads(rpod("image", "inspect", "app:1"))
    assert found["Id"] == image_id
    assert rpod("image", "inspect", "--format", "{{.Config.Labels.kind}}", image_id[:8]) == "test\n"
    assert [step["CreatedBy"] for step in json.loads(rpod("history", "--format", "json", "app:1"))] == [
        "step 1",
        "step 0",
    ]
    rpod("tag", "app:1", "other")
    assert rpod("images", "--format", "{{.Repository}}", "other") == "localhost/other\n"
    assert "localhost/other" in rpod("images", "--filter", "reference=other", "--format", "{{.Repository}}")
    assert rpod("images", "-q", "--filter", "reference=none") == ""
    assert rpod("images", "-q", "--filter", "label=kind=test", "--filter", "dangling=false")
    assert rpod("images", "-q", "--filter", "before=other") == ""
    assert rpod("rmi", "other") == "Untagged: localhost/other:latest\n"
    assert rpod("rmi", "app:1") == f"Untagged: example.org/team/app:1\nDeleted: {image_id}\n"
    assert rpod("images", "-n") == ""
    rpod("rmi", "app:1", code=1)
    assert "no image" in rpod.stderr
    rpod("rmi", "-i", "app:1")


def test_rmi_leaves_no_layer_and_no_blob(rpod, layout, user_dir):
    rpod("pull", "-q", f"oci:{layout.path}")
    assert len(os.listdir(f"{user_dir}/root/layers")) == 2
    rpod("rmi", "-a", "-f")
    assert os.listdir(f"{user_dir}/root/layers") == []
    assert os.listdir(f"{user_dir}/root/image/blobs/sha256") == []


def test_image_exists_answers_by_its_exit_code(rpod, layout):
    rpod("image", "exists", "app:1", code=1)
    assert rpod.stderr == ""
    rpod("pull", "-q", f"oci:{layout.path}")
    rpod("image", "exists", "app:1")


def test_save_and_load_through_pipes(rpod, layout):
    image_id = rpod("pull", "-q", f"oci:{layout.path}").strip()
    for output_format in ("docker-archive", "oci-archive"):
        archive = rpod("save", "--format", output_format, "app:1", as_bytes=True)
        rpod("rmi", "-f", image_id)
        assert rpod("load", stdin=archive) == "Loaded image: example.org/team/app:1\n"
        assert rpod("images", "-q", "--no-trunc") == f"sha256:{image_id}\n"
    rpod("load", stdin=archive[: len(archive) // 2], code=125)
    assert "cut off" in rpod.stderr or "not a whole tar archive" in rpod.stderr
    rpod("load", "-i", "/nonexistent", code=125)


def test_quiet_pulls_print_only_the_id(rpod, layout):
    rpod("pull", "-q", f"oci:{layout.path}")
    assert rpod.stderr == ""


def test_a_pull_that_fails_says_what_to_do_and_ends_with_125(rpod):
    assert rpod("pull", "127.0.0.1:9/none", code=125) == ""
    assert "cannot reach registry 127.0.0.1:9" in rpod.stderr
    rpod("pull", "Bad", code=125)
    assert "lower case" in rpod.stderr
    rpod("pull", "--platform", "linux/arm64", "--arch", "arm64", "x", code=125)


@pytest.mark.registry
def test_a_pull_from_a_real_registry_gives_the_tree_podman_would(rpod, layout, real_registry, skopeo, user_dir):
    host, creds = real_registry
    login = ["--dest-creds", creds] if creds else []
    skopeo(
        "copy", "--dest-tls-verify=false", *login, f"oci:{layout.path}:example.org/team/app:1", f"docker://{host}/app:1"
    )
    rpod("pull", "--tls-verify=false", *(["--creds", creds] if creds else []), f"{host}/app:1")
    (found,) = json.loads(rpod("image", "inspect", f"{host}/app:1"))
    assert found["Digest"] == layout.digest
    assert found["RepoDigests"] == [f"{host}/app@{layout.digest}"]
    top = pathlib.Path(found["GraphDriver"]["Data"]["UpperDir"])
    assert os.stat(top / "gone").st_rdev == 0
    assert not (top / ".wh.gone").exists()
    assert os.getxattr(top / "dir", "user.overlay.opaque") == b"y"

"""A short form of scripts/fuzz, and what its runs have found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rootless_pod.config.registries import read_registries
from rootless_pod.errors import Corrupt, Refused, Usage
from rootless_pod.image.layout import Layout
from rootless_pod.image.trust.policy import read_policy
from rootless_pod.image.trust.registriesd import read_registries_d
from rootless_pod.state.lock import Lock
from rootless_pod.storage.beneath import clean_name

TOP = Path(__file__).parents[2]
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.slow
def test_twelve_seconds_of_fuzzing_find_no_crash(tmp_path):
    # In a process of its own: it sets a timer, a memory limit and the working directory.
    words = [sys.executable, str(TOP / "scripts/fuzz.py"), "--minutes", "0.2", "--crashes", str(tmp_path / "crashes")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no crash" in done.stdout
    assert not (tmp_path / "crashes").exists()


def test_a_crash_fails_the_run_and_is_kept_with_its_seed(tmp_path):
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz\n"
        "def broken(place, data): raise KeyError('planted')\n"
        "fuzz.TARGETS['log'] = (broken, ())\n"
        "sys.exit(fuzz.main())"
    )
    words = [sys.executable, "-c", script, str(TOP / "scripts"), "--minutes", "0.05", "--seed", "5", "--only", "log"]
    done = subprocess.run([*words, "--crashes", str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "fuzz: seed 5" in done.stdout
    (report,) = tmp_path.glob("log-*.txt")
    assert "planted" in report.read_text()
    assert report.with_suffix("").exists()


def test_a_reader_that_writes_outside_or_hangs_is_found_out(tmp_path):
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz, os, io\n"
        "fuzz.TIME_LIMIT = 0.2\n"
        "def touches(stream, path, **_more): open(path + '/../outside/evil', 'w').close()\n"
        "def hangs(place, data):\n while True: pass\n"
        "fuzz.unpack_layer = touches\n"
        "fuzz.TARGETS['log'] = (hangs, ())\n"
        "sys.exit(fuzz.main())"
    )
    words = [
        sys.executable,
        "-c",
        script,
        str(TOP / "scripts"),
        "--minutes",
        "0.05",
        "--seed",
        "5",
        "--only",
        "tar,log",
    ]
    done = subprocess.run([*words, "--crashes", str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert "CRASH in tar" in done.stdout, done.stdout + done.stderr
    assert "changed outside" in done.stdout
    assert "takes more than" in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": True},
        {"annotations": {"a": 1}},
        {"mediaType": 3},
        {"digest": None},
        {"size": "1"},
        {"size": True},
    ],
    ids=str,
)
def test_a_store_index_with_a_field_of_the_wrong_kind_is_damaged(tmp_path, change):
    row = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 2, **change}
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [row]}))
    with pytest.raises(Corrupt, match=r"index\.json is damaged"):
        Layout(str(tmp_path), str(tmp_path / "lock")).entries()


@pytest.mark.parametrize(
    "text",
    [
        "[registries.block]\nregistries = 1979-05-27",
        "[registries.block]\nregistries = [[]]",
        "[registries]\nsearch = 1",
        "[[registry]]\nlocation = 'a'\nmirror = 1",
        "[[registry]]\nlocation = 'a'\nmirror = ['b']",
        "x = " + "9" * 5000,
        "x = " + "[" * 5000,
    ],
    ids=["date", "list in a list", "no table", "mirror", "mirror's name", "endless number", "endless list"],
)  # fmt: skip
def test_a_registries_conf_of_the_wrong_kinds_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "r.conf").write_text(text)
    with pytest.raises(Usage, match=r"r\.conf"):
        read_registries((str(tmp_path / "r.conf"),))


@pytest.mark.parametrize("name", [b"a//", b"a///", b"./a//", b"/a//"])
def test_slashes_at_the_end_of_a_name_are_no_fault_of_the_host(name):
    assert clean_name(name) == b"a"


def test_an_index_that_a_killed_command_half_wrote_is_swept_but_not_under_a_living_writer(tmp_path):
    # Found by scripts/kill-test-images.
    layout = Layout(str(tmp_path / "image"), str(tmp_path / "lock"))
    layout.prepare()
    left = tmp_path / "image/.index.json.7.abcdef.tmp"
    left.write_text("{")
    with Lock(str(tmp_path / "lock")):
        layout.sweep()
        assert left.exists()
    layout.sweep()
    assert not left.exists()
    assert (tmp_path / "image/oci-layout").exists()


@pytest.mark.parametrize("data", ["\ud800", "é"])
def test_a_policy_whose_key_is_not_base64_is_refused(tmp_path, data):
    (tmp_path / "policy.json").write_text(json.dumps({"default": [{"type": "sigstoreSigned", "keyData": data}]}))
    with pytest.raises(Refused, match="not base64"):
        read_policy(str(tmp_path / "policy.json"))


def test_a_registries_d_file_nested_without_end_is_refused(tmp_path):
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    with pytest.raises(Refused, match=r"deep\.yaml"):
        read_registries_d(str(tmp_path))

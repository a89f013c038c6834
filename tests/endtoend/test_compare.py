"""A sample of the command lines of tests/compare, through podman and through rpod: scripts/compare-podman runs them all."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import RPOD

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import compare_podman  # noqa: E402 - the path comes first


@pytest.mark.peer
@pytest.mark.timeout(300)
def test_a_sample_of_command_lines_ends_and_prints_as_with_podman() -> None:
    if shutil.which("podman") is None:
        if os.environ.get("CI"):
            pytest.fail("podman is not installed, and CI must have it")
        pytest.skip("podman is not installed")
    first = differences()
    # podman itself may be a moment late (a container it is still removing): what differs must differ twice.
    again = differences() if first else {}
    assert not first.keys() & again.keys(), "\n".join({**first, **again}.values())


def differences() -> dict[str, str]:
    """Play the sample; return what was said of each line that differs."""
    said: dict[str, str] = {}

    def note(result: compare_podman.Result, _theirs: compare_podman.Answer, ours: compare_podman.Answer) -> None:
        if not result.good:
            words = [f"{result.word}: {result.line.run}", *result.found, *ours.err.splitlines()[-3:]]
            said[result.line.run] = "\n  ".join(words)

    with compare_podman.Stage([RPOD]) as tools:
        results = compare_podman.play_all(compare_podman.read_scenes(quick=True), tools, note)
    assert len(results) >= 60
    return said

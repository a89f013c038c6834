"""Every two drivers together, in the fewest combinations; ``scripts/support`` tries them all and writes docs/support.md."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import RPOD, Rpod

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "scripts"))

import support  # noqa: E402 - the script's own module


def missing(names: tuple[str, str, str]) -> list[str]:
    """Return what of a combination is not installed."""
    programs = [name for name in names if name not in ("overlay", "pyfuse3", "copy") and shutil.which(name) is None]
    return programs + (["pyfuse3"] if "pyfuse3" in names and importlib.util.find_spec("pyfuse3") is None else [])


@pytest.mark.kernel
@pytest.mark.parametrize("names", support.pairs(), ids="-".join)
def test_login_a_combination_works_from_the_first_pull_to_the_last_trace(names: tuple[str, str, str]) -> None:
    if absent := missing(names):
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {', '.join(absent)}")
        pytest.skip(f"not installed: {', '.join(absent)}")
    said = support.Trial(RPOD, *names).results()
    assert {step: words for step, words in said.items() if words} == {}


def test_login_exec_as_an_id_the_container_does_not_have_says_which_it_has(img: Rpod, debian: bool) -> None:
    img("run", "-d", "--name", "one", "--network", "none", "img", "sleep", "100")
    assert "user id 70000 does not exist in container one" in img.error("exec", "--user", "70000", "one", "id")
    if debian:
        assert img("exec", "--user", "0", "one", "id", "-u").strip() == "0"
    elif "crun" in img("info", "--format", "{{.Host.OCIRuntime.Name}}"):
        assert "it has 1000\n" in img.error("exec", "--user", "0", "one", "id")


def test_the_short_form_holds_every_pair_of_drivers() -> None:
    every = support.combinations([])
    assert len(every) == 16
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert {(one[first], one[second]) for one in support.pairs()} == {(one[first], one[second]) for one in every}


def test_the_page_has_every_combination_for_both_kinds_of_ids_and_says_when_it_was_written() -> None:
    page = support.PAGE.read_text()
    for ids in support.IDS:
        _before, _title, section = page.partition(f"## {ids}\n")
        rows = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \| .*$", section.partition("\n## ")[0], re.MULTILINE)
        assert [row for row in rows if row[0] != "runtime"] == support.combinations([])
        assert re.search(r"^- \d{4}-\d\d-\d\d, rpod version", section, re.MULTILINE)


def test_a_half_of_the_page_replaces_its_own_half_only() -> None:
    rows = [(("crun", "overlay", "pasta"), {"pull": "", "run": "went wrong", "stop": "not tried"})]
    one = support.half("single id", rows, ["2026-01-02, rpod version 0"])
    assert "| crun | overlay | pasta | yes | **no** | - |" in one
    assert "- crun, overlay, pasta, run: went wrong" in one
    both = support.merged(support.merged("", [one]), [support.half("sub-ids", rows, ["other"])])
    assert both.index("## sub-ids") < both.index("## single id")
    again = support.merged(both, [support.half("sub-ids", [], ["newer"])])
    assert "newer" in again
    assert "other" not in again
    assert again.partition("## single id")[2] == both.partition("## single id")[2]

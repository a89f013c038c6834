"""What no committed file may hold, and what every checkout must have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
# Put together here so that this file does not hold them itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error"]) + r")\b")
PACKAGE_HOSTS = re.compile(
    "|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "crates" + r"\.io", "registry" + r"\.npmjs"])
)
MACHINE_PATHS = re.compile("|".join(["/wor" + r"k/(main|shared|\.library)", "/tmp/ve" + "nv", "/home/" + "rpod"]))
BARE_SILENCE = re.compile(r"#\s*noqa\s*(?!:)|#\s*type:\s*ignore\s*(?!\[)")
GENERATED = re.compile(
    r"(^|/)(__pycache__|[^/]*\.egg-info|dist|build|\.mypy_cache|\.ruff_cache|\.hypothesis|\.venv)(/|$)|\.pyc$"
)


def committed() -> list[Path]:
    if not (TOP / ".git").exists():
        skipped = {".git", ".venv", "__pycache__"}
        return [p for p in sorted(TOP.rglob("*")) if p.is_file() and not skipped & set(p.parts)]
    argv = ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z"]
    listed = subprocess.run(argv, cwd=TOP, capture_output=True, check=True).stdout
    return [TOP / name for name in listed.decode().split("\0") if name and (TOP / name).is_file()]


def hits(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(TOP)}:{number}: {line.strip()[:120]}")
    return found


def test_nothing_is_left_unfinished() -> None:
    assert hits(UNFINISHED, [p for p in committed() if p.name != "LICENSE"]) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert hits(PACKAGE_HOSTS, committed()) == []


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    assert hits(MACHINE_PATHS, committed()) == []


def test_silencing_a_checker_names_the_rule() -> None:
    assert hits(BARE_SILENCE, [p for p in committed() if p.suffix == ".py" and p != Path(__file__)]) == []


def test_nothing_generated_is_committed() -> None:
    assert [str(p) for p in committed() if GENERATED.search(str(p.relative_to(TOP)))] == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".ci/run"])
def test_a_checkout_has(name: str) -> None:
    assert (TOP / name).is_file()


def test_scripts_can_be_run_and_say_what_they_are_for() -> None:
    for path in [*sorted((TOP / "scripts").iterdir()), TOP / ".ci/run", TOP / "bin/rpod"]:
        if path.name == "lib.sh" or not path.is_file() or path.suffix in (".py", ".json"):
            continue
        first, second = path.read_text().splitlines()[:2]
        assert first.startswith("#!"), path
        assert path.stat().st_mode & 0o111, path
        assert path.parent.name == ".ci" or second.startswith(("#", '"""')), path


def test_every_dependency_has_a_reason_beside_it() -> None:
    text = (TOP / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[tool.setuptools]")]
    bare = [line for line in block.splitlines() if line.strip().startswith('"') and "#" not in line]
    assert bare == []


def test_every_ignored_rule_has_a_reason_beside_it() -> None:
    text = (TOP / "pyproject.toml").read_text()
    block = text[text.index("ignore = [") : text.index("[tool.ruff.lint.per-file-ignores]")]
    bare = [line for line in block.splitlines() if line.strip().startswith('"') and "#" not in line]
    assert bare == []

"""What every module of the package has in common."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rootless_pod"
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_NAMES = ("manager", "util", "utils", "helper", "helpers", "common", "core", "base", "misc", "data")
LONGEST = 400


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=_name)
def test_every_package_file_is_empty(path: Path) -> None:
    assert path.read_text() == ""


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=_name)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_has_a_name_that_says_something(path: Path) -> None:
    words = path.stem.split("_") if path.stem != "__init__" else path.parent.name.split("_")
    assert not set(words) & set(NO_NAMES)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_linux_and_ctime_use_ctypes(path: Path) -> None:
    if path.parent.name in ("linux", "ctime"):
        return
    names = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "ctypes" not in names


def test_every_directory_with_modules_is_a_package() -> None:
    bare = {p.parent for p in MODULES if not (p.parent / "__init__.py").exists()}
    assert not bare

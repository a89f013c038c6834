"""Who may call whom, held by import-linter; and what only one place may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "rootless_pod"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Faces that no command uses yet: layers are written by commit and push, addresses are read by an inspecting network.
GIVEN_AHEAD = {
    "rootless_pod.storage.diff",
    "rootless_pod.network.resolver_start",
    "rootless_pod.network.address",
    "rootless_pod.spec.describe",
}


def test_a_room_imports_only_rooms_below_it() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed: pip install 'rootless_pod[dev]'")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def _calls(tree: ast.AST, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for node in ast.walk(tree)
    )


def test_programs_are_started_in_one_place() -> None:
    users = {
        str(path.relative_to(PACKAGE)) for path in MODULES if "subprocess" in _imported(ast.parse(path.read_text()))
    }
    assert users == set()


def test_only_the_command_line_prints() -> None:
    printing = {path.relative_to(PACKAGE).parts[0] for path in MODULES if _calls(ast.parse(path.read_text()), "print")}
    assert printing <= {"commands", "cli.py", "ctime"}


def test_no_module_is_imported_only_by_tests() -> None:
    """A command is found by its file, and a few programs are started as ``python -m`` or by path."""
    used = {"rootless_pod.__main__", "rootless_pod.ctime.__main__", "rootless_pod.cli"}
    for path in MODULES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module)
                used.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    names = {".".join(path.relative_to(TOP).with_suffix("").parts) for path in MODULES if path.name != "__init__.py"}
    assert {name for name in names - used - GIVEN_AHEAD if not name.startswith("rootless_pod.commands.")} == set()

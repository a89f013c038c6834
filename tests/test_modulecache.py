"""The file of a hot command's modules: used when current, never trusted beyond that."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rootless_pod.modulecache import ModuleCache, _command_in

TOP = Path(__file__).parents[1]
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from rootless_pod import modulecache
modulecache.install(sys.argv[2:])
import rootless_pod.errors
print(getattr(rootless_pod.errors, "MARK", "none"), type(rootless_pod.errors.__loader__).__name__)
modulecache.save()
"""


TOGETHER = SCRIPT.replace(
    "type(rootless_pod.errors.__loader__).__name__)",
    'type(rootless_pod.errors.__loader__).__name__, "together", len(modulecache._installed.together), '
    "rootless_pod.errors.__spec__.origin == rootless_pod.errors.__file__, rootless_pod.errors.__package__)",
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's start, which a test may change."""
    place = tmp_path / "top" / "rootless_pod"
    place.mkdir(parents=True)
    for name in ("__init__.py", "modulecache.py", "errors.py"):
        (place / name).write_text((TOP / "rootless_pod" / name).read_text())
    (tmp_path / "run" / "rootless-pod").mkdir(parents=True, mode=0o700)
    return place


def start(package: Path, *argv: str, script: str = SCRIPT) -> str:
    env = {**os.environ, "XDG_RUNTIME_DIR": str(package.parents[1] / "run")}
    words = [sys.executable, "-I", "-S", "-c", script, str(package.parent), *argv]
    return subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout.strip()


def test_the_second_start_takes_modules_from_the_file(package: Path) -> None:
    assert start(package, "run") == "none SourceFileLoader"
    assert start(package, "run") == "none ModuleCache"


def test_the_third_start_imports_in_one_go_what_the_second_imported(package: Path) -> None:
    assert "together 0" in start(package, "run", script=TOGETHER)
    assert "together 0" in start(package, "run", script=TOGETHER)
    assert start(package, "run", script=TOGETHER) == "none ModuleCache together 1 True rootless_pod"
    with (package / "errors.py").open("a") as file:
        file.write('MARK = "changed"\n')
    assert start(package, "run", script=TOGETHER).startswith("changed SourceFileLoader")
    assert start(package, "run", script=TOGETHER).startswith("changed ModuleCache together 0")
    assert start(package, "run", script=TOGETHER).startswith("changed ModuleCache together 1")


@pytest.mark.parametrize("before", [0, 2])
def test_a_changed_module_is_used_at_once_and_kept(package: Path, before: int) -> None:
    for _ in range(before + 1):
        start(package, "run")
    with (package / "errors.py").open("a") as file:
        file.write('MARK = "changed"\n')
    assert start(package, "run") == "changed SourceFileLoader"
    assert start(package, "run") == "changed ModuleCache"


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xe3" * 100])
def test_a_damaged_file_is_made_anew(package: Path, content: bytes) -> None:
    start(package, "run")
    (file,) = (package.parents[1] / "run" / "rootless-pod").iterdir()
    file.write_bytes(content)
    assert start(package, "run") == "none SourceFileLoader"
    assert start(package, "run") == "none ModuleCache"


def test_a_file_without_its_end_is_made_anew(package: Path) -> None:
    start(package, "run")
    (file,) = (package.parents[1] / "run" / "rootless-pod").iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert start(package, "run") == "none SourceFileLoader"
    assert start(package, "run") == "none ModuleCache"


@pytest.mark.parametrize(("index", "together"), [([], {}), ({}, [])])
def test_a_file_of_another_kind_is_made_anew(package: Path, index: object, together: object) -> None:
    start(package, "run")
    (file,) = (package.parents[1] / "run" / "rootless-pod").iterdir()
    second = marshal.dumps(together)
    first = marshal.dumps((index, len(second)))
    sizes = (len(first), 16 + len(first) + len(second))
    file.write_bytes(b"".join(size.to_bytes(8, "big") for size in sizes) + first + second)
    assert start(package, "run") == "none SourceFileLoader"
    assert start(package, "run") == "none ModuleCache"


def test_a_directory_that_others_may_write_is_not_used(package: Path) -> None:
    directory = package.parents[1] / "run" / "rootless-pod"
    directory.chmod(0o777)
    start(package, "run")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["run", "img"], "run"),
        (["--root", "/x", "--log-level=debug", "ps"], "ps"),
        (["version", "run"], None),
        (["container", "cleanup", "x"], "container-cleanup"),
        (["container", "--help"], "container"),
        (["container", "../x"], "container"),
        (["--version"], None),
        ([], None),
    ],
)
def test_the_command_is_the_first_word_that_is_no_options_value(argv: list[str], command: str | None) -> None:
    assert _command_in(argv) == command


def files_in(package: Path) -> set[str]:
    return {file.name for file in (package.parents[1] / "run" / "rootless-pod").iterdir()}


def test_files_of_trees_that_are_gone_go_when_one_is_written(package: Path) -> None:
    runtime = package.parents[1] / "run" / "rootless-pod"
    (runtime / "modules-cpython-311-run-%no%such%tree").touch()
    (runtime / "modules-cpython-311-run-%no%such%tree.new").touch()
    (runtime / "something-else").touch()
    start(package, "run")
    assert "something-else" in files_in(package)
    assert not [name for name in files_in(package) if "no%such%tree" in name]


def test_the_three_trees_used_last_keep_theirs(package: Path, tmp_path: Path) -> None:
    runtime = package.parents[1] / "run" / "rootless-pod"
    trees = []
    for number in range(5):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        for command in ("run", "ps"):
            trees.append(f"modules-cpython-311-{command}-{str(tree).replace('/', '%')}")
            (runtime / trees[-1]).touch()
            os.utime(runtime / trees[-1], (1000 + number, 1000 + number))
    os.utime(runtime / trees[0], (2000, 500))  # read last, written first
    start(package, "run")
    start(package, "ps")
    own = {name for name in files_in(package) if name not in trees}
    assert len(own) == 2
    assert files_in(package) - own == {trees[0], trees[1], trees[8], trees[9]}


@pytest.mark.kernel
def test_runtime_directories_have_the_users_id_in_a_shell_of_unshare_too(tmp_path):
    if os.getuid() == 0:
        pytest.skip("to be run without root")
    words = (
        "from rootless_pod.modulecache import private_directory\n"
        "from rootless_pod.paths import find_paths\n"
        "print(find_paths('/nowhere').runroot, private_directory())\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def said(*before, **more):
        argv = [*before, sys.executable, "-c", words]
        return subprocess.run(argv, env=environment | more, capture_output=True, text=True, check=True).stdout

    outside = said()
    assert str(os.getuid()) in outside
    assert said("unshare", "-Ur", _RPOD_INSIDE="1") == outside


def test_a_module_that_is_replaced_while_it_is_read_is_not_taken_for_the_new_one(tmp_path, monkeypatch):
    source = tmp_path / "rootless_pod_other.py"
    source.write_text("old = 1")

    class Loader:
        def get_code(self, _name):
            code = compile(source.read_text(), str(source), "exec")
            source.write_text("replaced = 1")
            return code

    module = ModuleType("rootless_pod_other")
    module.__file__, module.__loader__ = str(source), Loader()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cache = ModuleCache(str(tmp_path / "cache"), str(tmp_path))
    assert cache.find_spec(module.__name__) is None
    cache.save()
    assert module.__name__ in ModuleCache(str(tmp_path / "cache"), str(tmp_path)).entries
    assert ModuleCache(str(tmp_path / "cache"), str(tmp_path)).find_spec(module.__name__) is None

"""The door: dispatch, words and exit codes of failures, start-up cost, the script in every place it may stand."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

from rootless_pod.commands.declare import Globals
from rootless_pod.commands.globals import GLOBAL_OPTIONS
from rootless_pod.commands.version import VERSION

REPO = pathlib.Path(__file__).parents[1]
SCRIPT = REPO / "bin" / "rpod"
# asyncio and the rest: what a hot command may not pay for. Source: ARCHITECTURE, decision 8.
HEAVY = (
    *("typer", "rich", "click", "asyncio", "ssl", "http", "subprocess", "tempfile", "shutil", "typing", "re"),
    *("dataclasses", "pathlib", "json", "argparse", "inspect", "logging", "contextlib", "socket", "enum", "site"),
)


def rpod(*words, script=SCRIPT, **more):
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **more.pop("env", {})}
    return subprocess.run(
        [str(script), *words], capture_output=True, text=True, timeout=60, env=environment, check=False, **more
    )


def isolated(code, *words, **more):
    """Run ``code`` as rpod is run: isolated, without site."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(REPO)!r})\n{code}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


def with_command(body, **more):
    """Run a command whose ``main`` is ``body``."""
    return isolated(
        "import types, sys, os\n"
        "from rootless_pod.commands import index\n"
        "from rootless_pod.commands.declare import Command\n"
        "from rootless_pod.errors import NotFound\n"
        "from rootless_pod import cli\n"
        "def main(call):\n"
        f"    {body}\n"
        "module = types.ModuleType('rootless_pod.commands.probe')\n"
        "module.COMMAND, module.main = Command(name='probe', summary='', needs_userns=False), main\n"
        "sys.modules[module.__name__] = module\n"
        "index.COMMANDS['probe'] = ('probe', '')\n"
        "sys.argv = ['rpod', 'probe']\n"
        "cli.entry()\n",
        **more,
    )


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION
    for words in (["--version"], ["-v"]):
        done = rpod(*words)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"rpod version {VERSION}\n", "")


def test_version_is_a_table_json_or_a_template():
    assert rpod("version").stdout.startswith(f"Client:         rpod\nVersion:        {VERSION}\nPython Version: 3.")
    assert rpod("version", "--format", "{{.Client.Version}}").stdout == f"{VERSION}\n"
    assert f'"Version": "{VERSION}"' in rpod("version", "-f", "json").stdout


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["Error: no command given", "  run 'rpod --help' for the list of commands"]),
        (["contaner"], ["Error: unknown command 'rpod contaner'", "  use 'rpod container', or run 'rpod --help'"]),
        (["pss"], ["Error: unknown command 'rpod pss'", "  use 'rpod ps', or run 'rpod --help'"]),
        (["zzzzzz"], ["Error: unknown command 'rpod zzzzzz'", "  run 'rpod --help' for the list"]),
        (
            ["container", "lss"],
            [
                "Error: unknown command 'rpod container lss'",
                "  use 'rpod container ls', or run 'rpod container --help'",
            ],
        ),
        (["container"], ["Error: no command of 'rpod container' given", "  run 'rpod container --help' for the list"]),
        (["--rot", "x"], ["Error: unknown option --rot", "  use --root, or see 'rpod --help'"]),
        (
            ["version", "--fromat", "x"],
            ["Error: unknown option --fromat", "  use --format, or see 'rpod version --help'"],
        ),
        (["image", "exists"], ["Error: missing argument IMAGE", "  see 'rpod image exists --help'"]),
        (["--root", "", "version"], ["Error: option --root is empty", "  give a directory: --root DIR"]),
        (
            ["--log-level", "loud", "version"],
            [
                "Error: option --log-level: 'loud' is not one of trace, debug, info, warn, warning, error, fatal, panic",
                "  see 'rpod --help'",
            ],
        ),
        (
            ["--url", "unix:///x", "version"],
            [
                "Error: option --url cannot be used: rpod has no service to speak to, each command does its own work",
                "  leave the option out",
            ],
        ),
        (
            ["version", "--format", "{{.Nope}}"],
            [
                "Error: template, line 1, character 3: there is no field .Nope",
                "  see the Go template syntax (https://pkg.go.dev/text/template), such as '{{.ID}} {{.Names}}'",
            ],
        ),
    ],
)
def test_a_usage_error_is_said_with_its_remedy_and_exits_with_125(words, lines):
    done = rpod(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.splitlines() == lines


def test_global_options_may_follow_the_command():
    assert rpod("version", "--log-level", "debug", "--root=/x", "-f", "{{.Client.Os}}").stdout == "linux\n"
    assert rpod("version", "--cgroup-manager=cgroupfs", "-f", "{{.Client.Os}}").stdout == "linux\n"
    assert "put the directory" in rpod("version", "--network-cmd-path=/x").stderr


def test_every_global_option_acts_or_is_refused_with_a_remedy(tmp_path):
    for option in GLOBAL_OPTIONS:
        if option.name == "--version":
            continue
        done = rpod(f"{option.name}={'true' if option.kind == 'flag' else 'nonsense'}", "version", cwd=tmp_path)
        if option.refuse:
            assert (done.returncode, len(done.stderr.splitlines())) == (125, 2), option.name
        else:
            assert option.key in Globals._fields


def test_an_expected_failure_has_its_own_exit_code():
    done = with_command("raise NotFound('no such thing', remedy='make it', exit_code=127)")
    assert (done.returncode, done.stderr) == (127, "Error: no such thing\n  make it\n")


def test_a_name_out_of_an_image_gives_no_orders_to_the_terminal():
    done = with_command(r"raise NotFound('no \x1b[31mfile\x9b \u00fc', remedy='a\n\tb', exit_code=127)")
    assert done.stderr == "Error: no \\x1b[31mfile\\x9b \u00fc\n  a\n\tb\n"


def test_a_bug_shows_its_traceback_and_where_to_report_it():
    done = with_command("return 1 // 0")
    assert done.returncode == 125
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("this is a bug in rpod")


def test_a_full_disk_is_no_bug_wherever_it_is_met():
    done = with_command("raise OSError(28, os.strerror(28), '/store/x')")
    assert (done.returncode, done.stderr.splitlines()[0]) == (125, "Error: no space left on device (/store/x)")
    assert "rpod info" in done.stderr


def test_a_call_that_means_something_else_by_the_number_of_a_full_disk_is_a_bug():
    done = with_command("raise OSError(28, 'unshare: ' + os.strerror(28))")
    assert "this is a bug" in done.stderr


def test_an_interrupt_is_silent_and_130():
    done = with_command("raise KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("body", ["print('x' * 200000)", "print('x')", "os.write(1, b'x')"])
def test_a_reader_that_went_away_is_no_complaint(body):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PIPE.replace("BODY", body).replace("REPO", str(REPO))],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


PIPE = """
import sys, types, os; sys.path.append("REPO")
from rootless_pod.commands import index
from rootless_pod.commands.declare import Command
from rootless_pod import cli
def main(call):
    BODY
    return 0
module = types.ModuleType("rootless_pod.commands.probe")
module.COMMAND, module.main = Command(name="probe", summary="", needs_userns=False), main
sys.modules[module.__name__] = module
index.COMMANDS["probe"] = ("probe", "")
sys.argv = ["rpod", "probe"]
cli.entry()
"""


def test_output_and_exit_code_survive_the_short_way_out():
    done = with_command("print('out'); sys.stderr.write('err'); return 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err")


def test_what_asked_to_be_called_at_exit_is_called():
    done = with_command("import atexit; atexit.register(print, 'bye'); return 3")
    assert (done.returncode, done.stdout) == (3, "bye\n")


@pytest.mark.parametrize("words", [["version"], ["--version"], ["unknown"], ["version", "--format", "{{.Client.Os}}"]])
def test_a_command_imports_nothing_heavy(words):
    done = isolated(
        "from rootless_pod.cli import main\n"
        "main(sys.argv[1:])\n"
        "sys.stdout.write('\\n' + ' '.join(sorted({name.partition('.')[0] for name in sys.modules})))",
        *words,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "rootless_pod" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


@pytest.mark.parametrize(
    "module",
    ["declare", "parse", "index", "globals", "quantity", "run_options", "table", "times", "humanize", "unshare"],
)
def test_a_hot_module_imports_nothing_heavy(module):
    done = isolated(f"import rootless_pod.commands.{module}\nprint(*sorted(sys.modules))")
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "rootless_pod" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


@pytest.mark.parametrize(
    "module", ["run", "create", "start", "stop", "kill", "wait", "rm", "ps", "inspect", "exec", "logs", "attach"]
)
def test_the_module_of_a_hot_command_imports_nothing_heavy(module):
    done = isolated(f"import rootless_pod.cli, rootless_pod.commands.{module}\nprint(*sorted(sys.modules))")
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "rootless_pod" in loaded, done.stderr
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


# --- the script -------------------------------------------------------------------------------------------------------


@pytest.fixture
def prefix(tmp_path):
    """A virtual environment laid out by hand, rpod's script in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True, timeout=60)
    script = tmp_path / "env/bin/rpod"
    script.write_bytes(SCRIPT.read_bytes())
    script.chmod(0o755)
    return tmp_path / "env"


def packages(prefix):
    return next((prefix / "lib").glob("python3.*")) / "site-packages"


REPORT = """
import sys
def entry():
    import rootless_pod
    print(sys.argv[0], sys.argv[1:], sys.flags.isolated, sys.flags.no_site, sys.flags.utf8_mode, 'site' in sys.modules)
    print(sys.executable)
    try:
        import third_party
        print(third_party.__file__)
    except ImportError:
        print("absent")
"""


def fake_package(directory):
    (directory / "rootless_pod").mkdir(parents=True)
    (directory / "rootless_pod/__init__.py").write_text("")
    (directory / "rootless_pod/cli.py").write_text(REPORT)
    shutil.copy(REPO / "rootless_pod/modulecache.py", directory / "rootless_pod")


def test_installed_it_runs_beside_its_python_without_site(prefix):
    fake_package(packages(prefix))
    (packages(prefix) / "third_party.py").write_text("")
    done = rpod("a", "b c", script=prefix / "bin/rpod", env={"PYTHONPATH": "/nonexistent", "LANG": "C"})
    assert done.stdout.splitlines() == [
        f"{prefix}/bin/rpod ['a', 'b c'] 1 1 1 False",
        f"{prefix}/bin/python3",
        str(packages(prefix) / "third_party.py"),
    ]


def test_it_works_through_a_chain_of_links_and_keeps_the_name_it_was_called_by(prefix, tmp_path):
    fake_package(packages(prefix))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/first").symlink_to("../env/bin/rpod")
    (tmp_path / "rpod").symlink_to("other/first")
    done = rpod(script=tmp_path / "rpod")
    assert done.stdout.splitlines()[0] == f"{tmp_path}/rpod [] 1 1 1 False"
    assert done.stdout.splitlines()[1] == f"{prefix}/bin/python3"


def test_it_is_found_on_the_path_and_by_sh(prefix):
    fake_package(packages(prefix))
    for argv in (["rpod", "x"], ["sh", "rpod", "x"]):
        done = subprocess.run(
            argv,
            env={"PATH": f"{prefix}/bin:/usr/bin:/bin"},
            cwd=prefix / "bin",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.splitlines()[0].endswith("rpod ['x'] 1 1 1 False"), done.stderr


def test_an_editable_install_is_found_by_site(prefix, tmp_path):
    fake_package(tmp_path / "source")
    (packages(prefix) / "editable.pth").write_text(f"{tmp_path}/source\n")
    (tmp_path / "source/third_party.py").write_text("")
    done = rpod(script=prefix / "bin/rpod")
    assert done.stdout.splitlines() == [
        f"{prefix}/bin/rpod [] 1 1 1 True",
        f"{prefix}/bin/python3",
        str(tmp_path / "source/third_party.py"),
    ]


def test_a_missing_module_is_looked_for_with_site_and_its_absence_is_an_import_error(prefix, tmp_path):
    fake_package(packages(prefix))
    assert rpod(script=prefix / "bin/rpod").stdout.splitlines()[2] == "absent"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/third_party.py").write_text("")
    (packages(prefix) / "more.pth").write_text(f"{tmp_path}/elsewhere\n")
    assert rpod(script=prefix / "bin/rpod").stdout.splitlines()[2] == f"{tmp_path}/elsewhere/third_party.py"


def test_a_user_install_finds_the_python_of_its_own_directory(tmp_path):
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    fake_package(tmp_path / f"lib/python{version}/site-packages")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/rpod"
    script.write_bytes(SCRIPT.read_bytes())
    script.chmod(0o755)
    done = rpod(script=script)
    assert done.stdout.splitlines()[0] == f"{script} [] 1 1 1 False", done.stderr


def test_it_runs_straight_from_a_checkout(tmp_path):
    (tmp_path / "rpod").symlink_to(SCRIPT)
    for script in (SCRIPT, tmp_path / "rpod"):
        assert rpod("--version", script=script, cwd="/").stdout == f"rpod version {VERSION}\n"


def test_without_any_python_it_says_so():
    done = rpod("--version", env={"RPOD_PYTHON": "/nonexistent/python3"})
    assert done.returncode == 125
    assert "no Python found" in done.stderr
    assert "install python3" in done.stderr


def test_words_that_are_no_utf8_reach_the_command_unchanged():
    done = subprocess.run(
        [SCRIPT, "version", "--format", b"\xff{{.Client.Os}}"],
        env={"PATH": "/usr/bin:/bin", "LANG": "C"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"\xfflinux\n", done.stderr

"""What is told of a Python package that is missing: a command that really brings it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from rootless_pod.programs.package import distribution, how_to_install

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "wanted"),
    [("dns.message", "dnspython"), ("urllib3", "urllib3"), ("backports.zstd", "backports.zstd"), ("yaml", "PyYAML")],
)
def test_a_package_may_have_another_name_than_its_module(module: str, wanted: str) -> None:
    assert distribution(module) == wanted


def test_a_virtual_environment_takes_it_by_itself(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    python = f"{tmp_path}/bin/python"
    assert how_to_install("urllib3", executable=python) == f"run: {python} -m pip install urllib3"


@pytest.mark.skipif(
    not Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists(), reason="this Python takes packages from pip"
)
def test_the_python_of_a_distribution_is_left_alone(tmp_path: Path) -> None:
    said = how_to_install("urllib3", executable="/usr/bin/python3", top=str(TOP))
    assert said.startswith(f"run: {TOP}/scripts/quickstart ")
    assert (TOP / "scripts/quickstart").exists()
    assert "pip install pyfuse3" in how_to_install("pyfuse3", executable="/usr/bin/python3", top=str(TOP))
    assert "--break-system-packages" in how_to_install("urllib3", executable="/usr/bin/python3", top=str(tmp_path))

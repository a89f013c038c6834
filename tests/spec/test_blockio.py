"""Weights and rates of block devices. Forms: runtime-spec config-linux.md, Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless_pod.errors import Usage
from rootless_pod.spec.blockio import block_files, block_io
from rootless_pod.spec.request import SpecRequest


def test_a_weight_is_within_podmans_range():
    assert block_io(SpecRequest(blkio_weight="500")) == {"weight": 500}
    assert block_io(SpecRequest(blkio_weight="0")) == {"weight": 0}
    for wrong in ("9", "1001", "x", "-5"):
        with pytest.raises(Usage, match="--blkio-weight"):
            block_io(SpecRequest(blkio_weight=wrong))


@pytest.mark.parametrize("text", ["/dev/null:1mb", "sda:1mb", "/dev/no-such-disk:1mb", "/dev/sda", "nothing"])
def test_only_block_devices_can_be_limited(text):
    with pytest.raises(Usage, match="--device-read-bps"):
        block_io(SpecRequest(device_read_bps=(text,)))


@pytest.mark.skipif(not any(Path("/dev").glob("[vs]da")), reason="this machine has no /dev/sda or /dev/vda")
def test_a_device_is_told_by_its_numbers():
    disk = next(str(path) for path in Path("/dev").glob("[vs]da"))
    found = os.stat(disk)
    numbers = {"major": os.major(found.st_rdev), "minor": os.minor(found.st_rdev)}
    request = SpecRequest(device_read_bps=(f"{disk}:1mb",), device_write_iops=(f"{disk}:100",))
    assert block_io(request) == {
        "throttleReadBpsDevice": [{**numbers, "rate": 1 << 20}],
        "throttleWriteIOPSDevice": [{**numbers, "rate": 100}],
    }
    with pytest.raises(Usage):
        block_io(SpecRequest(device_read_bps=(f"{disk}:0",)))


def test_the_files_of_cgroup_v2_say_the_same():
    section = {
        "weight": 10,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 7}],
    }
    assert block_files(section) == [
        ("io.weight", "default 1"),
        ("io.weight", "8:0 10000"),
        ("io.max", "8:0 rbps=5"),
        ("io.max", "8:16 wiops=7"),
    ]
    assert block_files({}) == []

"""One set of file-system rules, held by every storage driver, with sub-ids and with a single id."""

from __future__ import annotations

import json
import os

import pytest

from rootless_pod.fuse.choose import ORDER
from tests.fuse import namespace
from tests.fuse.cases import CASES, DEVIATIONS

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

_kept = {}


def _answers(driver, ids):
    """Run all cases of one driver in one namespace, once a session."""
    if (driver, ids) not in _kept:
        reason = namespace.reason_not(ids)
        if reason:
            _kept[driver, ids] = {"refused": f"no {ids} namespace: {reason}"}
        else:
            base = namespace.scratch()
            try:
                done = namespace.run_inside(ids, ["-m", "tests.fuse.inside", driver, f"{base}/cases"], timeout=230)
                assert done.returncode == 0, done.stderr
                _kept[driver, ids] = json.loads(done.stdout.splitlines()[-1])
            finally:
                namespace.remove_inside(base)
    return _kept[driver, ids]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ids", namespace.ID_MODES)
@pytest.mark.parametrize("driver", ORDER)
def test_every_driver_keeps_the_rule(driver, ids, case):
    answers = _answers(driver, ids)
    if "refused" in answers:
        assert not os.environ.get("CI"), f"CI must have the driver {driver}: {answers['refused']}"
        pytest.skip(f"driver {driver} refuses: {answers['refused']}")
    failure = answers["results"][case]
    if failure is not None and (driver, case) in DEVIATIONS:
        pytest.xfail(DEVIATIONS[driver, case])
    assert failure is None, failure

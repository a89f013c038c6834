"""What single drivers, the choice between them and the root file systems made of them must do, in the real kernel."""

from __future__ import annotations

import pytest

from tests.fuse import namespace
from tests.fuse.scripted import ONE_ID_IS_NOT_ENOUGH, SCRIPTS

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("ids", namespace.ID_MODES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_inside_a_user_namespace(script, ids):
    if ids == "single" and script in ONE_ID_IS_NOT_ENOUGH:
        pytest.skip("needs more than one id")
    reason = namespace.reason_not(ids)
    if reason:
        pytest.skip(f"no {ids} namespace: {reason}")
    base = namespace.scratch()
    try:
        done = namespace.run_inside(ids, ["-m", "tests.fuse.scripted", script, base])
        assert done.returncode == 0, done.stderr
    finally:
        namespace.remove_inside(base)

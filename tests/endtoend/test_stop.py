"""Ending containers that are removed when they end."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("kill",)])
def test_a_container_with_rm_is_reported_by_the_word_it_was_named_by(img, words):
    for number in range(3):
        img("run", "-d", "--rm", "--name", f"short{number}", "--network", "none", "host", "--", "sleep", "1000")
        assert img(*words, f"short{number}") == f"short{number}\n"

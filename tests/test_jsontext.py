"""JSON without the json package: what is no JSON is a ``ValueError``, whatever else is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

BROKEN = ("{", '{"a"', '{"a":', '{"a":1', "[1,", '"open', "", "nul", "{1:2}", '{"a":1,}', '"\\u12"', "1 2", "\x01")


@pytest.mark.parametrize("text", BROKEN)
def test_broken_text_is_a_value_error_in_a_process_that_never_loaded_json(text: str) -> None:
    script = (
        "import sys\nfrom rootless_pod import jsontext\nassert 'json' not in sys.modules\n"
        "try:\n jsontext.loads(sys.argv[1].encode().decode('unicode_escape'))\nexcept ValueError:\n sys.exit(7)\n"
    )
    argument = text.encode("unicode_escape").decode()
    done = subprocess.run([sys.executable, "-S", "-c", script, argument], capture_output=True)
    assert done.returncode == 7, done.stderr.decode()


def test_what_is_written_is_read_again() -> None:
    from rootless_pod import jsontext

    value = {"a": [1, 2.5, None, True, "ü\n"], "b": {"c": ""}}
    assert jsontext.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(jsontext.dumps(value).encode()) == value

"""Records on disk: whole or not there, and never half."""

from __future__ import annotations

import os
import threading

import pytest

from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.state.record import read_record, write_record


def test_what_was_written_is_read_back_and_leaves_nothing_beside_it(tmp_path):
    path = str(tmp_path / "state.json")
    for durable in (False, True):
        write_record(path, {"a": [1, None, "ü\udcff"], "durable": durable}, durable=durable)
        assert read_record(path) == {"a": [1, None, "ü\udcff"], "durable": durable}
    assert os.listdir(tmp_path) == ["state.json"]
    assert os.stat(path).st_mode & 0o077 == 0


def test_a_missing_record_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        read_record(str(tmp_path / "state.json"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}}', b"[]", b"null", b"\xff\xfe", b'{"a": 1'])
def test_a_damaged_record_is_corrupt_and_named(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"state\.json"):
        read_record(str(path))


def test_a_reader_beside_a_writer_sees_the_old_or_the_new_record_whole(tmp_path):
    path = str(tmp_path / "state.json")
    write_record(path, {"number": 0, "filler": "x" * 5000})
    ending = threading.Event()

    def rewrite():
        number = 0
        while not ending.is_set():
            number += 1
            write_record(path, {"number": number, "filler": "x" * (number % 5000)})

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = [read_record(path)["number"] for _ in range(500)]
    finally:
        ending.set()
        writer.join()
    assert seen == sorted(seen)


def test_a_write_that_fails_leaves_the_old_record(tmp_path):
    path = str(tmp_path / "state.json")
    write_record(path, {"a": 1})
    with pytest.raises(TypeError):
        write_record(path, {"a": object()})
    assert read_record(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["state.json"]

"""Archives written by hand are what tar programs read."""

from __future__ import annotations

import io
import tarfile

from rootless_pod.image.formats.tar_output import TarOutput, takes_sizes_later


def members(path):
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}


def write(path, mode):
    with open(path, mode) as file:
        out = TarOutput(file)
        out.add_text("first.json", b"{}")
        if takes_sizes_later(file):
            assert out.add_unsized("layer.tar", io.BytesIO(b"x" * 70_000)) == 70_000
        else:
            out.add("layer.tar", io.BytesIO(b"x" * 70_000), 70_000)
        out.add("empty", io.BytesIO(), 0)
        out.end()


def test_a_size_written_after_its_bytes_gives_the_same_archive_as_one_written_before(tmp_path):
    write(tmp_path / "later.tar", "wb")
    (tmp_path / "before.tar").touch()
    write(tmp_path / "before.tar", "ab")  # what is appended to can't be written again
    assert (tmp_path / "later.tar").read_bytes() == (tmp_path / "before.tar").read_bytes()
    assert members(tmp_path / "later.tar") == {"first.json": b"{}", "layer.tar": b"x" * 70_000, "empty": b""}
    assert (tmp_path / "later.tar").stat().st_size % tarfile.RECORDSIZE == 0


def test_an_archive_may_begin_in_the_middle_of_a_file(tmp_path):
    path = tmp_path / "archive.tar"
    with path.open("wb") as file:
        file.write(bytes(512))
        out = TarOutput(file)
        out.add_unsized("a", io.BytesIO(b"a"))
        out.end()
    (tmp_path / "rest.tar").write_bytes(path.read_bytes()[512:])
    assert members(tmp_path / "rest.tar") == {"a": b"a"}

"""``--mount type=image``: an image's files inside a container."""

from __future__ import annotations

from conftest import Rpod

AT = "type=image,source=localhost/img:latest,destination=/mnt"


def left(img: Rpod) -> list[str]:
    place = img.root / "image-mounts"
    return sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []


def test_an_image_is_mounted_read_only(img: Rpod) -> None:
    done = img.run("run", "--rm", "--network", "none", "--user", "0", "--mount", AT, "localhost/img:latest",
                   "sh", "-c", "cat /mnt/app/one; touch /mnt/new")  # fmt: skip
    assert done.stdout == b"linked\n"
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr
    assert left(img) == []


def test_what_is_written_into_a_writable_one_goes_away_with_the_container(img: Rpod) -> None:
    words = ("--network", "none", "--user", "0", "--mount", f"{AT},rw=true", "localhost/img:latest", "sh", "-c")
    assert img("run", "--name", "w", *words, "echo new > /mnt/new; cat /mnt/new") == "new\n"
    assert img("run", "--rm", *words, "ls /mnt/new 2>/dev/null || echo gone") == "gone\n"
    img("rm", "w")
    assert left(img) == []


def test_the_mount_lives_as_long_as_the_container_even_if_that_is_killed(img: Rpod) -> None:
    img("run", "-d", "--name", "m", "--network", "none", "--user", "0", "--mount", AT, "localhost/img:latest",
        "sleep", "100")  # fmt: skip
    assert len(left(img)) == 1
    assert img("exec", "m", "cat", "/mnt/app/one") == "linked\n"
    img("rm", "-f", "-t", "0", "m")
    assert left(img) == []


def test_an_image_that_is_not_there_is_named(img: Rpod) -> None:
    words = ("--mount", "type=image,source=localhost/nosuch,destination=/mnt", "localhost/img:latest", "true")
    assert "localhost/nosuch" in img.error("run", "--rm", "--network", "none", *words)

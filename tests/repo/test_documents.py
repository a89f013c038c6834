"""Documents are true: links lead somewhere, commands are described, generated pages are current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rootless_pod.commands import index
from rootless_pod.fuse.choose import ORDER

TOP = Path(__file__).parents[2]
PAGES = [*sorted(TOP.glob("*.md")), *sorted((TOP / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^rpod ((?:[a-z-]+ ?)+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    targets = [match.group(1) for match in LINK.finditer(page.read_text())]
    missing = [to for to in targets if "://" not in to and not (page.parent / to).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_commands_in_examples_are_commands_of_rpod(page: Path) -> None:
    """The first word after rpod in a line of an example is a command or a group of them."""
    known = {words.split()[0] for words in (*index.COMMANDS, *index.ALIASES)}
    blocks = "\n".join(BLOCK.findall(page.read_text()))
    named = {match.group(1).split()[0] for match in CALL.finditer(blocks)}
    assert named - known == set()


def test_every_page_is_reached_from_the_readme() -> None:
    text = (TOP / "README.md").read_text()
    lost = [page.name for page in sorted((TOP / "docs").glob("*.md")) if f"docs/{page.name}" not in text]
    assert lost == []


def test_the_comparison_with_podman_is_what_the_declarations_say() -> None:
    argv = [sys.executable, str(TOP / "scripts" / "podman_table.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_what_users_rely_on_is_typed_by_a_test() -> None:
    """Rows marked M or E that are same or better: a comparison line, or an end-to-end test, types each of them."""
    sys.path.insert(0, str(TOP / "scripts"))
    import podman_table

    allowed = set(podman_table.MARKS["unnamed"])
    missing = [row for row in podman_table.unnamed() if row not in allowed]
    assert not missing, (
        "no test types these; add a line to tests/compare, type it in tests/endtoend, or mark a test "
        f'@pytest.mark.covers("COMMAND --OPTION"): {missing}'
    )


def test_every_command_stands_in_the_comparison_with_podman() -> None:
    text = (TOP / "docs" / "podman.md").read_text()
    assert [words for words in index.COMMANDS if f"`{words}`" not in text] == []


def test_every_storage_driver_is_described() -> None:
    text = (TOP / "docs" / "storage.md").read_text()
    assert [name for name in ORDER if f"`{name}`" not in text] == []


def test_every_decision_says_what_was_asked_decided_and_why() -> None:
    pages = sorted((TOP / "docs" / "decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert numbers == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert all(f"**{word}.**" in text for word in ("Asked", "Decided", "Why")), page.name


def test_scripts_named_in_documents_are_there() -> None:
    for page in PAGES:
        for name in re.findall(r"scripts/[\w.-]+\w", page.read_text()):
            assert os.path.exists(TOP / name), f"{page.name} names {name}"

"""What is shown while layers come in: bars on a terminal, podman's lines elsewhere, nothing when quiet."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress as RichBars
    from rich.progress import TaskID


class Progress:
    """The base shows nothing; a context manager around the time bars are on the screen."""

    def __enter__(self) -> Self:
        """Begin showing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End showing."""

    def note(self, text: str) -> None:
        """Show a line."""

    def begin(self, digest: str, size_bytes: int) -> None:
        """Say that a blob is being copied."""

    def advance(self, digest: str, seen_bytes: int) -> None:
        """Say how much of it came in."""

    def finish(self, digest: str, outcome: str) -> None:
        """Say how it ended."""

    def refresh(self) -> None:
        """Draw what changed."""


class SilentProgress(Progress):
    """For ``--quiet``."""


class LineProgress(Progress):
    """One line a blob, as podman writes where stderr is no terminal."""

    def note(self, text: str) -> None:
        """Write the line."""
        os.write(2, f"{text}\n".encode())

    def begin(self, digest: str, size_bytes: int) -> None:  # noqa: ARG002 - the size is for bars
        """Write the blob's digest."""
        self.note(f"Copying blob {digest}")

    def finish(self, digest: str, outcome: str) -> None:
        """Write it for blobs that were here already; the others were named when they began."""
        if outcome.startswith("skipped"):
            self.note(f"Copying blob {digest} {outcome}")


class BarProgress(Progress):
    """One bar a layer, drawn by rich from the parent's loop (no thread, so forking stays safe)."""

    def __init__(self) -> None:
        """Import rich; nothing is drawn yet."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as Bars

        self._bars: RichBars = Bars(
            TextColumn("Copying blob {task.fields[short]}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[outcome]}"),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw a last time."""
        self._bars.stop()

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def _task(self, digest: str, size_bytes: int | None) -> TaskID:
        if digest not in self._tasks:
            short = digest.removeprefix("sha256:")[:12]
            self._tasks[digest] = self._bars.add_task("", total=size_bytes, short=short, outcome="")
        return self._tasks[digest]

    def begin(self, digest: str, size_bytes: int) -> None:
        """Add a bar."""
        self._task(digest, size_bytes)
        self._bars.refresh()

    def advance(self, digest: str, seen_bytes: int) -> None:
        """Move it."""
        self._bars.update(self._task(digest, None), completed=seen_bytes)

    def finish(self, digest: str, outcome: str) -> None:
        """Fill it."""
        task = self._task(digest, 1)
        total = next(one.total for one in self._bars.tasks if one.id == task)
        self._bars.update(task, completed=total, outcome=outcome)
        self._bars.refresh()

    def refresh(self) -> None:
        """Draw the bars."""
        self._bars.refresh()


def choose_progress(*, quiet: bool) -> Progress:
    """Return bars if stderr is a terminal, lines if not, nothing when quiet."""
    if quiet:
        return SilentProgress()
    if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb":
        return BarProgress()
    return LineProgress()

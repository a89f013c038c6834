"""What to take back, in reverse order, when a later step fails (``contextlib`` costs a hot command too much)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self


class Undo:
    """A stack of steps back. Leaving the block by an exception runs them all; leaving it normally runs none."""

    def __init__(self) -> None:
        """Start with nothing to take back."""
        self._steps: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []

    def push(self, step: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Remember a step back."""
        self._steps.append((step, arguments, named))

    def roll_back(self) -> None:
        """Run all steps, last first; a step that fails does not stop the others."""
        from rootless_pod import log

        while self._steps:
            step, arguments, named = self._steps.pop()
            try:
                step(*arguments, **named)
            except Exception as cause:
                log.debug(f"taking back {getattr(step, '__name__', step)} failed: {cause}")

    def forget(self) -> None:
        """Keep what was done."""
        self._steps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.roll_back()

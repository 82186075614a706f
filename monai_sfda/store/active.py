"""`active.json` of a model: which version is active, and which ones were before it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.errors import StoreError
from monai_sfda.store.change_log import Change


@dataclass(frozen=True)
class Active:
    """What is active.

    Attributes:
        number: of the active version.
        previous: numbers of those that were active before it, the last one last; going back takes it away.
        change: that made it so, as the log has it.
    """

    number: int
    previous: tuple[int, ...]
    change: Change

    @staticmethod
    def read(path: Path, model: str) -> Active:
        """Reads the file.

        Raises:
            StoreError: when it is missing or cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            change = dict(content["change"])
            _ = change["id"], change["at"]
            return Active(int(content["active"]), tuple(int(n) for n in content["previous"]), change)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path.name} cannot be read ({type(error).__name__})",
                path=f"{model}/{path.name}",
                remedy="put it back from a backup; the log says which version was active",
            ) from error

    def then(self, number: int, change: Change) -> Active:
        """After `number` has become active."""
        return Active(number, (*self.previous, self.number), change)

    def back(self, there: Collection[int]) -> int | None:
        """The version to go back to: the last one that was active, is another and is still there; None for
        none.
        """
        return next((n for n in reversed(self.previous) if n in there and n != self.number), None)

    def before(self, number: int) -> tuple[int, ...]:
        """Those that were active before `number` was for the last time."""
        last = len(self.previous) - 1 - self.previous[::-1].index(number)
        return self.previous[:last]

    def to_bytes(self) -> bytes:
        """The file's content."""
        content = {"active": self.number, "previous": list(self.previous), "change": self.change}
        return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()

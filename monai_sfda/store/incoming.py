"""`incoming/` of a store: where versions are copied to before they are listed, and taken to before they are
deleted.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.store.lock import try_lock, unlock

_LOCK = ".lock"


@dataclass(frozen=True)
class Claim:
    """A place of one publisher.

    Attributes:
        folder: to fill, and to rename away.
        lock: file beside it that the publisher holds while it lives.
        descriptor: of the lock.
    """

    folder: Path
    lock: Path
    descriptor: int

    def end(self) -> None:
        """Removes what is left of the place."""
        for folder in self.folder.parent.glob(f"{self.folder.name}*"):
            if folder != self.lock:
                shutil.rmtree(folder, ignore_errors=True)
        unlock(self.descriptor)
        self.lock.unlink(missing_ok=True)


class Incoming:
    """The places in a store's `incoming/`; all methods are called under the store's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self) -> Claim:
        """A new empty place that is kept while this process lives.

        Raises:
            OSError: when it cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        place = self.folder / secrets.token_hex(8)
        lock = place.with_name(place.name + _LOCK)
        descriptor = try_lock(lock)
        if descriptor is None:
            raise FileExistsError(f"{lock.name} is held")
        try:
            place.mkdir()
        except OSError:
            unlock(descriptor)
            raise
        return Claim(place, lock, descriptor)

    def discard(self, folder: Path) -> None:
        """Takes a folder out of the store by one rename, then deletes it.

        Raises:
            OSError: when it cannot be renamed.
        """
        self.folder.mkdir(exist_ok=True)
        place = self.folder / secrets.token_hex(8)
        folder.rename(place)
        shutil.rmtree(place, ignore_errors=True)

    def clear(self) -> None:
        """Deletes the places whose publisher has died."""
        if not self.folder.is_dir():
            return
        held = set()
        for lock in self.folder.glob(f"*{_LOCK}"):
            try:
                descriptor = try_lock(lock, create=False)
            except FileNotFoundError:  # its publisher has just ended
                continue
            if descriptor is None:
                held.add(lock.name.removesuffix(_LOCK))
            else:
                unlock(descriptor)
        for path in self.folder.iterdir():
            if path.name.partition(".")[0] in held:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

"""What the app knows of each image: one small file an image, so that a score costs one small write.

MONAI Label's own record is one file of the whole datastore, rewritten at each change; with a thousand images
and a score for each, that is a thousand large writes, and a process killed in one of them loses all.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from monai_sfda.errors import OutputError
from monai_sfda.files import cannot_write, write_atomically

_SIZE_SHOWN = 200
_FEW = 8


Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Makes new entries of a record."""


class Records:
    """Facts by image id, kept on disk, shared by threads and processes.

    Each record is read again when its file has changed. Writers take turns.

    Args:
        folder: of the records; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._known: dict[Path, tuple[tuple[int, int, int], dict[str, Any]]] = {}

    def get(self, image_id: str) -> dict[str, Any]:
        """A copy of an image's record; empty where there is none."""
        return deepcopy(self._read(self._path(image_id)))

    def peek(self, image_id: str) -> Mapping[str, Any]:
        """The same without a copy, for reading alone."""
        return self._read(self._path(image_id))

    def update(self, image_id: str, facts: Mapping[str, Any]) -> None:
        """Replaces top-level entries of an image's record.

        Raises:
            OutputError: when it cannot be written.
        """
        self.update_many({image_id: facts})

    def update_many(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """`update` for several images, under one lock.

        Raises:
            OutputError: when one cannot be written.
        """
        self.change({image_id: lambda _, new=new: new for image_id, new in facts.items()})  # type: ignore[misc]

    def change(self, changes: Mapping[str, Change]) -> None:
        """Replaces top-level entries by what is made of the records as they are; nobody writes in between.

        Args:
            changes: by image id; each is given its record and returns the entries to replace.

        Raises:
            OutputError: when one cannot be written.
        """
        with self._writing():
            texts = {}
            for image_id, change in changes.items():
                path = self._path(image_id)
                record = self._read(path)
                changed = {**record, **deepcopy(dict(change(record))), "id": image_id}
                try:
                    texts[path] = json.dumps(changed, allow_nan=False).encode()
                except (TypeError, ValueError) as error:
                    raise OutputError(
                        f"facts of an image that JSON cannot hold ({str(error)[:_SIZE_SHOWN]})",
                        remedy="give texts, finite numbers, lists and dictionaries",
                    ) from error
            if len(texts) <= _FEW:
                for path, text in texts.items():
                    write_atomically(path, text)
            else:
                self._write_together(texts)

    def _write_together(self, texts: Mapping[Path, bytes]) -> None:
        """Writes many files as safely as each by itself, and waits for the disk once."""
        beside = {path: path.with_name(f".{path.stem}.tmp") for path in texts}
        try:
            for path, text in texts.items():
                beside[path].write_bytes(text)
            os.sync()
            for path, written in beside.items():
                written.replace(path)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            for written in beside.values():
                written.unlink(missing_ok=True)

    def remove(self, image_id: str) -> None:
        """Forgets an image."""
        with self._writing():
            path = self._path(image_id)
            path.unlink(missing_ok=True)
            self._known.pop(path, None)

    def _path(self, image_id: str) -> Path:
        """An id may hold anything, a file's name may not."""
        return self.folder / f"{sha256(image_id.encode()).hexdigest()[:32]}.json"

    def _read(self, path: Path) -> dict[str, Any]:
        with self._lock:
            try:
                status = path.stat()
                stamp = status.st_mtime_ns, status.st_size, status.st_ino
                known = self._known.get(path)
                if known is not None and known[0] == stamp:
                    return known[1]
                record = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return {}
            if not isinstance(record, dict):
                return {}
            self._known[path] = stamp, record
            return record

    def _writing(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        return FileLock(self.folder / ".lock", is_singleton=True)

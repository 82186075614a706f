"""Saved labels on disk: a mask on its image's grid, and beside it who saved it, when, and for which model.

    <folder>/<tag>/<image>.<model>.<token>.nii.gz    and    <folder>/<tag>/<image>.<model>.json

The info names its mask, and a new mask has a new name: whoever is killed while a label is saved leaves the
old one as it was, never a new mask with the old one's names.

An image may have a label of each model: a corrected liver does not replace a corrected spine. The newest one
is what MONAI Label, which knows one label a tag, is told of.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_sfda.errors import SettingError
from monai_sfda.files import write_json

ENDING, OBJECT_ENDING = ".nii.gz", ".dcm"
_TOKEN, _MOST_TAGS = 4, 16
_TICK_NS = 50_000_000
"""Two changes of a folder within a tick of the file system's clock may leave one time."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PLAIN_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class SavedLabel:
    """A saved label.

    Attributes:
        image_id: of its image.
        tag: `original`, `final` or another.
        model: whose structures it holds; empty where nobody said.
        file: the mask.
        info: what is known of it: `saved_by`, `saved_at`, `label_names`, ...
    """

    image_id: str
    tag: str
    model: str
    file: Path
    info: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def object_file(self) -> Path:
        """Its DICOM segmentation, where it has one."""
        return self.file.with_name(self.file.name.removesuffix(ENDING) + OBJECT_ENDING)

    @property
    def order(self) -> tuple[float, str]:
        """For sorting: later ones are greater."""
        return float(self.info.get("ts", 0)), self.model


class SavedLabels:
    """The labels below a folder.

    Args:
        folder: has a folder for each tag.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._known: dict[str, tuple[tuple[int, int], dict[str, list[SavedLabel]]]] = {}
        self._files: dict[Path, tuple[tuple[int, int, int], SavedLabel]] = {}

    def tags(self) -> list[str]:
        """Tags that have been used."""
        if not self.folder.is_dir():
            return []
        return sorted(f.name for f in self.folder.iterdir() if f.is_dir() and _PLAIN.fullmatch(f.name))

    def place(self, image_id: str, tag: str, model: str) -> Path:
        """Where a new mask of a label is to be written.

        Raises:
            SettingError: for a tag or a model's name that is no plain word, and for ever more tags.
        """
        for what, value in (("tag", tag), ("model", model or "none")):
            if not _PLAIN.fullmatch(value):
                raise SettingError(
                    f"a label's {what} '{value[:40]}' is no plain word",
                    remedy="use letters, digits, - and _, at most 64",
                )
        if not (self.folder / tag).is_dir() and len(self.tags()) >= _MOST_TAGS:
            raise SettingError(f"a label's tag '{tag}' beyond {_MOST_TAGS}", remedy="use final or original")
        return self.folder / tag / f"{_stem(image_id, model)}.{secrets.token_hex(_TOKEN)}{ENDING}"

    def all_of(self, image_id: str, tag: str) -> list[SavedLabel]:
        """An image's labels with that tag, one a model, newest first."""
        return sorted(self._by_image(tag).get(image_id, []), key=lambda label: label.order, reverse=True)

    def get(self, image_id: str, tag: str, model: str | None = None) -> SavedLabel | None:
        """The newest label of an image with that tag, or that of one model."""
        return next((x for x in self.all_of(image_id, tag) if model in (None, x.model)), None)

    def images(self, tag: str, model: str | None = None) -> set[str]:
        """Ids of the images that have a label with that tag, of one model or of one that nobody named."""
        found = self._by_image(tag)
        if model is None:
            return set(found)
        return {i for i, labels in found.items() if any(x.model in (model, "") for x in labels)}

    def has(self, image_id: str, tag: str) -> bool:
        """Whether an image has a label with that tag."""
        return image_id in self._by_image(tag)

    def stamp(self, tag: str) -> int:
        """Another number whenever a label with that tag was saved or removed."""
        try:
            return (self.folder / tag).stat().st_mtime_ns
        except OSError:
            return 0

    def write_info(self, label: SavedLabel) -> None:
        """Writes what is known of a label whose mask is there; the one before it is removed.

        Raises:
            OutputError: when it cannot be written.
        """
        own = {"image": label.image_id, "model": label.model, "mask": label.file.name}
        write_json(_info_file(label), {**label.info, **own})
        self._forget(label.tag)
        token = "[0-9a-f]" * 2 * _TOKEN
        keep = label.file.name.removesuffix(ENDING)
        for ending in (ENDING, OBJECT_ENDING):
            for old in label.file.parent.glob(f"{_stem(label.image_id, label.model)}.{token}{ending}"):
                if old.name != f"{keep}{ending}":
                    old.unlink(missing_ok=True)

    def remove(self, label: SavedLabel) -> None:
        """Removes a label, its info first: without it the mask counts as none."""
        _info_file(label).unlink(missing_ok=True)
        label.file.unlink(missing_ok=True)
        label.object_file.unlink(missing_ok=True)
        self._forget(label.tag)

    def _forget(self, tag: str) -> None:
        with self._lock:
            self._known.pop(tag, None)

    def _by_image(self, tag: str) -> dict[str, list[SavedLabel]]:
        """The labels with a tag; read again when the folder has changed."""
        if not _PLAIN.fullmatch(tag):
            return {}
        folder = self.folder / tag
        with self._lock:
            try:
                status = folder.stat()
            except OSError:
                return {}
            stamp = status.st_mtime_ns, status.st_ino
            known = self._known.get(tag)
            if known is not None and known[0] == stamp:
                return known[1]
            found: dict[str, list[SavedLabel]] = {}
            for path in folder.glob("*.json"):
                label = self._label_in(path, tag)
                if label is not None:
                    found.setdefault(label.image_id, []).append(label)
            if time.time_ns() - status.st_mtime_ns > _TICK_NS:
                self._known[tag] = stamp, found
            return found

    def _label_in(self, path: Path, tag: str) -> SavedLabel | None:
        """The label that an info file describes; its file is read again when it has changed."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._files.get(path)
        if known is None or known[0] != stamp:
            label = _read(path, tag)
            if label is None:
                return None
            self._files[path] = known = stamp, label
        return known[1] if known[1].file.is_file() else None


def _read(path: Path, tag: str) -> SavedLabel | None:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        image_id, model, mask = (str(info.pop(key)) for key in ("image", "model", "mask"))
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return SavedLabel(image_id, tag, model, path.with_name(Path(mask).name or "none"), info)


def _info_file(label: SavedLabel) -> Path:
    return label.file.with_name(f"{_stem(label.image_id, label.model)}.json")


def _stem(image_id: str, model: str) -> str:
    return f"{_file_name(image_id)}.{model or 'none'}"


def _file_name(image_id: str) -> str:
    """The id itself where it is a plain file name (a UID, an opaque id), else its hash."""
    plain = _PLAIN_IMAGE.fullmatch(image_id)
    return image_id if plain else sha256(image_id.encode()).hexdigest()[:32]

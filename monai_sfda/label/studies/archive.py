"""The labelled images of a datastore as one ZIP file."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any, Protocol

from monai_sfda.data.case import volume_suffix
from monai_sfda.errors import DataError
from monai_sfda.files import whole_file

_KEEP_SECONDS = 3600


class Labelled(Protocol):
    """What is asked of a datastore here."""

    def get_labeled_images(self) -> list[str]:
        """Ids of labelled images."""

    def image_file(self, image_id: str) -> Path:
        """An image as one file."""

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """A label's file."""

    def json(self) -> dict[str, Any]:
        """All that is known."""


def write_archive(datastore: Labelled, folder: Path, limit: int | None) -> Path:
    """Writes `image/<id>...`, `label/<id>...` and `metadata.json`; removes archives of more than an hour ago.

    Args:
        datastore: whose images and labels.
        folder: to write to.
        limit: how many images at the most; None for all.

    Raises:
        DataError: when nothing is labelled.
    """
    images = datastore.get_labeled_images()
    if not images:
        raise DataError("no labelled images", remedy="save labels first")
    for old in folder.glob("*.zip"):
        if old.stat().st_mtime < time.time() - _KEEP_SECONDS:
            old.unlink(missing_ok=True)
    path = folder / f"dataset_{time.time_ns()}.zip"
    with whole_file(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for image_id in images[: limit if limit and limit > 0 else None]:
            image, label = datastore.image_file(image_id), Path(datastore.get_label_uri(image_id, "final"))
            archive.write(image.resolve(), f"image/{image_id}{volume_suffix(image) or ''}")
            archive.write(label, f"label/{image_id}{volume_suffix(label) or ''}")
        archive.writestr("metadata.json", json.dumps(datastore.json(), indent=2))
    return path

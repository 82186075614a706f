"""A folder of scans as MONAI Label's datastore: volume files and DICOM series in any nesting.

    <folder>/labels/<tag>/       saved labels (as MONAI Label keeps them)
    <folder>/.monai_sfda/        facts about the images, the key of their ids
    <folder>/uploads/            what clients uploaded

Where the folder may not be written to, all three lie in the app's own folder instead.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_sfda.catalog import Task
from monai_sfda.data.case import stem, volume_suffix
from monai_sfda.label.studies.datastore import StudiesDatastore
from monai_sfda.label.studies.errors import UnknownImageError
from monai_sfda.label.studies.found import FoundScan, FoundScans
from monai_sfda.label.studies.ids import Pseudonyms
from monai_sfda.label.studies.images import DETACHED, VOLUME
from monai_sfda.label.studies.records import Records
from monai_sfda.label.studies.series import acquired, read_header, shown_facts, subject_parts
from monai_sfda.label.studies.uploading import Uploads
from monai_sfda.label.studies.volumes import VolumeIds

logger = logging.getLogger(__name__)

_LOOK_SECONDS, _SHARE = 2.0, 10.0
"""A folder is looked at every two seconds, at most for a tenth of the time."""


class FolderDatastore(StudiesDatastore):
    """MONAI Label's datastore over a folder.

    An image's id is `scan-` and 12 digits, made of its place in the folder or its series with a key that
    stays there; it says nothing of either. Clients may also ask by a file's name without its ending or by a
    SeriesInstanceUID, where only one image has it.

    Args:
        root: the folder.
        work: the app's own folder for this datastore.
        tasks: of the models that are served.
        cache_gb: how large conversions may grow.

    Raises:
        DataError: when the folder is missing or cannot be read.
    """

    def __init__(self, root: Path, *, work: Path, tasks: Mapping[str, Task], cache_gb: float) -> None:
        base = root if os.access(root, os.W_OK) else work / "beside"
        self.root = root
        super().__init__(
            "studies",
            home=base / ".monai_sfda",
            labels=base / "labels",
            work=work,
            tasks=tasks,
            cache_gb=cache_gb,
        )
        self.uploads = Uploads(base / "uploads")
        self._found = FoundScans(root, without=(root / "labels", root / "uploads"))
        self._uploaded = FoundScans(self.uploads.folder)
        self._pseudonyms = Pseudonyms(self.home / "key")
        self._volumes = VolumeIds(Records(self.home / "volumes"), self._pseudonyms)
        self._lock = threading.RLock()
        self._looked, self._pause = float("-inf"), _LOOK_SECONDS
        self._images: dict[str, FoundScan] = {}
        self._others: dict[str, str | None] = {}
        self._facts: dict[str, tuple[tuple[Path, ...], dict[str, Any], datetime | None]] = {}
        self._look()

    def list_images(self) -> list[str]:
        """Ids of all images, in the order of their places in the folder."""
        self._look()
        return list(self._images)

    def resolve(self, image_id: str) -> str | None:
        """An id as it is, or the one of a file's name or a series that one image has."""
        self._look()
        if image_id in self._images:
            return image_id
        return self._others.get(image_id)

    def get_image_uri(self, image_id: str) -> str:
        """The file of a volume; for DICOM a folder of links to the files of that one volume."""
        image_id = self.need(image_id)
        scan = self._images.get(image_id)
        if scan is None:
            raise UnknownImageError
        if scan.series_uid is not None:
            return str(self._linked(image_id, scan.files))
        suffix = volume_suffix(scan.files[0])
        if suffix in DETACHED:  # such a header names its data beside itself
            return str(scan.files[0])
        return str(self._linked(image_id, scan.files, suffix) / f"{image_id}{suffix}")

    def facts(self, image_id: str) -> dict[str, Any]:
        """Modality, scanner, identifiers and a pseudonym of the subject of a DICOM image."""
        return dict(self._of(image_id)[1])

    def acquired_at(self, image_id: str) -> datetime | None:
        """When a DICOM image was acquired."""
        found = self.resolve(image_id)
        return None if found is None else self._of(found)[2]

    def refresh(self) -> None:
        """Looks into the folder again."""
        self._looked = float("-inf")
        self._look()

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Takes an uploaded volume or a ZIP file of a DICOM series into the folder; returns its id.

        Raises:
            TakenError: when there is an image of that name.
            DataError: when the file is not what it must be.
        """
        name = image_id or stem(Path(image_filename))
        if self.known(name):
            self.uploads.refuse()
        added = self.uploads.add(name, Path(image_filename))
        self.refresh()
        found = next((i for i, scan in self._images.items() if scan.files[0].is_relative_to(added)), None)
        if found is None:
            self.uploads.remove(added)
            self.refresh()
            self.uploads.refuse_unreadable()
        assert found is not None
        kept = {k: v for k, v in (image_info or {}).items() if k in ("client_id",)}
        self.records.update(found, {"private": {"alias": name}, "info": kept})
        self._others[name] = found
        return found

    def remove_image(self, image_id: str) -> None:
        """Removes an image, its labels and what is known of it.

        Raises:
            UnknownImageError: when there is none.
        """
        image_id = self.need(image_id)
        for tag in self.labels.tags():
            self.remove_label(image_id, tag)
        scan = self._images[image_id]
        for file in scan.files:
            file.unlink(missing_ok=True)
        self.uploads.tidy(scan.files[0])
        self.records.remove(image_id)
        shutil.rmtree(self.work / "linked" / image_id, ignore_errors=True)
        self.refresh()

    # what there is ----------------------------------------------------------------------------------------

    def _look(self) -> None:
        with self._lock:
            began = time.monotonic()
            if began - self._looked < self._pause:
                return
            changed = self._found.look()
            if self.uploads.folder.is_dir():
                changed = self._uploaded.look() or changed
            self._looked = time.monotonic()
            self._pause = max(_LOOK_SECONDS, _SHARE * (self._looked - began))
            if changed or not self._images:
                self._take_stock()

    def _take_stock(self) -> None:
        scans = [*self._found.scans(), *self._uploaded.scans()]
        images = self._with_ids(scans)
        others: dict[str, str | None] = {}
        for image_id, scan in images.items():
            name = stem(scan.files[0]) if scan.series_uid is None else scan.series_uid
            others[name] = image_id if name not in others else None
        others.pop("", None)
        for image_id in images:
            alias = (self.records.peek(image_id).get("private") or {}).get("alias")
            if alias:  # two images of one name are told apart by their ids alone
                others[alias] = image_id if others.get(alias, image_id) == image_id else None
        self._images, self._others = images, others
        self.note_new(images)
        self._facts = {i: known for i, known in self._facts.items() if i in images}

    def _with_ids(self, scans: list[FoundScan]) -> dict[str, FoundScan]:
        images: dict[str, FoundScan] = {}
        series: dict[tuple[str, int], list[FoundScan]] = {}
        for scan in scans:
            if scan.series_uid is None:
                images[self._pseudonyms.name("scan", "file", self._place(scan.files[0]))] = scan
            else:
                place = self._place(scan.files[0].parent) if not scan.series_uid or scan.copy else ""
                series.setdefault((f"{scan.series_uid} {place}", scan.copy), []).append(scan)
        for (key, _), volumes in series.items():
            name = self._pseudonyms.name("scan", "series", key)
            found = self._volumes.ids(
                name,
                [volume.instances for volume in volumes],
                partial(self._pseudonyms.name, "scan", name),
            )
            images.update(zip(found, volumes, strict=True))
        order = {scan.files[0]: n for n, scan in enumerate(scans)}
        return dict(sorted(images.items(), key=lambda pair: order[pair[1].files[0]]))

    def _place(self, path: Path) -> str:
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path.name)

    def _of(self, image_id: str) -> tuple[tuple[Path, ...], dict[str, Any], datetime | None]:
        """An image's files and what their first header says, read once."""
        scan = self._images.get(image_id)
        if scan is None:
            return (), {}, None
        known = self._facts.get(image_id)
        if known is not None and known[0] == scan.files:
            return known
        if scan.series_uid is None:
            suffix = volume_suffix(scan.files[0])
            facts: dict[str, Any] = {"ext": VOLUME if suffix in DETACHED else suffix}
            known = scan.files, facts, None
        else:
            header = read_header(scan.files[0])
            subject = self._pseudonyms.name("subject", *subject_parts(header))
            known = scan.files, {**shown_facts(header), "subject": subject}, acquired(header)
        self._facts[image_id] = known
        return known

    def _linked(self, image_id: str, files: tuple[Path, ...], suffix: str | None = None) -> Path:
        """A folder with links to an image's files, named by number: the files' own names may say whose."""
        names = [f"{image_id}{suffix}"] if suffix else [f"{n:05d}.dcm" for n in range(1, len(files) + 1)]
        digest = sha256("\n".join(str(file) for file in files).encode()).hexdigest()[:12]
        folder = self.work / "linked" / image_id / digest
        if not folder.is_dir():
            beside = folder.with_name(f".{digest}.{os.getpid()}.{threading.get_ident()}")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            for name, file in zip(names, files, strict=True):
                (beside / name).symlink_to(file.absolute())
            try:
                beside.rename(folder)
            except OSError:  # another thread was first
                shutil.rmtree(beside, ignore_errors=True)
        return folder

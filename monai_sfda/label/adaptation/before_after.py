"""Pictures of a few studies under two versions side by side, for whoever signs one off. No label is read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_sfda.engines.before_after import evenly_spaced
from monai_sfda.engines.volumes import volumes_ml
from monai_sfda.errors import SfdaError
from monai_sfda.evaluation.figures import overlay_grid
from monai_sfda.evaluation.slices import as_ras, choose_slices
from monai_sfda.files import write_atomically, write_json
from monai_sfda.label.adaptation.job_records import PICTURES
from monai_sfda.label.adaptation.selection import fits
from monai_sfda.label.adaptation.serving import NotFoundError
from monai_sfda.store import Version

STUDIES, SLICES = 3, 2
MOST_PICTURES, MOST_DAYS, MOST_WAITING = 60, 30, 6
_drawing = threading.Lock()
_places = threading.BoundedSemaphore(MOST_WAITING)


class BusyDrawingError(SfdaError):
    """So many pictures are being computed that no other waits."""

    http_status = 503


@dataclass(frozen=True)
class Comparison:
    """Two versions of a model, and the studies that show them.

    Attributes:
        before, after: the version that is in use, or was before, and the one to sign off.
        studies: ids in the datastore.
    """

    before: Version
    after: Version
    studies: tuple[str, ...]


def compare(app: Any, name: str, number: int) -> Comparison:
    """What a version is compared with, and on which studies.

    With the active one; the active one with what it would be rolled back to, or else its parent. On studies
    that the version was made from, where a job here made it, else on any of the modality.

    Raises:
        NotFoundError: when there is no other version.
    """
    installed = app.models[name]
    after, before = installed.version(number), installed.active()
    if before.number == after.number:
        previous = installed.store.previous(name)
        if previous is None and after.parent is not None:
            previous = installed.version(after.parent)
        if previous is None:
            raise NotFoundError(
                f"version {number} is the only one that was active", remedy="adapt the model first"
            )
        before = previous
    datastore = app.datastore()
    there = datastore.list_images()
    forget_pictures(Path(app.jobs.folder), there)
    used = set(app.jobs.studies_of(name, number))
    fitting = [i for i in there if i in used] or [
        i for i in there if fits(datastore.get_image_info(i), installed.task)
    ]
    return Comparison(before, after, tuple(fitting[k] for k in evenly_spaced(len(fitting), STUDIES)))


def picture(app: Any, name: str, number: int, place: int) -> tuple[Path, dict[str, Any]]:
    """The picture of one of the studies, drawn once and kept, and the volumes under both versions in ml.

    Raises:
        NotFoundError: when there are not so many studies.
        SfdaError: when the study cannot be read or a version is damaged.
    """
    found = compare(app, name, number)
    if not 0 <= place < len(found.studies):
        raise NotFoundError("there is no such study to show", remedy="look at the page again")
    study = found.studies[place]
    versions = _digest(f"{found.before.manifest_sha256}/{found.after.manifest_sha256}")
    stem = Path(app.jobs.folder) / PICTURES / f"{versions}-{_digest(study)}"
    png, numbers = stem.with_suffix(".png"), stem.with_suffix(".json")
    if not (png.is_file() and numbers.is_file()):
        _draw_in_turn(app, found, name, study, png, numbers)
    return png, dict(json.loads(numbers.read_text(encoding="utf-8")))


def forget_pictures(folder: Path, studies: Iterable[str] = ()) -> None:
    """Removes pictures of studies that are not there any more, old ones, and all but the newest.

    Args:
        folder: of the jobs.
        studies: ids of the datastore's images; without any, all pictures go.
    """
    kept = {_digest(study) for study in studies}
    oldest = time.time() - MOST_DAYS * 86400
    found: list[tuple[float, Path]] = []
    gone: list[tuple[float, Path]] = []
    for png in (folder / PICTURES).glob("*.png"):
        with contextlib.suppress(OSError):  # another request may remove it meanwhile
            at = png.stat().st_mtime
            stays = at >= oldest and png.stem.rpartition("-")[2] in kept
            (found if stays else gone).append((at, png))
    for _, png in [*gone, *sorted(found, reverse=True)[MOST_PICTURES:]]:
        for path in (png, png.with_suffix(".json")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _draw_in_turn(app: Any, found: Comparison, name: str, study: str, png: Path, numbers: Path) -> None:
    """One picture is computed at a time, and once; a few requests may wait for it.

    Raises:
        BusyDrawingError: when too many wait.
    """
    if not _places.acquire(blocking=False):
        raise BusyDrawingError("other pictures are being computed", remedy="look again in a minute")
    try:
        with _drawing:
            if not (png.is_file() and numbers.is_file()):
                _draw(app, found, name, study, png, numbers)
    finally:
        _places.release()


def _draw(app: Any, found: Comparison, name: str, study: str, png: Path, numbers: Path) -> None:
    task = app.models[name].task
    image = Path(app.datastore().get_image_uri(study))
    columns, volumes = [], {}
    scan = None
    for title, version in (("before", found.before), ("after", found.after)):
        loaded = app.models.load(name, version.number)
        scan = loaded.read(image) if scan is None else scan
        classes = loaded.predict(scan).classes
        volumes[title] = {k: round(v, 3) for k, v in volumes_ml(classes, scan, task).items()}
        columns.append((f"{title}: version {version.number}", classes))
    if scan is None:
        raise SfdaError("nothing to draw", remedy="look at the page again")
    axis = task.slice_axis
    shown, spacing = as_ras(scan.array[0], scan.affine)
    turned = [(title, as_ras(classes, scan.affine)[0]) for title, classes in columns]
    last = turned[-1][1]
    slices = choose_slices(np.where(last > 0, last, turned[0][1]), SLICES, axis=axis)
    planes = [np.take(shown, s, axis) for s in slices]
    drawn = [
        (title, [(p, np.take(classes, s, axis)) for p, s in zip(planes, slices, strict=True)])
        for title, classes in turned
    ]
    pixel = tuple(spacing[a] for a in range(3) if a != axis)
    content = overlay_grid(
        [("scan", [(p, None) for p in planes]), *drawn],
        task.structures,
        pixel_size_mm=(pixel[0], pixel[1]),
        axis=axis,
        window=task.target.intensity.window,
        row_titles=[f"slice {s + 1}" for s in slices],
    )
    write_atomically(png, content)
    write_json(numbers, {"volumes_ml": volumes, "same": bool(np.array_equal(columns[0][1], columns[1][1]))})

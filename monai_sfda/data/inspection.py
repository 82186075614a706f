"""Every input of a list read and looked at before a long run: what is good, what is bad, what is doubtful."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import Task
from monai_sfda.data.case import Case
from monai_sfda.data.content import content_of, refuse_copies
from monai_sfda.data.label_fit import fit, thin_out
from monai_sfda.data.plausibility import doubt
from monai_sfda.data.reading import raise_first, read_case
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError


@dataclass(frozen=True)
class CaseSummary:
    """What a checked case is like, without anything that names it.

    Attributes:
        number: of the case.
        channels: of the scan.
        shape: voxels along each axis.
        spacing_mm: voxel size; None for a picture.
        orientation: where the voxel axes point, as in `LPS`.
        classes: contiguous classes present in the label, background left out; None where no label was read.
    """

    number: int
    channels: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    orientation: str
    classes: tuple[int, ...] | None


@dataclass(frozen=True)
class Inspection:
    """What reading one case showed. Nothing of its size is kept, so that memory does not grow with the list.

    Attributes:
        case: which.
        summary: of a good image, with the classes of a good label; None where the image is bad.
        image_error: why the image cannot be used.
        label_error: why the label cannot be used, where the image can.
        doubt: why the values look like those of another modality.
        content: hash of the image's values.
        label_content: hash of the label's classes; None where there is none or no structure.
        label_fit: see `monai_sfda.data.label_fit.fit`.
        grid: shape and affine, equal where labels can be exchanged unnoticed.
    """

    case: Case
    summary: CaseSummary | None = None
    image_error: DataError | None = None
    label_error: DataError | None = None
    doubt: str | None = None
    content: str = ""
    label_content: str | None = None
    label_fit: float | None = None
    grid: tuple[float, ...] = ()

    @property
    def error(self) -> DataError | None:
        """Why the case cannot be used with its label."""
        return self.image_error or self.label_error


def check_cases(
    cases: Sequence[Case],
    task: Task,
    domain: str,
    with_label: bool,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CaseSummary, ...]:
    """Reads and checks every input of a list, one at a time, before a long run.

    Args:
        cases: a list's.
        task: whose labels are meant.
        domain: `source` or `target`.
        with_label: whether labels are read and checked.
        progress: called with (cases done, cases in all).

    Returns:
        A summary a case, in the list's order.

    Raises:
        DataError: the first bad case's, with how many more are bad; also when cases differ in their number of
            channels, or a scan is a copy of another.
    """
    inspections = list(inspect_cases(cases, task, domain, with_label, progress))
    raise_first([i.error for i in inspections if i.error is not None], len(cases))
    summaries = [i.summary for i in inspections if i.summary is not None]
    for case, summary in zip(cases, summaries, strict=True):
        if summary.channels != summaries[0].channels:
            raise DataError(
                f"{summary.channels} channels where the first scan has {summaries[0].channels}",
                remedy="list the same channels for every scan",
                path=case.image[0],
                root=case.root,
            )
    if not task.pictures:
        refuse_copies((i.case, i.content) for i in inspections)
    return tuple(summaries)


def inspect_cases(
    cases: Sequence[Case],
    task: Task,
    domain: str,
    with_label: bool,
    progress: Callable[[int, int], None] | None = None,
    threads: int = 1,
) -> Iterator[Inspection]:
    """Reads every input of a list and tells, in the list's order, what each is like.

    Args:
        cases, task, domain, progress: as in `check_cases`.
        with_label: whether labels are read, of the cases that have one.
        threads: readers at once.
    """
    with ThreadPoolExecutor(threads) as readers:
        results = readers.map(lambda case: _inspect(case, task, domain, with_label), cases)
        for done, result in enumerate(results, start=1):
            yield result
            if progress is not None:
                progress(done, len(cases))


def _inspect(case: Case, task: Task, domain: str, with_label: bool) -> Inspection:
    label_error = None
    with_label = with_label and case.label is not None
    try:
        scan, label = read_case(case, task, domain, with_label=with_label)
    except DataError as error:
        if not with_label:
            return Inspection(case, image_error=error)
        try:
            scan, label = read_case(case, task, domain, with_label=False)
        except DataError:
            return Inspection(case, image_error=error)
        label_error = error
    shown = label is not None and bool(label.any() if not task.pictures else label.size)
    return Inspection(
        case,
        _summary(case, task, scan, label),
        label_error=label_error,
        doubt=doubt(scan.array, task.domain(domain).kind),
        content=content_of(scan.array),
        label_content=content_of(label, every_value=True) if label is not None and shown else None,
        label_fit=_label_fit(scan, label, task) if label is not None and shown else None,
        grid=(*scan.array.shape, *np.round(scan.affine, 3).ravel().tolist()),
    )


def _label_fit(scan: Scan, label: NDArray[np.uint8], task: Task) -> float:
    image = thin_out(scan.array, label, background=not task.pictures)
    return fit(image, image.label)


def _summary(case: Case, task: Task, scan: Scan, label: NDArray[np.uint8] | None) -> CaseSummary:
    structures = {s.index for s in task.structures}
    return CaseSummary(
        number=case.number,
        channels=scan.array.shape[0],
        shape=scan.shape,
        spacing_mm=None if task.pictures else scan.spacing_mm,
        orientation="".join(nib.aff2axcodes(scan.affine)),
        classes=None if label is None else tuple(int(v) for v in np.unique(label) if int(v) in structures),
    )

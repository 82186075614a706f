"""The scans that a model knows: their reference when it is made, and each new scan beside it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from monai_sfda import processes
from monai_sfda.catalog import Task
from monai_sfda.data.case import Case
from monai_sfda.data.reading import read_case
from monai_sfda.data.scan import Scan
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.guard import Reference, ScanObserver, ScanProfile, compare, fit_reference
from monai_sfda.guard.familiarity import FAMILIAR, UNLIKE, UNUSUAL
from monai_sfda.guard.reference_file import find_reference
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import MINIMUM_SUBJECTS
from monai_sfda.transforms import Preprocessing

logger = logging.getLogger(__name__)
MOST_SCANS = 32
ENOUGH_HELD_OUT = 8
"""Fewer held-out subjects than this are joined by those of the training: a spread of four is hardly known."""


def profile_scan(
    scan: Scan,
    network: SegmentationNetwork,
    preprocessing: Preprocessing,
    inferer: SliceStackInferer,
    device: torch.device,
    *,
    pictures: bool = False,
) -> ScanProfile:
    """A scan's profile, without a segmentation on its own grid.

    Args:
        scan: to look at.
        network: in evaluation mode, on `device`.
        preprocessing: of the scan's modality.
        inferer: slices to logits, as in inference.
        device: where the network lies.
        pictures: whether nothing has a size in mm.
    """
    slices, grid = preprocessing.image(scan.array, scan.affine)
    observer = ScanObserver(network, grid, sized=not pictures)
    with torch.inference_mode(), observer.watching():
        for _ in inferer.batches(slices, lambda x: network(x.to(device))):
            pass
    return observer.profile()


def reference_of_scans(
    cases: Sequence[Case],
    task: Task,
    domain: str,
    network: SegmentationNetwork,
    preprocessing: Preprocessing,
    inferer: SliceStackInferer,
    device: torch.device,
    *,
    scans: str,
    together: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Reference | None:
    """The reference of a list of scans, of at most `MOST_SCANS` evenly spaced ones.

    No label is read.

    Args:
        cases: scans that the model may know.
        task, domain: how they are read.
        network: the model, on `device`; put into evaluation mode.
        preprocessing, inferer, device: as in inference.
        scans: which they are, in words.
        together: whether all processes call this; they take turns at the scans then, and each gets the
            reference of all.
        progress: called with (scans done, scans in all).

    Returns:
        The reference; None with fewer than `MINIMUM_SUBJECTS` subjects.
    """
    if len({case.subject for case in cases}) < MINIMUM_SUBJECTS:
        logger.warning(
            "fewer than %d subjects: nothing is kept of what the scans are like, and inference cannot say "
            "whether a scan is like them",
            MINIMUM_SUBJECTS,
        )
        return None
    network.eval()
    inferer.stack_slices = preprocessing.stack_slices
    chosen = [
        cases[i * len(cases) // min(len(cases), MOST_SCANS)] for i in range(min(len(cases), MOST_SCANS))
    ]
    mine = list(enumerate(chosen))
    if together:
        mine = mine[processes.rank() :: processes.count()]
    found: list[tuple[int, ScanProfile]] = []
    for done, (place, case) in enumerate(mine, start=1):
        scan, _ = read_case(case, task, domain, with_label=False)
        profile = profile_scan(scan, network, preprocessing, inferer, device, pictures=task.pictures)
        found.append((place, profile))
        if progress is not None:
            progress(done, len(mine))
    gathered = processes.gather(found) if together else [found]
    everyone = dict(pair for of_process in gathered for pair in of_process)
    return fit_reference(
        [everyone[place] for place in range(len(chosen))],
        [case.subject for case in chosen],
        task.labels,
        domain=domain,
        scans=scans,
        pictures=task.pictures,
    )


class ScanComparison:
    """Compares the scans of a run with those that its model knows, as they are segmented.

    Without a reference it says so once, and compares nothing.

    Args:
        task, domain: of the run.
        checkpoint: the weights, beside which the reference lies.
    """

    def __init__(self, task: Task, domain: str, checkpoint: Path) -> None:
        self._task, self._domain = task, domain
        self._reference, self._missing = find_reference(checkpoint)
        self._observer: ScanObserver | None = None
        self._verdicts: dict[int, str] = {}
        if self._reference is None:
            logger.warning("scans are not compared with those that the model knows: %s", self._missing)

    @property
    def shift_expected(self) -> bool:
        """Whether the model knows another domain than that of the scans."""
        return self._reference is not None and self._reference.domain != self._domain

    @contextmanager
    def watching(
        self, scan: Scan, network: SegmentationNetwork, preprocessing: Preprocessing
    ) -> Iterator[None]:
        """Looks on while the network segments a scan in the block."""
        self._observer = None
        if self._reference is None:
            yield
            return
        grid = preprocessing.grid(scan.shape, scan.affine)
        observer = ScanObserver(network, grid, sized=not self._task.pictures)
        with observer.watching():
            yield
        self._observer = observer

    def judge(self, case: int) -> dict[str, Any]:
        """What `inference.json` says of the scan just watched, under `familiarity`; warns of a strange one.

        Args:
            case: its number.
        """
        if self._reference is None or self._observer is None:
            return {}
        found = compare(
            self._observer.profile(), self._reference, self._task.labels, pictures=self._task.pictures
        )
        self._verdicts[case] = found.verdict
        if found.verdict != FAMILIAR:
            logger.warning(
                "case %d is %s the %s scans that the model knows (score %.1f)%s: %s",
                case,
                "unlike" if found.verdict == UNLIKE else "unusual beside",
                self._reference.domain,
                found.score,
                ", as an unadapted model's may be" if self.shift_expected else "",
                "; ".join(found.reasons),
            )
        return {"familiarity": found.to_json()}

    def to_json(self) -> dict[str, Any]:
        """What the scans were compared with, for `inference.json`."""
        if self._reference is None:
            return {"missing": self._missing}
        return {
            "domain": self._reference.domain,
            "scans": self._reference.scans,
            "subjects": self._reference.subjects,
            "shift_expected": self.shift_expected,
        }

    def in_words(self) -> str:
        """A line for the end of the run."""
        if self._reference is None:
            return f"not compared with the scans that the model knows: {self._missing}"
        counts = Counter(self._verdicts.values())
        known = (
            f"compared with {self._reference.subjects} {self._reference.domain} subjects of the model: "
            + ", ".join(f"{counts[verdict]} {verdict}" for verdict in (FAMILIAR, UNUSUAL, UNLIKE))
        )
        strange = [str(case) for case, verdict in self._verdicts.items() if verdict != FAMILIAR]
        if strange:
            known += f" (cases {', '.join(strange)}: see inference.json)"
        if self.shift_expected:
            known += f"; it was not made for {self._domain} scans, so that a shift is expected"
        return known

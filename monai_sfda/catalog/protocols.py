"""How the papers evaluated: named protocols beside our own, each choice with where it comes from.

A published protocol may look at the labels of the scans that it evaluates, to crop round them and to leave
slices out. It exists for comparison with printed numbers, is chosen by `evaluate.json` alone, and nothing
that trains, adapts or chooses weights can reach it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OURS = "ours: the paper leaves it open"


@dataclass(frozen=True)
class Choice:
    """One choice of a protocol, for people.

    Attributes:
        of: what is chosen, e.g. `crop`.
        choice: what was chosen, in words.
        source: section, table or published code that it comes from; `OURS` where the paper is silent.
    """

    of: str
    choice: str
    source: str


@dataclass(frozen=True)
class LabelBox:
    """A crop of every slice to the box round all labelled pixels of the scan.

    Attributes:
        margin: pixels left on each side, where the image has them.
        plane: pixels that the image's sides are counted as, for the margin.
    """

    margin: int
    plane: int


@dataclass(frozen=True)
class LabelCentre:
    """A crop of every slice to a square round the mean position of all labelled voxels of the scan.

    Attributes:
        side_mm: of the square; what lies outside the image is cut off.
    """

    side_mm: float


@dataclass(frozen=True)
class PublishedProtocol:
    """How a paper evaluated on the target, as far as it or its published code says.

    Attributes:
        name: as given to `--protocol`.
        paper: whose protocol it is.
        crop: by which labels a scan is cut before the network sees it; None: not at all.
        crop_before_intensities: whether percentiles, mean and deviation are those of the crop.
        size: (H, W) in pixels that every slice, cropped, is scored at; None: `pixel_mm` or the scan's own.
        pixel_mm: pixel size that slices are scored at; None: `size` or the scan's own.
        labelled_slices: whether only slices whose label shows a structure are scored.
        largest_component: whether the largest component of each structure is kept alone.
        distances: further distances, by the names in `monai_sfda.evaluation.published_distances`.
        voxel_mm: length that `assd_voxel` counts in; None: steps of the grid, whatever their size.
        mean_of: structures and regions that the mean is over; empty: all structures.
        choices: every choice above in words, with its source.
    """

    name: str
    paper: str
    choices: tuple[Choice, ...]
    crop: LabelBox | LabelCentre | None = None
    crop_before_intensities: bool = False
    size: tuple[int, int] | None = None
    pixel_mm: float | None = None
    labelled_slices: bool = False
    largest_component: bool = False
    distances: tuple[str, ...] = ()
    voxel_mm: float | None = None
    mean_of: tuple[str, ...] = ()

    @property
    def looks_at_labels(self) -> bool:
        """Whether labels decide what is segmented or scored."""
        return self.crop is not None or self.labelled_slices

    def to_json(self) -> dict[str, Any]:
        """All settings, beginning with the name, as they stand in `summary.json`."""
        crop = None if self.crop is None else {"kind": type(self.crop).__name__} | asdict(self.crop)
        return {
            "name": self.name,
            "paper": self.paper,
            "looks_at_labels": self.looks_at_labels,
            "largest_component": self.largest_component,
            "crop": crop,
            "crop_before_intensities": self.crop_before_intensities,
            "size": None if self.size is None else list(self.size),
            "pixel_mm": self.pixel_mm,
            "labelled_slices": self.labelled_slices,
            "distances": list(self.distances),
            "voxel_mm": self.voxel_mm,
            "mean_of": list(self.mean_of),
            "choices": [asdict(choice) for choice in self.choices],
        }

"""Every task once: its labels, modalities, official layouts, splits and preprocessing. Imports no torch.

The command line, the readers, the bundles, the phantoms and the documentation all take what they say about a
task from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monai_sfda.errors import SettingError, nearest


@dataclass(frozen=True)
class Structure:
    """One segmented structure.

    Attributes:
        name: as the field writes it, lower case with underscores; used in files, tables and clients.
        index: its contiguous label, from 1; background is 0.
        color: red, green, blue in 0..255 for overlays.
        snomed: SNOMED CT code and meaning, for DICOM segmentations.
    """

    name: str
    index: int
    color: tuple[int, int, int]
    snomed: tuple[str, str]


@dataclass(frozen=True)
class LabelRange:
    """Stored label values from `low` to `high` (both included) mean the class `index`."""

    low: int
    high: int
    index: int


@dataclass(frozen=True)
class Intensity:
    """How the intensities of a modality become network input, before zero mean and unit variance.

    Attributes:
        window: lowest and highest value kept, in the scan's own unit (Hounsfield for CT); None for no window.
        percentiles: lowest and highest percentile kept, computed per scan; None for none.
        clip: after normalisation, values beyond this many standard deviations are clipped; None for no clip.
    """

    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    clip: float | None = 3.0


@dataclass(frozen=True)
class Domain:
    """One side of a task: a data set as it is published, and how its scans are read.

    Attributes:
        dataset: name of the reader (`chaos`, `btcv`, `ibsi`).
        modality: the modality's name within the data set, e.g. `T2SPIR`.
        kind: `MR` or `CT`.
        title: for people.
        label_values: stored label values of the classes used.
        other_values: stored values that are known and count as background.
        splits: subject ids by `train`, `val` and `test`.
        split_source: where the split comes from, for reports.
        intensity: preprocessing of the intensities.
        crop_margin_mm: for scans cropped round a lesion, the margin that the centre-blob baseline assumes.
    """

    dataset: str
    modality: str
    kind: str
    title: str
    label_values: tuple[LabelRange, ...]
    other_values: tuple[int, ...]
    splits: dict[str, tuple[str, ...]]
    split_source: str
    intensity: Intensity
    crop_margin_mm: float | None = None


@dataclass(frozen=True)
class Task:
    """A published adaptation task.

    Attributes:
        name: as given to `--task`.
        bundle: folder name of its bundle.
        structures: the classes without background.
        source, target: its two domains.
        slice_axis: axis across which a scan is cut into slices, in RAS orientation (2: axial).
        stack_slices: consecutive slices that make one network input (2.5D).
        pixel_size_mm, image_size: in-plane sampling at full size; `small.json` has its own.
        baselines: label-free reference segmentations that a report must show beside the model.
    """

    name: str
    title: str
    bundle: str
    structures: tuple[Structure, ...]
    source: Domain
    target: Domain
    slice_axis: int = 2
    stack_slices: int = 3
    pixel_size_mm: float = 1.6
    image_size: int = 256
    baselines: tuple[str, ...] = field(default=())

    @property
    def labels(self) -> dict[str, int]:
        """Class names to contiguous indices, background first."""
        return {"background": 0} | {s.name: s.index for s in self.structures}

    def domain(self, name: str) -> Domain:
        """The `source` or `target` domain; a `SettingError` for any other name."""
        if name not in ("source", "target"):
            raise SettingError(f"domain '{name}' is unknown", remedy="use 'source' or 'target'")
        return self.source if name == "source" else self.target


_CHAOS_TEST = ("1", "13", "32", "38")
_CHAOS_ALL = (
    "1",
    "2",
    "3",
    "5",
    "8",
    "10",
    "13",
    "15",
    "19",
    "20",
    "21",
    "22",
    "31",
    "32",
    "33",
    "34",
    "36",
    "37",
    "38",
    "39",
)
_BTCV_TEST = ("1", "9", "30", "32", "33", "39")
_BTCV_ALL = tuple(str(i) for i in (*range(1, 11), *range(21, 41)))


def _without(subjects: tuple[str, ...], removed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(s for s in subjects if s not in removed)


ABDOMEN = Task(
    name="abdomen",
    title="Abdominal organs, CHAOS MR to BTCV CT",
    bundle="abdomen_chaos_btcv_sfda",
    structures=(
        Structure("liver", 1, (221, 130, 101), ("10200004", "Liver")),
        Structure("right_kidney", 2, (90, 180, 220), ("9846003", "Right kidney")),
        Structure("left_kidney", 3, (70, 110, 210), ("18639004", "Left kidney")),
        Structure("spleen", 4, (157, 108, 190), ("78961009", "Spleen")),
    ),
    source=Domain(
        dataset="chaos",
        modality="T2SPIR",
        kind="MR",
        title="CHAOS T2-SPIR MR",
        label_values=(
            LabelRange(55, 70, 1),
            LabelRange(110, 135, 2),
            LabelRange(175, 200, 3),
            LabelRange(240, 255, 4),
        ),
        other_values=(0,),
        # SFS trains on 16 subjects and validates on the 4 held out; no weights are chosen by them, so they
        # also test.
        splits={"train": _without(_CHAOS_ALL, _CHAOS_TEST), "val": _CHAOS_TEST, "test": _CHAOS_TEST},
        split_source="16 train and 4 held out as in SFS and SIFA (ids second-hand, SIFA issue 34)",
        intensity=Intensity(percentiles=(0.0, 99.5)),
    ),
    target=Domain(
        dataset="btcv",
        modality="CT",
        kind="CT",
        title="BTCV CT",
        label_values=(LabelRange(6, 6, 1), LabelRange(2, 2, 2), LabelRange(3, 3, 3), LabelRange(1, 1, 4)),
        other_values=(0, 4, 5, 7, 8, 9, 10, 11, 12, 13),
        splits={"train": _without(_BTCV_ALL, _BTCV_TEST), "val": (), "test": _BTCV_TEST},
        split_source="24 train and 6 test as in SFS and SIFA (ids second-hand)",
        intensity=Intensity(window=(-125.0, 275.0)),
    ),
)

_IBSI_LABELS = (LabelRange(1, 1, 1),)

SOFT_TISSUE = Task(
    name="soft_tissue",
    title="Soft-tissue sarcoma, CT to T1-weighted MR",
    bundle="soft_tissue_ibsi_sfda",
    structures=(Structure("tumour", 1, (230, 90, 90), ("108369006", "Neoplasm")),),
    source=Domain(
        dataset="ibsi",
        modality="CT",
        kind="CT",
        title="IBSI soft-tissue sarcoma CT",
        label_values=_IBSI_LABELS,
        other_values=(0,),
        splits={
            "train": ("STS_002", "STS_003", "STS_008", "STS_012", "STS_018"),
            "val": ("STS_019",),
            "test": ("STS_019",),
        },
        split_source="ours, by patient: no patient is in two lists",
        intensity=Intensity(window=(-160.0, 240.0)),
        crop_margin_mm=50.0,  # as the data set states
    ),
    target=Domain(
        dataset="ibsi",
        modality="MR_T1",
        kind="MR",
        title="IBSI soft-tissue sarcoma T1-weighted MR",
        label_values=_IBSI_LABELS,
        other_values=(0,),
        splits={
            "train": ("STS_024", "STS_032", "STS_035", "STS_004", "STS_023"),
            "val": (),
            "test": ("STS_042", "STS_034"),
        },
        split_source="ours, by patient: no patient is in two lists",
        intensity=Intensity(percentiles=(0.0, 99.5)),
        # The MR scans are cropped closer and unevenly. This margin is the strongest over all labelled MR
        # scans: a
        # baseline that nothing may beat by chance. It enters no training and no adaptation.
        crop_margin_mm=25.0,
    ),
    pixel_size_mm=1.0,
    baselines=("centre_blob",),
)

TASKS: dict[str, Task] = {task.name: task for task in (ABDOMEN, SOFT_TISSUE)}


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        SettingError: when there is none; the message lists the nearest names.
    """
    if name not in TASKS:
        raise SettingError(
            f"task '{name}' is unknown", remedy=f"use one of {', '.join(nearest(name, TASKS))}"
        )
    return TASKS[name]

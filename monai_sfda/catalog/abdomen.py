"""Abdominal organs, CHAOS MR to BTCV CT."""

from __future__ import annotations

from monai_sfda.catalog.coding import LEFT, RIGHT, anatomy
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, Structure, Task
from monai_sfda.catalog.protocols import OURS, Choice, LabelBox, PublishedProtocol

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
# SFS's published code draws 1, 4, 23, 26, 32 and 36 instead (second-hand: numpy's seed 0).
_BTCV_TEST = ("1", "9", "30", "32", "33", "39")
_BTCV_ALL = tuple(str(i) for i in (*range(1, 11), *range(21, 41)))


def _without(subjects: tuple[str, ...], removed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(s for s in subjects if s not in removed)


_CODE = "second-hand: SFS's published code (evaluate_abdomen)"

_SFS = PublishedProtocol(
    name="paper",
    paper="SFS (Stan and Rostami)",
    crop=LabelBox(margin=30, plane=256),
    size=(256, 256),
    labelled_slices=True,
    distances=("assd_voxel",),
    choices=(
        Choice(
            "crop",
            "to the box round all labels of the scan and 30 pixels of 256, before the network",
            "Section 6.1",
        ),
        Choice("scored at", "256 x 256 pixels of the crop, whatever its aspect", "Section 6.1"),
        Choice(
            "network's pixels",
            "the crop is not enlarged for the network: it sees the pixel size that it was trained at",
            "ours: the paper's was trained on crops by labels, which no label-free training can be",
        ),
        Choice(
            "intensities",
            "window -125 to 275 HU (Section 6.1), mean and variance of the scan before the crop",
            "second-hand: SFS's published code; its text has them after the crop",
        ),
        Choice("slices", "only those whose label shows an organ; the others are left out", _CODE),
        Choice("Dice", "of the slices left of a scan, stacked; mean over the four organs", _CODE),
        Choice(
            "ASSD",
            "mean of the means of the two directions, in steps of the scored grid (`assd_voxel`), whatever "
            "their size in mm",
            _CODE,
        ),
        Choice("largest component", "not kept alone", _CODE),
        Choice(
            "subjects",
            "6 of 30, those of SIFA; SFS's code draws six others: evaluate them by `datalist`",
            "second-hand: SFS's published code (numpy seed 0)",
        ),
        Choice("interpolation", "bilinear for probabilities, nearest for labels", OURS),
    ),
)

ABDOMEN = Task(
    name="abdomen",
    title="Abdominal organs, CHAOS MR to BTCV CT",
    bundle="abdomen_chaos_btcv_sfda",
    structures=(
        Structure("liver", 1, (221, 130, 101), anatomy("10200004", "Liver")),
        Structure("right_kidney", 2, (90, 180, 220), anatomy("64033007", "Kidney", RIGHT)),
        Structure("left_kidney", 3, (70, 110, 210), anatomy("64033007", "Kidney", LEFT)),
        Structure("spleen", 4, (157, 108, 190), anatomy("78961009", "Spleen")),
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
        split_source="24 train and 6 test, as many as in SFS, and those of SIFA (ids second-hand); "
        "SFS's code draws others",
        intensity=Intensity(window=(-125.0, 275.0)),
    ),
    protocols=(_SFS,),
)

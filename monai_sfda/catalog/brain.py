"""Brain tumours of BraTS: from one MR sequence to another, from high- to low-grade gliomas (OSUDA's tasks).

Stored labels: 1 necrotic and non-enhancing core, 2 oedema, 4 enhancing tumour (3 since 2023).
"""

from __future__ import annotations

from monai_sfda.catalog.coding import BRAIN, NCI_THESAURUS, Coding, lesion
from monai_sfda.catalog.definitions import (
    Domain,
    Intensity,
    LabelRange,
    Region,
    SeededSplit,
    Structure,
    Task,
)
from monai_sfda.catalog.protocols import OURS, Choice, PublishedProtocol

# The images are skull stripped to exactly 0, so that statistics are those of the brain.
_BRAIN = Intensity(percentiles=(0.0, 99.5), nonzero=True)
_SEQUENCES = {
    name: f"BraTS {title} MR"
    for name, title in (("t1", "T1"), ("t1ce", "T1 with contrast agent"), ("t2", "T2"), ("flair", "FLAIR"))
}
_HALVES = (
    "ours, by subject, seeded: one half is the source, the other the target, each 80% to train and 20% held "
    "out (OSUDA: unpaired, 80% and 20%, which ones is not said)"
)
_GRADES = "ours, by subject, seeded: 75% train, 25% held out (OSUDA does not say how many)"


def _half(modality: str, part: int) -> Domain:
    """One of two halves of the subjects, of both grades; the paper has the data unpaired and 80/20."""
    return Domain(
        dataset="brats",
        modality=modality,
        kind="MR",
        title=_SEQUENCES[modality],
        label_values=(LabelRange(1, 4, 1),),
        other_values=(0,),
        splits=SeededSplit(0.8, 0.0 if part else 0.2, 0.2 if part else 0.0, part=part, parts=2),
        split_source=_HALVES,
        intensity=_BRAIN,
        modalities=_SEQUENCES,
    )


def _of_grade(grade: str, title: str, splits: SeededSplit) -> Domain:
    return Domain(
        dataset="brats",
        modality=grade,
        kind="MR",
        title=title,
        label_values=(LabelRange(1, 1, 1), LabelRange(2, 2, 2), LabelRange(3, 4, 3)),
        other_values=(0,),
        splits=splits,
        split_source=_GRADES,
        intensity=_BRAIN,
        channels=("t1", "t1ce", "t2", "flair"),
    )


def _lesion_part(value: str, meaning: str) -> Coding:
    return lesion(value, meaning, NCI_THESAURUS, BRAIN)


_PIXEL_SIZE_MM = 240 / 128  # the whole field of view of 240 mm in 128 pixels: nothing is cut off

_COMMON = (
    Choice("scored at", "128 x 128 pixels of the axial slices: the network's grid", "Section 3.1"),
    Choice("crop", "none: 128 pixels are the whole 240 mm, 1.875 mm each", OURS),
    Choice("slices", "all axial slices, with or without tumour", OURS),
    Choice("Dice", "of volumes, one by one", "ours: per volume or per slice is not said"),
    Choice("Hausdorff", "the maximum, in mm (`hd_mm`)", "Tables 1 and 2; that it is the maximum: ours"),
    Choice(
        "empty structures",
        "in one of the two alone: Dice 0, no distance; in neither: left out; both are counted",
        OURS,
    ),
)

_OSUDA_MODALITY = PublishedProtocol(
    name="paper",
    paper="OSUDA (Liu et al.)",
    size=(128, 128),
    choices=(
        *_COMMON,
        Choice("structures", "whole tumour", "Table 2"),
        Choice(
            "mean", "the paper's average is that of its three target sequences, each a run here", "Table 2"
        ),
    ),
)

_OSUDA_GRADE = PublishedProtocol(
    name="paper",
    paper="OSUDA (Liu et al.)",
    size=(128, 128),
    mean_of=("whole_tumour", "enhancing_tumour", "necrotic_non_enhancing_core"),
    choices=(
        *_COMMON,
        Choice(
            "structures",
            "whole tumour 1 + 2 + 4, EnhT 4, CoreT 1 (`necrotic_non_enhancing_core`); the tumour core 1 + 4 "
            "of BraTS is reported beside them",
            "Section 3",
        ),
        Choice(
            "mean",
            "of these three; that is the printed overall Hausdorff distance, but not the printed overall "
            "Dice (58.44 where the mean is 51.16), of which the paper does not say what it is",
            "Table 1",
        ),
    ),
)

BRAIN_MODALITY = Task(
    name="brain_modality",
    title="Whole brain tumour, BraTS T2 to another MR sequence",
    bundle="brain_brats_modality_sfda",
    structures=(Structure("whole_tumour", 1, (230, 90, 90), lesion("108369006", "Neoplasm", region=BRAIN)),),
    source=_half("t2", 0),
    target=_half("flair", 1),
    stack_slices=1,
    pixel_size_mm=_PIXEL_SIZE_MM,
    image_size=128,
    phantoms="brain",
    protocols=(_OSUDA_MODALITY,),
    mirrors=True,
)

BRAIN_GRADE = Task(
    name="brain_grade",
    title="Brain tumour compartments, BraTS high to low grade",
    bundle="brain_brats_grade_sfda",
    structures=(
        Structure(
            "necrotic_non_enhancing_core", 1, (230, 90, 90), _lesion_part("C81175", "Non-Enhancing Lesion")
        ),
        Structure("oedema", 2, (90, 180, 220), lesion("79654002", "Edema", region=BRAIN)),
        Structure("enhancing_tumour", 3, (240, 200, 80), _lesion_part("C113842", "Enhancing Lesion")),
    ),
    source=_of_grade("HGG", "BraTS high-grade glioma MR", SeededSplit(0.75, 0.25, 0.0)),
    target=_of_grade("LGG", "BraTS low-grade glioma MR", SeededSplit(0.75, 0.0, 0.25)),
    stack_slices=1,
    pixel_size_mm=_PIXEL_SIZE_MM,
    image_size=128,
    phantoms="brain",
    regions=(
        Region("whole_tumour", (1, 2, 3)),
        Region("tumour_core", (1, 3)),
    ),
    protocols=(_OSUDA_GRADE,),
    mirrors=True,
)

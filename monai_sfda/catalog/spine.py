"""Intervertebral discs, from one image of a Dixon examination to another: AdaEnt's task."""

from __future__ import annotations

from monai_sfda.catalog.coding import anatomy
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, SeededSplit, Structure, Task

_MODALITIES = {
    "wat": "IVDM3Seg water",
    "inn": "IVDM3Seg in-phase",
    "opp": "IVDM3Seg opposed-phase",
    "fat": "IVDM3Seg fat",
}


def _side(modality: str) -> Domain:
    """One image of the sets. Both domains have the same subjects, as in the paper: it is another image of the
    same examination, and no test subject of either is seen in training or adaptation.
    """
    return Domain(
        dataset="ivdm3seg",
        modality=modality,
        kind="MR",
        title=_MODALITIES[modality],
        label_values=(LabelRange(1, 255, 1),),
        other_values=(0,),
        splits=SeededSplit(train=0.75, val=0.0, test=0.25),
        split_source=(
            "ours, by subject: three quarters train, one quarter tests (AdaEnt: 13 and 3 of the 16 sets), "
            "the same subjects in both domains; which sets are one subject's is second-hand"
        ),
        intensity=Intensity(percentiles=(0.0, 99.5)),
        modalities=_MODALITIES,
    )


SPINE = Task(
    name="spine",
    title="Intervertebral discs, water to in-phase MR",
    bundle="spine_ivdm3seg_sfda",
    structures=(
        # SNOMED CT itself: the lists of DICOM name the levels of the discs alone
        Structure("intervertebral_disc", 1, (108, 184, 215), anatomy("360499006", "Intervertebral disc")),
    ),
    source=_side("wat"),
    target=_side("inn"),
    stack_slices=1,  # AdaEnt trains on single slices
    pixel_size_mm=1.25,
)

"""Intervertebral discs, from one image of a Dixon examination to another: AdaEnt's task."""

from __future__ import annotations

from monai_sfda.catalog.coding import anatomy
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, SeededSplit, Structure, Task
from monai_sfda.catalog.protocols import OURS, Choice, PublishedProtocol

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


_ADAENT = PublishedProtocol(
    name="paper",
    paper="AdaEnt (Bateson et al.)",
    distances=("hd_slice_pixel", "hd_row_pixel"),
    choices=(
        Choice(
            "scored at", "transverse slices, each pixel as scanned", "Section 3.1: no other pre-processing"
        ),
        Choice("slices", "all of a scan, with or without discs", "second-hand: the published code"),
        Choice("Dice", "of volumes, one by one", "second-hand: the published code (dice3d)"),
        Choice(
            "Hausdorff",
            "of transverse slices, in pixels, mean over the slices that show discs in both, then over scans "
            "(`hd_slice_pixel`)",
            "Table 1 has the unit; which slices: ours, as it is undefined for others",
        ),
        Choice(
            "Hausdorff of rows",
            "what the published code computes under that name, and what may explain printed values of about "
            "one pixel: rows of the mask taken for points, mean over all slices (`hd_row_pixel`)",
            "second-hand: the published code (numpy_haussdorf)",
        ),
        Choice("largest component", "not kept alone", OURS),
        Choice("subjects", "the paper tests on 3 of 16 sets, which it does not name", "Section 3.1"),
    ),
)

SPINE = Task(
    name="spine",
    title="Intervertebral discs, water to in-phase MR",
    bundle="spine_ivdm3seg_sfda",
    structures=(
        # second-hand, from two public mappings: the lists of DICOM name the levels of the discs alone
        Structure("intervertebral_disc", 1, (108, 184, 215), anatomy("360499006", "Intervertebral disc")),
    ),
    source=_side("wat"),
    target=_side("inn"),
    stack_slices=1,  # AdaEnt trains on single slices
    pixel_size_mm=1.25,
    protocols=(_ADAENT,),
    mirrors=True,
)

"""Soft-tissue sarcoma, CT to T1-weighted MR: the data set that is published without registration."""

from __future__ import annotations

from monai_sfda.catalog.coding import lesion
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, Structure, Task

_IBSI_LABELS = (LabelRange(1, 1, 1),)

SOFT_TISSUE = Task(
    name="soft_tissue",
    title="Soft-tissue sarcoma, CT to T1-weighted MR",
    bundle="soft_tissue_ibsi_sfda",
    structures=(Structure("tumour", 1, (230, 90, 90), lesion("108369006", "Neoplasm")),),
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
    mirrors=True,
)

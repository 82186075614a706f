"""The heart, MMWHS MR to MMWHS CT."""

from __future__ import annotations

from monai_sfda.catalog.coding import anatomy
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, Structure, Task

_ALL = tuple(str(i) for i in range(1001, 1021))
_MR_TEST = ("1007", "1009", "1018", "1019")
_CT_TEST = ("1003", "1008", "1014", "1019")

# 421 stands for 420 in one case (second-hand).
_LABELS = (LabelRange(205, 205, 1), LabelRange(420, 421, 2), LabelRange(500, 500, 3), LabelRange(820, 820, 4))
_OTHERS = (0, 550, 600, 850)  # right atrium, right ventricle, pulmonary artery
# As published: the top 2% are cut, then zero mean and unit variance, without a clip.
_INTENSITY = Intensity(percentiles=(0.0, 98.0), clip=None)


def _without(removed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(s for s in _ALL if s not in removed)


CARDIAC = Task(
    name="cardiac",
    title="Heart, MMWHS MR to MMWHS CT",
    bundle="cardiac_mmwhs_sfda",
    structures=(
        # MMWHS draws the myocardium of the left ventricle alone; its code is of CID 12305.
        Structure("myocardium", 1, (205, 92, 92), anatomy("49848007", "Left Ventricle Myocardium")),
        Structure("left_atrium", 2, (240, 180, 80), anatomy("82471001", "Left atrium")),
        Structure("left_ventricle", 3, (90, 150, 220), anatomy("87878005", "Left Ventricle")),
        Structure("ascending_aorta", 4, (110, 190, 120), anatomy("54247002", "Ascending aorta")),
    ),
    source=Domain(
        dataset="mmwhs",
        modality="mr",
        kind="MR",
        title="MMWHS MR",
        label_values=_LABELS,
        other_values=_OTHERS,
        # no weights are chosen by the subjects held out, so they also test
        splits={"train": _without(_MR_TEST), "val": _MR_TEST, "test": _MR_TEST},
        split_source="16 train and 4 held out as in SIFA (ids second-hand, SIFA issue 6)",
        intensity=_INTENSITY,
    ),
    target=Domain(
        dataset="mmwhs",
        modality="ct",
        kind="CT",
        title="MMWHS CT",
        label_values=_LABELS,
        other_values=_OTHERS,
        splits={"train": _without(_CT_TEST), "val": (), "test": _CT_TEST},
        split_source="16 train and 4 test as in SFS and SIFA (ids second-hand, SIFA issue 6)",
        intensity=_INTENSITY,
    ),
    slice_axis=1,
    pixel_size_mm=1.0,
)

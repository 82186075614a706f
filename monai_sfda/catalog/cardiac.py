"""The heart, MMWHS MR to MMWHS CT."""

from __future__ import annotations

from dataclasses import replace

from monai_sfda.catalog.coding import anatomy
from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, Structure, Task
from monai_sfda.catalog.protocols import Choice, LabelCentre, PublishedProtocol

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


_AUTHORS = "second-hand: the authors of the data that the paper took over (PnP-AdaNet), issue 1 of their code"
_CODE = "second-hand: SFS's published code (evaluate_mmwhs), as SIFA's"
_MM = "ours: the published volumes were resized (second-hand: issue 44 of SIFA), to what is not said"

_SFS = PublishedProtocol(
    name="paper",
    paper="SFS (Stan and Rostami)",
    crop=LabelCentre(side_mm=256.0),
    crop_before_intensities=True,
    pixel_mm=1.0,
    distances=("assd_voxel",),
    voxel_mm=1.0,
    choices=(
        Choice(
            "crop",
            "coronal 256 x 256 pixels round the mean position of the label's voxels, before the network",
            _AUTHORS,
        ),
        Choice("pixels", "1 mm in the coronal plane, where the crop has 256 of them; slices as scanned", _MM),
        Choice(
            "centre",
            "of the four structures; what lies outside the image is cut off, and nothing is padded",
            "ours: which labels were averaged is not said",
        ),
        Choice("intensities", "top 2% cut, zero mean and unit variance, of the crop", _AUTHORS),
        Choice("slices", "all coronal slices, with or without the heart", _CODE),
        Choice("Dice", "of volumes, one by one; mean over the four structures", _CODE),
        Choice(
            "ASSD",
            "mean of the means of the two directions, in voxels of 1 mm (`assd_voxel`); no unit is printed",
            _CODE,
        ),
        Choice("largest component", "not kept alone", _CODE),
        Choice("subjects", "four CT scans, the target's test split", "second-hand: SFS's published notebook"),
    ),
)

_PRIOR_MATCHING = replace(
    _SFS,
    name="paper_prior_matching",
    paper="prior matching (Ouyang et al.)",
    largest_component=True,
    choices=(
        *(choice for choice in _SFS.choices if choice.of in ("crop", "pixels", "centre", "intensities")),
        Choice("slices", "all coronal slices, with or without the heart", "as SIFA's code, which it follows"),
        Choice(
            "largest component",
            "the largest 3D component of each structure is kept alone, for Dice too",
            "Section 3; whether for Dice too: ours",
        ),
        Choice(
            "ASSD",
            "in voxels (Table 1) of 1 mm, mean of the means of the two directions (`assd_voxel`)",
            "Table 1; how it is averaged, and the 1 mm: ours",
        ),
        Choice(
            "repetitions",
            "one evaluation a run; the paper averages six runs, each on another target scan",
            "Section 3",
        ),
    ),
)

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
        split_source="16 train and 4 test as in SIFA and prior matching; SFS trains on 14 and has the same 4 "
        "(ids second-hand: SIFA issue 6, SFS's published notebook)",
        intensity=_INTENSITY,
    ),
    slice_axis=1,
    pixel_size_mm=1.0,
    protocols=(_SFS, _PRIOR_MATCHING),
)

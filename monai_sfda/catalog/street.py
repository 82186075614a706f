"""Street scenes, GTA5 or SYNTHIA to Cityscapes: what MAS3 was shown on. Pictures, not scans.

Classes are the 19 of the Cityscapes benchmark, with its train ids as indices: there is no background, and
pixels of every other id are ignored. SYNTHIA shares 16 of them, and 13 where thin and small ones are left
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from monai_sfda.catalog.definitions import Domain, Intensity, LabelRange, SeededSplit, Structure, Task
from monai_sfda.catalog.protocols import OURS, Choice, PublishedProtocol

#: Class, its Cityscapes id, its SYNTHIA id and its colour, in the order of the train ids.
_CLASSES = (
    ("road", 7, 3, (128, 64, 128)),
    ("sidewalk", 8, 4, (244, 35, 232)),
    ("building", 11, 2, (70, 70, 70)),
    ("wall", 12, 21, (102, 102, 156)),
    ("fence", 13, 5, (190, 153, 153)),
    ("pole", 17, 7, (153, 153, 153)),
    ("traffic_light", 19, 15, (250, 170, 30)),
    ("traffic_sign", 20, 9, (220, 220, 0)),
    ("vegetation", 21, 6, (107, 142, 35)),
    ("terrain", 22, 16, (152, 251, 152)),
    ("sky", 23, 1, (70, 130, 180)),
    ("person", 24, 10, (220, 20, 60)),
    ("rider", 25, 17, (255, 0, 0)),
    ("car", 26, 8, (0, 0, 142)),
    ("truck", 27, 18, (0, 0, 70)),
    ("bus", 28, 19, (0, 60, 100)),
    ("train", 31, 20, (0, 80, 100)),
    ("motorcycle", 32, 12, (0, 0, 230)),
    ("bicycle", 33, 11, (119, 11, 32)),
)
_NOT_IN_16 = ("terrain", "truck", "train")
_NOT_IN_13 = (*_NOT_IN_16, "wall", "fence", "pole")
_CITYSCAPES_VALUES = (*range(35), 255)  # 255 is id -1, the licence plate, in 8 bits
_SYNTHIA_VALUES = range(23)
_INTENSITY = Intensity(fixed=(114.5, 57.6), clip=None)  # ImageNet's mean and spread, of its three channels
_CITIES_TRAIN = (
    "aachen",
    "bochum",
    "bremen",
    "cologne",
    "darmstadt",
    "dusseldorf",
    "erfurt",
    "hamburg",
    "hanover",
    "jena",
    "krefeld",
    "monchengladbach",
    "strasbourg",
    "stuttgart",
    "tubingen",
    "ulm",
    "weimar",
    "zurich",
)
_CITIES_VAL = ("frankfurt", "lindau", "munster")


_MAS3 = PublishedProtocol(
    name="paper",
    paper="MAS3 (Stan and Rostami)",
    size=(512, 1024),
    choices=(
        Choice("scored at", "1024 x 512 pixels: labels are resized too", "Section Experimental Validation"),
        Choice(
            "IoU",
            "of the pixels of all pictures together; mean over classes",
            "Section Experimental Validation; that they are pooled: as Cityscapes is scored",
        ),
        Choice("classes", "19 from GTA5, 16 or 13 shared with SYNTHIA: a task each", "Tables 1 and 2"),
        Choice(
            "class 0",
            "pixels without a class count nowhere; class 0 is road here, and counts",
            "Section Experimental Validation: the shared categories",
        ),
        Choice("pictures", "the 500 of the Cityscapes val split", "Section Experimental Validation"),
        Choice("interpolation", "bilinear for probabilities, nearest for labels", OURS),
    ),
)


def _domain(
    dataset: str, title: str, synthia_ids: bool, without: tuple[str, ...], values: Iterable[int]
) -> Domain:
    kept = [row for row in _CLASSES if row[0] not in without]
    ids = [row[2] if synthia_ids else row[1] for row in kept]
    return Domain(
        dataset=dataset,
        modality="RGB",
        kind="picture",
        title=title,
        label_values=tuple(LabelRange(value, value, index) for index, value in enumerate(ids)),
        other_values=(),
        ignored_values=tuple(value for value in values if value not in ids),
        splits=SeededSplit(train=0.9, val=0.05, test=0.05),
        split_source="ours, by a hash of the picture's number (neighbours may show one place)",
        intensity=_INTENSITY,
    )


def _task(name: str, title: str, source: Domain, without: tuple[str, ...]) -> Task:
    target = _domain("cityscapes", "Cityscapes pictures", False, without, _CITYSCAPES_VALUES)
    return Task(
        name=name,
        title=title,
        bundle="street_cityscapes_sfda",
        structures=tuple(
            Structure(row[0], index, row[3])
            for index, row in enumerate(row for row in _CLASSES if row[0] not in without)
        ),
        source=source,
        target=replace(
            target,
            splits={"train": _CITIES_TRAIN, "val": (), "test": _CITIES_VAL},
            split_source="official, by city: the pictures of the published val split test",
        ),
        stack_slices=1,
        pictures=True,
        phantoms="street",
        protocols=(_MAS3,),
        mirrors=True,
    )


STREET = _task(
    "street",
    "Street scenes, GTA5 to Cityscapes",
    _domain("gta5", "GTA5 pictures", False, (), _CITYSCAPES_VALUES),
    (),
)
STREET_SYNTHIA_16 = _task(
    "street_synthia_16",
    "Street scenes, SYNTHIA to Cityscapes, 16 classes",
    _domain("synthia", "SYNTHIA pictures", True, _NOT_IN_16, _SYNTHIA_VALUES),
    _NOT_IN_16,
)
STREET_SYNTHIA_13 = _task(
    "street_synthia_13",
    "Street scenes, SYNTHIA to Cityscapes, 13 classes",
    _domain("synthia", "SYNTHIA pictures", True, _NOT_IN_13, _SYNTHIA_VALUES),
    _NOT_IN_13,
)

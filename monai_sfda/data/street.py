"""Street scenes as published: Cityscapes, GTA5 and SYNTHIA (RAND_CITYSCAPES).

| data set | picture | label |
|---|---|---|
| Cityscapes | `leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png` | `gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png`, ids |
| GTA5 | `images/00001.png` | `labels/00001.png`, Cityscapes ids behind a palette, or Cityscapes colours |
| SYNTHIA | `RGB/0000000.png` | `GT/LABELS/0000000.png`, 16 bits, the class in the first channel |

The subject of a Cityscapes picture is its city, by which the data set is split. GTA5 and SYNTHIA do not say
which pictures are of one drive: each is its own subject.

Sources: https://www.cityscapes-dataset.com, https://download.visinf.tu-darmstadt.de/data/from_games,
https://synthia-dataset.net.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, Folder, FoundScan, add_subject, folders_below

_CITYSCAPES = re.compile(r"(([a-z-]+)_\d{6}_\d{6})_leftImg8bit\.png", re.IGNORECASE)
_GTA5 = re.compile(r"(\d{5})\.png", re.IGNORECASE)
_SYNTHIA = re.compile(r"(\d{7})\.png", re.IGNORECASE)
Pictures = list[tuple[str, FoundScan]]


@dataclass(frozen=True)
class StreetLayout:
    """One of the layouts.

    Attributes:
        words: it in words, for messages.
        levels: folders between its top and its pictures.
        pictures: what a folder holds, by id.
    """

    words: str
    levels: int
    pictures: Callable[[Folder], Pictures]

    def expected(self, modality: str) -> str:
        """The layout, for messages."""
        return self.words

    def find(self, dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
        """The pictures by id.

        Args:
            dataset_dir: folder that holds the unpacked download, at any depth up to four.
            modality: there is one, which is not looked at.

        A picture that is there twice has that as its fault.
        """
        found: dict[str, FoundScan] = {}
        for folder in folders_below(dataset_dir, SEARCH_DEPTH + self.levels):
            for name, scan in self.pictures(folder):
                add_subject(found, name, scan)
        return found


def _cityscapes(folder: Folder) -> Pictures:
    split = folder.path.parent
    if split.parent.name != "leftImg8bit" or split.name == "test":  # the labels of `test` are not published
        return []
    labels = split.parent.parent / "gtFine" / split.name / folder.path.name
    matches = [(name, match) for name in folder.files if (match := _CITYSCAPES.fullmatch(name))]
    return [
        (match[1], FoundScan((folder.path / name,), labels / f"{match[1]}_gtFine_labelIds.png", match[2]))
        for name, match in matches
    ]


def _gta5(folder: Folder) -> Pictures:
    if folder.path.name.casefold() != "images":
        return []
    labels = folder.path.parent / "labels"
    names = [name for name in folder.files if _GTA5.fullmatch(name)]
    return [(name[:5], FoundScan((folder.path / name,), labels / name)) for name in names]


def _synthia(folder: Folder) -> Pictures:
    if folder.path.name.casefold() != "rgb":
        return []
    labels = folder.path.parent / "GT" / "LABELS"
    names = [name for name in folder.files if _SYNTHIA.fullmatch(name)]
    return [(name[:7], FoundScan((folder.path / name,), labels / name)) for name in names]


CITYSCAPES = StreetLayout(
    "leftImg8bit/train/<city>/<city>_000000_000019_leftImg8bit.png with "
    "gtFine/train/<city>/<city>_000000_000019_gtFine_labelIds.png",
    3,
    _cityscapes,
)
GTA5 = StreetLayout("images/00001.png with labels/00001.png", 1, _gta5)
SYNTHIA = StreetLayout("RGB/0000000.png with GT/LABELS/0000000.png", 1, _synthia)

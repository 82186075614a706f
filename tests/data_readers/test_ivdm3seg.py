"""IVDM3Seg: which file is which image, whose the sets are, and that no subject is in two lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_sfda.catalog import SPINE
from monai_sfda.data import ivdm3seg
from monai_sfda.data.ivdm3seg import either_pairing
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.errors import DataError, SettingError

from . import build

AFFINE = build.affine((2.0, 1.25, 1.25))
SHAPE = (6, 9, 8)
MASK = (np.arange(np.prod(SHAPE)) % 2).reshape(SHAPE).astype(np.int16)


def write_sets(root: Path, numbers: list[int], ending: str = ".nii") -> None:
    for n in numbers:
        for place, name in enumerate(("fat", "inn", "opp", "wat")):
            build.write_nifti(
                root / f"{n:02d}" / f"{n:02d}_{name}{ending}", build.volume(SHAPE, 10 * n + place), AFFINE
            )
        build.write_nifti(root / "labels" / f"{n:02d}_Labels{ending}", MASK, AFFINE)


@pytest.fixture
def download(tmp_path: Path) -> Path:
    write_sets(tmp_path / "a" / "IVDM3Seg", list(range(1, 17)))
    return tmp_path


@pytest.mark.parametrize(("modality", "place"), [("fat", 0), ("inn", 1), ("opp", 2), ("wat", 3)])
def test_every_image_is_found_with_its_mask(download: Path, modality: str, place: int) -> None:
    task = SPINE.with_modalities(target=modality)
    for split in ("train", "test"):
        for case in list_cases(task, "target", split, download).cases:
            scan, label = read_case(case, task, "target", with_label=True)
            number = int(case.image[0].parent.name)
            np.testing.assert_array_equal(scan.array[0], build.volume(SHAPE, 10 * number + place))
            np.testing.assert_array_equal(label, MASK)


def test_sets_of_one_subject_are_in_one_list_by_either_numbering(download: Path) -> None:
    lists = {
        split: {int(c.image[0].parent.name) for c in list_cases(SPINE, "source", split, download).cases}
        for split in ("train", "test")
    }
    assert sorted(lists["train"] | lists["test"]) == list(range(1, 17))
    assert (len(lists["train"]), len(lists["test"])) == (12, 4)
    for numbers in lists.values():
        for n in numbers:
            assert (n + 1 if n % 2 else n - 1) in numbers
            assert (n + 8 if n <= 8 else n - 8) in numbers


def test_source_and_target_have_the_same_test_subjects(download: Path) -> None:
    source, target = (
        {c.subject for c in list_cases(SPINE, side, "test", download).cases} for side in ("source", "target")
    )
    assert source == target


def test_a_file_says_whose_the_sets_are(download: Path) -> None:
    listing = download / "a" / "IVDM3Seg" / "subjects.json"
    whose = ", ".join(f'"{n:02d}": "P{(n - 1) // 2}"' for n in range(1, 17))
    listing.write_text("{" + whose + "}", encoding="utf-8")
    found = ivdm3seg.find(download, "wat")
    assert [found[str(n)].subject for n in (1, 2, 3, 16)] == ["P0", "P0", "P1", "P7"]
    assert len({c.subject for c in list_cases(SPINE, "target", "test", download).cases}) == 2
    listing.write_text('{"1": "P0"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"15 of the 16 sets have no subject .*subjects.json"):
        ivdm3seg.find(download, "wat")
    listing.write_text('{"1": "P0", "01": "P1"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"set 1 is of subject 'P0' and of subject 'P1' in .*subjects\.json"):
        ivdm3seg.find(download, "wat")
    listing.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as numbers of sets"):
        ivdm3seg.find(download, "wat")


@pytest.mark.parametrize("count", [2, 6, 7, 15, 16])
def test_groups_hold_both_pairings(count: int) -> None:
    groups = either_pairing([str(n) for n in range(1, count + 1)])
    for n in range(1, count + 1):
        half = (count + 1) // 2
        for other in (n + 1 if n % 2 else n - 1, n + half):
            if 1 <= other <= count:
                assert groups[str(n)] == groups[str(other)]


def test_packed_files_other_cases_and_one_folder_are_read(tmp_path: Path) -> None:
    build.write_nifti(tmp_path / "3_Wat.nii.gz", build.volume(SHAPE, 1), AFFINE)
    build.write_nifti(tmp_path / "labels" / "3_Labels.nii.gz", MASK, AFFINE)
    found = ivdm3seg.find(tmp_path, "wat")
    assert list(found) == ["3"]
    assert found["3"].label.is_file()


def test_a_set_that_is_there_twice_is_an_error(download: Path) -> None:
    write_sets(download / "copy", [3])
    found = ivdm3seg.find(download, "wat")
    assert [number for number, scan in found.items() if scan.fault] == ["3"]
    assert "there twice (also " in str(found["3"].fault)


def test_a_missing_mask_names_the_image_and_the_layout(download: Path) -> None:
    for mask in (download / "a" / "IVDM3Seg" / "labels").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match=r"labels/NN_Labels\.nii"):
        list_cases(SPINE, "target", "test", download)
    assert list_cases(SPINE, "target", "train", download, labels=False).cases


def test_an_unknown_modality_lists_the_nearest() -> None:
    with pytest.raises(SettingError, match="wat"):
        SPINE.with_modalities(target="water")
    swapped = SPINE.with_modalities("inn", "wat")
    assert (swapped.source.title, swapped.target.title) == ("IVDM3Seg in-phase", "IVDM3Seg water")
    assert replace(swapped.source, modality="wat", title="IVDM3Seg water") == SPINE.source

"""Street scenes as published: layouts, official mappings, ignored pixels, and what is wrong in a download."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from monai_sfda.catalog import STREET, STREET_SYNTHIA_13, STREET_SYNTHIA_16
from monai_sfda.data.listing import list_cases, list_folder, read_case
from monai_sfda.errors import DataError
from monai_sfda.phantom import write_phantoms

# Cityscapes id to train id, as the benchmark's own label table has it; every other id is ignored.
TRAIN_IDS = dict(
    zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), range(19), strict=True)
)
# SYNTHIA id to Cityscapes train id, as published adaptation work uses it.
SYNTHIA_IDS = {
    3: 0,
    4: 1,
    2: 2,
    21: 3,
    5: 4,
    7: 5,
    15: 6,
    9: 7,
    6: 8,
    16: 9,
    1: 10,
    10: 11,
    17: 12,
    8: 13,
    18: 14,
    19: 15,
    20: 16,
    12: 17,
    11: 18,
}
NAMES = [s.name for s in STREET.structures]


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Two drives a data set."""
    out = tmp_path_factory.mktemp("streets") / "data"
    write_phantoms("street", out, subjects=2, seed=3, matrix=96, workers=2)
    return out


def by_table(stored, table):
    lookup = np.full(256, 255)
    lookup[list(table)] = list(table.values())
    return lookup[stored]


def test_cityscapes_are_split_by_city_as_published(streets):
    train, test = (list_cases(STREET, "target", split, streets) for split in ("train", "test"))
    assert {case.subject for case in train.cases} == {"aachen"}
    assert {case.subject for case in test.cases} == {"frankfurt"}
    assert all("/val/frankfurt/frankfurt_" in str(case.image[0]) for case in test.cases)
    assert len(train.cases) == len(test.cases) == 16


def test_the_test_pictures_of_cityscapes_have_no_labels_and_are_left_out(tmp_path):
    folder = tmp_path / "leftImg8bit" / "test" / "berlin"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 4)).save(folder / "berlin_000000_000019_leftImg8bit.png")
    with pytest.raises(DataError, match="no Cityscapes pictures"):
        list_cases(STREET, "target", "test", tmp_path)


def test_gta5_and_synthia_lists_share_no_picture(streets):
    for task in (STREET, STREET_SYNTHIA_16):
        lists = [list_cases(task, "source", split, streets).cases for split in ("train", "val", "test")]
        subjects = [case.subject for cases in lists for case in cases]
        assert len(set(subjects)) == len(subjects) == 32


@pytest.mark.parametrize("domain", ["source", "target"])
def test_ids_become_the_benchmarks_train_ids_and_all_others_are_ignored(streets, domain):
    for case in list_cases(STREET, domain, "train", streets).cases[:4]:
        scan, label = read_case(case, STREET, domain, with_label=True)
        picture, stored = (np.asarray(Image.open(path)) for path in (case.image[0], case.label))
        np.testing.assert_array_equal(label[..., 0], by_table(stored, TRAIN_IDS))
        np.testing.assert_array_equal(scan.array[..., 0], picture.transpose(2, 0, 1))
        assert Image.open(case.label).mode == ("P" if domain == "source" else "L")


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        (STREET_SYNTHIA_16, {"terrain", "truck", "train"}),
        (STREET_SYNTHIA_13, {"terrain", "truck", "train", "wall", "fence", "pole"}),
    ],
)
def test_synthia_shares_16_or_13_classes(streets, task, missing):
    kept = [name for name in NAMES if name not in missing]
    assert [s.name for s in task.structures] == kept
    of_train_id = {NAMES.index(name): index for index, name in enumerate(kept)}
    synthia = {i: of_train_id[t] for i, t in SYNTHIA_IDS.items() if t in of_train_id}
    cityscapes = {i: of_train_id[t] for i, t in TRAIN_IDS.items() if t in of_train_id}
    case = list_cases(task, "source", "train", streets).cases[0]
    stored = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case.label)))
    assert stored.dtype == np.uint16
    _, label = read_case(case, task, "source", with_label=True)
    np.testing.assert_array_equal(label[..., 0], by_table(stored[..., 0], synthia))
    case = list_cases(task, "target", "train", streets).cases[0]
    _, label = read_case(case, task, "target", with_label=True)
    np.testing.assert_array_equal(label[..., 0], by_table(np.asarray(Image.open(case.label)), cityscapes))


def gta5(folder, picture, label):
    """One GTA5 picture with its label, read."""
    for name, image in (("images", picture), ("labels", label)):
        (folder / name).mkdir(exist_ok=True)
        image.save(folder / name / "00001.png")
    case = list_cases(STREET, "source", "train", folder).cases[0]
    return read_case(case, STREET, "source", with_label=True)


def test_labels_in_colour_are_those_behind_the_palette(tmp_path):
    ids = np.array([[7, 8, 26], [33, 0, 11]], dtype=np.uint8)
    colours = {7: (128, 64, 128), 8: (244, 35, 232), 26: (0, 0, 142), 33: (119, 11, 32), 11: (70, 70, 70)}
    painted = np.array([[colours.get(int(i), (0, 0, 0)) for i in row] for row in ids], dtype=np.uint8)
    _, label = gta5(tmp_path, Image.new("RGB", (3, 2)), Image.fromarray(painted))
    np.testing.assert_array_equal(label[..., 0], by_table(ids, TRAIN_IDS))
    painted[0, 0] = (1, 2, 3)
    with pytest.raises(DataError, match=r"1 colours that are not of Cityscapes, such as \(1, 2, 3\)"):
        gta5(tmp_path, Image.new("RGB", (3, 2)), Image.fromarray(painted))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P"])
def test_pictures_of_other_kinds_become_three_channels(tmp_path, mode):
    values = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    picture = Image.fromarray(values).convert(mode)
    scan, _ = gta5(tmp_path, picture, Image.new("L", (5, 4), 7))
    np.testing.assert_array_equal(scan.array[..., 0].transpose(1, 2, 0), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (Image.new("L", (5, 3), 7), "a label of 5 x 3 pixels for a picture of 5 x 4"),
        (Image.new("L", (5, 4), 99), "unknown label values (99)"),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, label, message):
    with pytest.raises(DataError) as caught:
        gta5(tmp_path, Image.new("RGB", (5, 4)), label)
    assert message in str(caught.value)


def test_a_missing_label_and_a_damaged_picture_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00001.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"label is missing .* images/00001\.png"):
        list_cases(STREET, "source", "train", tmp_path)
    (case,) = list_folder(tmp_path, pictures=True).cases
    with pytest.raises(DataError, match="truncated or is no picture"):
        read_case(case, STREET, "source", with_label=False)


def test_a_plain_folder_of_pictures_leaves_own_segmentations_out(tmp_path):
    for name in ("a.png", "b.JPG", "a_seg.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, "PNG")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    listed = list_folder(tmp_path, pictures=True)
    assert [case.image[0].name for case in listed.cases] == ["a.png", "b.JPG"]
    assert listed.warnings == ("1 segmentations beside their pictures are left out",)
    with pytest.raises(DataError, match="no pictures among 1 files"):
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "notes.txt").write_text("x", encoding="utf-8")
        list_folder(tmp_path / "c", pictures=True)

"""A folder as the app's datastore: what is found, under which ids, and what is kept of it."""

import gzip
import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.dicom import scan_headers
from monai_sfda.errors import DataError
from monai_sfda.label.studies import (
    images_of_scanner,
    open_datastore,
    scanner_of,
    scanners,
    uploads,
)
from monai_sfda.label.studies.errors import TakenError, UnknownImageError
from tests.data_readers import build
from tests.label.dicom_phantoms import same_place, write_study

TASKS = {"abdomen": ABDOMEN}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder with an MR study of two scans, a CT study and three volume files, nested."""
    root = tmp_path_factory.mktemp("studies")
    write_study(root / "ward" / "MUSTER^ERIKA", scans=2, private=True, malformed=True, localizer=True)
    write_study(root / "ct", modality="CT", manufacturer="Other ", model="B  2", patient="P2")
    build.write_nifti(root / "nifti" / "erika.nii.gz", build.volume(), build.affine())
    build.write_itk(root / "nifti" / "more.mha", build.volume(seed=1), build.affine())
    build.write_itk(root / "more.nrrd", build.volume(seed=2), build.affine())
    build.write_nifti(root / "nifti" / "erika_seg.nii.gz", build.class_volume(), build.affine())
    return root


def opened(root, tmp_path):
    return open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)


def test_scans_of_every_kind_are_found_under_ids_that_say_nothing(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    images = datastore.list_images()
    assert len(images) == 6
    assert all(i.startswith("scan-") and len(i) == 17 for i in images)
    served = str([datastore.json(), datastore.status()])
    for private in ("MUSTER", "erika", "PHANTOM-1", "P2", str(mixed), "IMG-"):
        assert private not in served, private
    assert datastore.list_images() == opened(mixed, tmp_path).list_images()


def test_an_image_is_a_file_or_a_folder_with_one_series(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    kinds = []
    for image in datastore.list_images():
        place = Path(datastore.get_image_uri(image))
        assert "MUSTER" not in str(place)
        assert "erika" not in place.name
        if place.is_dir():
            kinds.append(datastore.get_image_info(image)["Modality"])
            assert len(scan_headers(place)) == 12
        else:
            kinds.append("file")
            assert place.name == datastore.get_image_info(image)["name"]
    assert sorted(kinds) == ["CT", "MR", "MR", "file", "file", "file"]


def test_scanners(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    assert scanners(datastore) == {("Phantom", "A1"): 2, ("Other", "B 2"): 1}
    assert len(images_of_scanner(datastore, "phantom", " a1 ")) == 2
    assert images_of_scanner(datastore, "Nobody", "A1") == []
    infos = [datastore.get_image_info(i) for i in datastore.list_images()]
    subjects = {info["SeriesInstanceUID"]: info["subject"] for info in infos if scanner_of(info)}
    assert len(subjects) == 3
    assert len(set(subjects.values())) == 2


def test_the_download_of_a_series_is_a_volume_on_its_grid(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    image = images_of_scanner(datastore, "Other", "B 2")[0]
    file = datastore.image_file(image)
    loaded = nib.load(file)
    study = write_study(tmp_path / "ct", modality="CT", patient="P2").series[0]
    assert same_place(np.asarray(loaded.dataobj), loaded.affine, study.array, study.affine)
    assert datastore.image_file(image) == file
    assert len(datastore.get_image(image).getvalue()) == file.stat().st_size


def test_clients_may_ask_by_file_name_or_series(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    assert datastore.get_image_uri("erika").endswith(".nii.gz")
    uid = next(
        i["SeriesInstanceUID"]
        for i in map(datastore.get_image_info, datastore.list_images())
        if "SeriesInstanceUID" in i
    )
    assert Path(datastore.get_image_uri(uid)).is_dir()
    assert not datastore.known("more")  # two files are called so
    for wrong in ("", "../nifti/erika.nii.gz", "/etc/passwd", "nobody"):
        with pytest.raises(UnknownImageError):
            datastore.get_image_uri(wrong)
        assert datastore.get_image_info(wrong) == {}


def test_ids_stay_when_an_earlier_echo_arrives(tmp_path):
    whole = write_study(tmp_path / "whole", echoes=2).series[0]
    root = tmp_path / "root"
    root.mkdir()
    late = [f for f in whole.files if f.name.startswith("IMG-0")]
    for file in set(whole.files) - set(late):
        shutil.copy(file, root)
    datastore = opened(root, tmp_path)
    (first,) = datastore.list_images()

    def times(image):
        return {build.load(f).EchoTime for f in datastore.dicom_files(image)}

    assert times(first) == {15}
    for file in late:
        shutil.copy(file, root)
    datastore.refresh()
    images = datastore.list_images()
    assert len(images) == 2
    assert first in images
    assert times(first) == {15}
    assert times(next(i for i in images if i != first)) == {5}
    assert set(opened(root, tmp_path).list_images()) == set(images)


def test_new_changed_and_removed_scans_are_seen(tmp_path):
    root = tmp_path / "root"
    build.write_nifti(root / "a.nii.gz", build.volume(), build.affine())
    datastore = opened(root, tmp_path)
    write_study(root / "late")
    datastore.refresh()
    assert len(datastore.list_images()) == 2
    shutil.rmtree(root / "late")
    datastore.refresh()
    assert len(datastore.list_images()) == 1


def test_facts_about_images_are_kept(mixed, tmp_path):
    datastore = opened(mixed, tmp_path)
    image = datastore.list_images()[0]
    datastore.update_image_infos(
        {i: {"sfda": {"abdomen": {"shift": n}}} for n, i in enumerate(datastore.list_images())}
    )
    datastore.update_image_info(image, {"strategy": {"random": {"ts": 1}}})
    again = opened(mixed, tmp_path)
    assert again.get_image_info(image)["sfda"] == {"abdomen": {"shift": 0}}
    assert again.get_image_info(image)["strategy"] == {"random": {"ts": 1}}
    assert again.get_image_info(image)["ts"] == datastore.get_image_info(image)["ts"]
    with pytest.raises(UnknownImageError):
        datastore.update_image_info("nobody", {})


def test_a_folder_that_may_not_be_written_to(mixed, tmp_path, monkeypatch):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != mixed and real(path, mode))
    datastore = opened(mixed, tmp_path)
    assert datastore.home.is_relative_to(tmp_path)
    assert len(datastore.list_images()) == 6


def test_uploads(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    datastore = opened(root, tmp_path)
    assert datastore.list_images() == []
    file = build.write_nifti(tmp_path / "up.nii.gz", build.volume(), build.affine())
    image = datastore.add_image("2: T1 ax", str(file), {"client_id": "c"})
    assert datastore.get_image_uri("2: T1 ax") == datastore.get_image_uri(image)
    with pytest.raises(TakenError):
        datastore.add_image("2: T1 ax", str(file), {})
    series = write_study(tmp_path / "dicom").series[0]
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for number, path in enumerate(series.files):
            archive.write(path, f"../../../evil{number}")
        archive.writestr("readme.txt", "hello")
    second = datastore.add_image("", str(tmp_path / "series.zip"), {})
    assert len(datastore.dicom_files(second)) == len(series.files)
    again = opened(root, tmp_path)
    assert set(again.list_images()) == {image, second}
    assert again.resolve("2: T1 ax") == image
    again.remove_image(second)
    assert again.list_images() == [image]


def test_uploads_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 5_000)
    small = build.write_nifti(tmp_path / "small.nii.gz", np.zeros((9, 8, 6), np.int16), build.affine())
    uploads.check_upload(small)
    large = build.write_nifti(tmp_path / "large.nii.gz", np.zeros((90, 80, 6), np.int16), build.affine())
    with pytest.raises(DataError, match="GiB"):
        uploads.check_upload(large)


def test_small_files_that_unpack_to_much_are_refused_before_they_are_read(tmp_path):
    header = build.write_nifti(tmp_path / "a.nii", np.zeros((9, 8, 6), np.int16), build.affine()).read_bytes()
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(header + bytes(30 << 20)))
    with pytest.raises(DataError, match="more data than the header says"):
        uploads.check_upload(bomb)


def test_a_header_with_detached_data_is_sent_whole_and_under_the_ids_name(tmp_path):
    root = tmp_path / "root"
    build.write_itk(root / "mustermann.mhd", build.volume(), build.affine())
    datastore = opened(root, tmp_path)
    (image,) = datastore.list_images()
    file = datastore.image_file(image)
    assert "mustermann" not in str(file)
    assert datastore.get_image_info(image)["name"] == f"{image}.nii.gz"
    loaded = nib.load(file)
    assert same_place(np.asarray(loaded.dataobj), loaded.affine, build.volume(), build.affine())


def test_a_name_that_two_images_have_is_nobodys(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    datastore = opened(root, tmp_path)
    file = build.write_nifti(tmp_path / "up.nii.gz", build.volume(), build.affine())
    datastore.add_image("head", str(file), {})
    build.write_nifti(root / "head.nii.gz", build.volume(seed=1), build.affine())
    datastore.refresh()
    assert len(datastore.list_images()) == 2
    assert not datastore.known("head")


def test_several_channels_in_one_file_may_be_uploaded(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    datastore = opened(root, tmp_path)
    array = np.random.default_rng(0).integers(0, 99, (9, 8, 6, 4)).astype(np.int16)
    file = build.write_nifti(tmp_path / "four.nii.gz", array, build.affine())
    image = datastore.add_image("four", str(file), {})
    labels = build.write_nifti(tmp_path / "l.nii.gz", (array[..., 0] > 50).astype(np.uint8), build.affine())
    datastore.save_label(image, str(labels), "final", {})
    assert nib.load(datastore.get_label_uri(image, "final")).shape == (9, 8, 6)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mha", b"ObjectType = Image\nNDims = 3\nElementDataFile = /etc/passwd\n"),
        ("a.mha", b"ObjectType = Image\nElementDataFile = LIST\n/etc/passwd\n"),
        ("a.mha", b"Comment = x\relementdatafile = LOCAL\nElementDataFile = /etc/passwd\n"),
        ("a.mha", b"ObjectType = Image\nelementdatafile = LOCAL\nElementDataFile = /etc/passwd\n"),
        ("a.nrrd", b"NRRD0004\ntype: short\ndata file: /etc/passwd\n\n"),
        ("a.nrrd", b"NRRD0004\ntype: short\nDataFile: LIST\n/etc/passwd\n\n"),
        ("a.nrrd", b"NRRD0004\ntype: short\n"),
        ("a.nhdr", b"NRRD0004\ntype: short\ndata file: a.raw\n\n"),
        ("a.mhd", b"ObjectType = Image\nElementDataFile = a.raw\n"),
        ("a.nii.gz", b"NRRD0004\ntype: short\n\n"),
        ("a.nii.gz", b"no volume"),
        ("a.nii.gz", gzip.compress(bytes(5000))[:-9]),
        ("a.nrrd", b"NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 99999\nencoding: raw\n\n"),
        ("a.txt", b"hello"),
        ("a.zip", b"PK no zip"),
    ],
)
def test_uploads_that_are_refused(tmp_path, name, content):
    root = tmp_path / "root"
    root.mkdir()
    datastore = opened(root, tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        datastore.add_image("new", str(tmp_path / name), {})
    assert str(tmp_path) not in str(error.value)
    assert datastore.list_images() == []
    assert not any(f.is_file() for f in (root / "uploads").rglob("*"))

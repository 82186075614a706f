"""Whatever a site feeds in wrongly ends with our error line, and nothing is half-written."""

from __future__ import annotations

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.workflow.error_line import error_line, find_own_error
from tests.builders import BUNDLES, write_nifti
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, SAMPLING, SOFT_TISSUE, run_in_process


def failure(bundle, configs, **overrides) -> str:
    """The line that a failing command would print last."""
    with pytest.raises(BaseException) as caught:
        run_in_process(bundle, configs, **overrides)
    own = find_own_error(caught.value)
    assert own is not None, caught.value
    return error_line(own)


def volumes(phantoms):
    return sorted(next(phantoms.rglob("img")).glob("*.nii.gz"))


def labels(phantoms):
    return sorted(next(phantoms.rglob("label")).glob("*.nii.gz"))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_an_image(path):
    path.write_bytes(gzip.compress(b"this is no image"))


def empty(path):
    path.write_bytes(b"")


def with_nan(path):
    scan = nib.load(path)
    array = scan.get_fdata().astype(np.float32)
    array[3, 3, 3] = np.nan
    write_nifti(path, array, scan.affine)


def four_dimensional(path):
    scan = nib.load(path)
    write_nifti(path, np.stack([scan.get_fdata()] * 2, -1).astype(np.int16), scan.affine)


def constant(path):
    scan = nib.load(path)
    write_nifti(path, np.full(scan.shape, 7, np.int16), scan.affine)


def rgb(path):
    scan = nib.load(path)
    colour = np.zeros(scan.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, scan.affine), path)


def mask(path):
    scan = nib.load(path)
    write_nifti(path, (scan.get_fdata() > 0).astype(np.uint8), scan.affine)


def other_shape(path):
    scan = nib.load(path)
    write_nifti(path, np.asarray(scan.dataobj)[:-1], scan.affine)


def unknown_value(path):
    scan = nib.load(path)
    array = np.asarray(scan.dataobj).copy()
    array[0, 0, 0] = 77
    write_nifti(path, array, scan.affine)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (truncate, ""),
        (not_an_image, ""),
        (empty, "empty"),
        (with_nan, "NaN"),
        (four_dimensional, "4 dimensions"),
        (constant, "constant"),
        (rgb, "RGB"),
        (mask, "2 different values"),
    ],
)
def test_bad_target_scan_stops_adaptation_before_it_starts(phantoms, source_run, tmp_path, damage, what):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    victim = volumes(data)[1]
    damage(victim)
    out = tmp_path / "out"
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=data,
        release=source_run / "release",
        output_dir=out,
        **QUICK_ADAPT,
    )
    assert line.startswith("monai_sfda: error: ")
    assert victim.name in line
    assert what.lower() in line.lower()
    assert str(tmp_path) not in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("damage", "what"), [(other_shape, "95 x 96 x 48"), (unknown_value, "77"), (truncate, "")]
)
def test_bad_label_stops_training_before_it_starts(phantoms, tmp_path, damage, what):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    victim = labels(data)[1]
    damage(victim)
    out = tmp_path / "out"
    line = failure(ABDOMEN, ("train", "small"), dataset_dir=data, domain="target", output_dir=out, **QUICK)
    assert victim.name in line
    assert what in line
    assert not out.exists()


def test_a_scan_under_two_names_is_not_scored_twice(phantoms, source_run, tmp_path):
    image, label = volumes(phantoms)[0], labels(phantoms)[0]
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        shutil.copy(image, tmp_path / "data" / f"{name}.nii.gz")
    items = [{"image": f"{name}.nii.gz", "label": str(label), "subject": name} for name in ("a", "b")]
    stored = {"liver": 6, "right_kidney": 2, "left_kidney": 3, "spleen": 1}
    stored["background"] = [value for value in range(14) if value not in stored.values()]
    (tmp_path / "data" / "list.json").write_text(
        json.dumps({"target_test": items, "labels": stored}), encoding="utf-8"
    )
    out = tmp_path / "out"
    line = failure(
        ABDOMEN,
        ("train", "evaluate", "small"),
        datalist=tmp_path / "data" / "list.json",
        checkpoint=source_run / "release" / "model.pt",
        domain="target",
        output_dir=out,
        **SAMPLING,
    )
    assert "the same scan as a.nii.gz, voxel for voxel in b.nii.gz" in line
    assert not out.exists()


@pytest.mark.parametrize("kind", ["missing", "empty"])
@pytest.mark.parametrize("configs", [("train", "small"), ("adapt", "small"), ("inference", "small")])
def test_missing_and_empty_folders(source_run, tmp_path, kind, configs):
    folder = tmp_path / "scans"
    if kind == "empty":
        folder.mkdir()
    extra = {"release": source_run / "release"} if "adapt" in configs else {}
    if "inference" in configs:
        extra = {"checkpoint": source_run / "release" / "model.pt"}
    out = tmp_path / "out"
    line = failure(ABDOMEN, configs, dataset_dir=folder, output_dir=out, **extra, **SAMPLING)
    assert line.startswith("monai_sfda: error: ")
    assert "scans" in line
    assert not out.exists()


def test_mixed_dicom_series(phantoms, source_run, tmp_path):
    """Slices of two patients in one CHAOS folder."""
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    one, other = sorted(data.rglob("T2SPIR/DICOM_anon"))[:2]
    for i, path in enumerate(sorted(other.glob("*.dcm"))[:5]):
        shutil.copy(path, one / f"STRAY-{i}.dcm")
    out = tmp_path / "out"
    line = failure(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=out, **QUICK)
    assert "series" in line
    assert not out.exists()


def test_missing_slice(phantoms, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    folder = sorted(data.rglob("T2SPIR/DICOM_anon"))[0]
    middle = sorted(folder.glob("*.dcm"))[4]
    middle.unlink()
    line = failure(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=tmp_path / "out", **QUICK)
    assert "slice" in line or "spac" in line


def test_a_slice_that_is_there_twice(phantoms, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    folder = sorted(data.rglob("T2SPIR/DICOM_anon"))[0]
    middle = sorted(folder.glob("*.dcm"))[4]
    shutil.copy(middle, folder / "AGAIN.dcm")
    line = failure(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=tmp_path / "out", **QUICK)
    assert "slice" in line or "position" in line
    assert not (tmp_path / "out").exists()


def test_channel_files_of_different_size(phantoms, source_run, tmp_path):
    first, second = volumes(phantoms)[:2]
    other = tmp_path / "channel2.nii.gz"
    scan = nib.load(second)
    write_nifti(other, np.asarray(scan.dataobj)[:, :-3], scan.affine)
    datalist = tmp_path / "list.json"
    content = {"target_train": [{"image": [str(first), str(other)], "subject": "1"}]}
    datalist.write_text(json.dumps(content), encoding="utf-8")
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        datalist=datalist,
        release=source_run / "release",
        output_dir=tmp_path / "out",
        **QUICK_ADAPT,
    )
    assert "a channel of 96 x 93 x 48 voxels, the first has 96 x 96 x 48" in line
    assert "channel2.nii.gz" in line
    assert not (tmp_path / "out").exists()


def test_scans_of_the_other_modality(phantoms, source_run, tmp_path):
    """MR series as target images of a task whose target is CT: refused before anything starts."""
    series = sorted(phantoms.rglob("T2SPIR/DICOM_anon"))[0]
    settings = {"release": source_run / "release", "output_dir": tmp_path / "out", **QUICK_ADAPT}
    line = failure(ABDOMEN, ("adapt", "small"), target_images=series, **settings)
    assert "modality MR where CT is meant" in line
    assert not (tmp_path / "out").exists()


def test_a_file_that_looks_like_the_other_modality_is_recorded(phantoms, source_run, tmp_path):
    """A file other than DICOM does not say what it is: adapted to, with a warning that stays."""
    folder = tmp_path / "scans"
    folder.mkdir()
    scan = nib.load(volumes(phantoms)[0])
    write_nifti(folder / "a.nii.gz", np.asarray(scan.dataobj) + 2000, scan.affine)
    settings = {"release": source_run / "release", "output_dir": tmp_path / "out", **QUICK_ADAPT}
    run_in_process(ABDOMEN, ("adapt", "small"), target_images=folder, **settings)
    record = json.loads((tmp_path / "out" / "adaptation.json").read_text(encoding="utf-8"))
    (warning,) = record["data_warnings"]
    assert warning.startswith("scan 1: no value below -50 HU")


def test_release_of_another_task_network_or_hash(phantoms, source_run, tmp_path):
    release = source_run / "release"
    line = failure(
        SOFT_TISSUE, ("adapt", "small"), dataset_dir=phantoms, release=release, output_dir=tmp_path / "a"
    )
    assert "task 'abdomen'" in line
    line = failure(ABDOMEN, ("adapt",), dataset_dir=phantoms, release=release, output_dir=tmp_path / "b")
    assert "small.json" in line
    altered = tmp_path / "release"
    shutil.copytree(release, altered)
    with (altered / "model.pt").open("ab") as stream:
        stream.write(b"x")
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=altered,
        output_dir=tmp_path / "c",
        **QUICK_ADAPT,
    )
    assert "SHA-256" in line
    line = failure(
        ABDOMEN, ("adapt", "small"), dataset_dir=phantoms, output_dir=tmp_path / "d", **QUICK_ADAPT
    )
    assert "--release" in line
    assert not any((tmp_path / name).exists() for name in "abcd")


def test_checkpoint_of_another_network_names_small_json(phantoms, source_run, tmp_path):
    line = failure(
        ABDOMEN,
        ("train", "evaluate"),
        dataset_dir=phantoms,
        checkpoint=source_run / "release" / "model.pt",
        domain="target",
        output_dir=tmp_path / "out",
    )
    assert "small.json" in line


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        ({"learningrate": 1}, "learning_rate"),
        ({"methd": "sfs"}, "method"),
        ({"method": "sfss"}, "sfs"),
        ({"device": "cuda:99"}, "device 'cuda:99'"),
        ({"domain": "source"}, "domain 'source'"),
        ({"checkpoint": "model.pt"}, "adapt has no use for setting 'checkpoint'"),
        ({"adaptation#epoch_lenght": 3}, "epoch_length"),
        ({"method": "none", "learning_rate": 1e-3}, "no learning rate"),
        ({"method": "adabn", "learning_rate": 1e-3}, "no learning rate"),
        ({"method": "osuda", "method_settings": {"eta0": 1}}, "eta_0"),
        ({"method": "osuda", "class_proportions": "source"}, "no setting 'class_proportions'"),
        ({"learning_rate": -1}, "learning_rate cannot be -1"),
        ({"image_size": 50}, "image_size"),
        ({"slice_axis": 1}, "slice_axis"),
        ({"target_images": "x", "datalist": "y"}, "give one of them"),
        ({"seed": "one"}, "seed"),
        ({"method_settings": {"swd_wieght": 1}}, "swd_weight"),
        ({"class_proportions": "target"}, "class_proportions"),
        ({"method": "none", "class_proportions": "source"}, "no setting 'class_proportions'"),
    ],
)
def test_mistyped_settings_name_the_nearest(phantoms, source_run, tmp_path, overrides, hint):
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        output_dir=tmp_path / "out",
        **(QUICK_ADAPT | overrides),
    )
    assert hint in line
    assert not (tmp_path / "out").exists()


def test_inference_isolates_bad_scans(phantoms, source_run, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for path in volumes(phantoms)[:3]:
        shutil.copy(path, folder / path.name)
    victim = sorted(folder.iterdir())[1]
    truncate(victim)
    out = tmp_path / "out"
    line = failure(
        ABDOMEN,
        ("inference", "small"),
        dataset_dir=folder,
        checkpoint=source_run / "release" / "model.pt",
        output_dir=out,
        **SAMPLING,
    )
    assert victim.name in line
    assert "1 of 3" in line
    assert len(list(out.glob("*_seg.nii.gz"))) == 2
    scans = json.loads((out / "inference.json").read_text(encoding="utf-8"))["scans"]
    assert [("error" in s) for s in scans] == [False, True, False]
    assert "img00" not in (out / "inference.json").read_text(encoding="utf-8")


def test_unwritable_output(phantoms, source_run, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        output_dir=tmp_path / "file" / "out",
        **QUICK_ADAPT,
    )
    assert line.startswith("monai_sfda: error: ")


def test_bundles_share_no_configuration_key_that_the_check_does_not_know():
    from monai_sfda.workflow.configuration import check_keys

    for path in sorted(BUNDLES.glob("*/configs/*.json")):
        if path.name not in ("metadata.json", "small.json"):
            check_keys(json.loads(path.read_text(encoding="utf-8")), path.stem.removeprefix("multi_gpu_"))

"""What MONAI and its model zoo check of a bundle: schema, properties, input and output, export; and the
adapted one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out

from monai_sfda.engines.dicom_outputs import adaptation_method
from monai_sfda.files import file_sha256
from tests.builders import BUNDLES, REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, SAMPLING, run_in_process
from tests.zoo import SCHEMA, check_source_of_bundle, check_zoo_ready, read_configuration

NAMES = sorted(p.name for p in BUNDLES.iterdir() if (p / "configs").is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_metadata_follows_the_official_schema(name, tmp_path):
    """MONAI's check passes, and fails without a part that the schema asks for."""
    if not SCHEMA.is_file():
        pytest.skip("the official schema is not beside this checkout")
    verify_metadata(meta_file=str(BUNDLES / name / "configs" / "metadata.json"), filepath=str(SCHEMA))
    metadata = read_configuration(BUNDLES / name, "metadata")
    del metadata["version"]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(ValueError, match="version"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(SCHEMA))


@pytest.mark.parametrize("name", NAMES)
def test_files_versions_and_keys_are_those_the_zoo_asks_for(name):
    check_source_of_bundle(BUNDLES / name)


@pytest.mark.parametrize("job", ["train", "adapt"])
def test_what_several_processes_of_one_bundle_do_those_of_all_do(job):
    """`multi_gpu_*.json` holds nothing of a task, so the tests of one bundle under torchrun hold for all."""
    files = [BUNDLES / name / "configs" / f"multi_gpu_{job}.json" for name in NAMES]
    assert len({path.read_text(encoding="utf-8") for path in files}) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("configs", "kind"),
    [
        (("train",), "train"),
        (("train", "small"), "train"),
        (("train", "multi_gpu_train"), "train"),
        (("train", "evaluate"), "train"),
        (("inference",), "infer"),
        (("inference", "small"), "infer"),
    ],
)
def test_required_properties_are_there(name, configs, kind, tmp_path):
    workflow = ConfigWorkflow(
        config_file=[str(BUNDLES / name / "configs" / f"{c}.json") for c in configs],
        workflow_type=kind,
        logging_file=False,
        bundle_root=str(BUNDLES / name),
        output_dir=str(tmp_path / "out"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_network_takes_and_gives_what_the_metadata_say(name, tmp_path):
    """MONAI's check passes, and fails when the metadata say something else."""
    metadata = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] += 1
    (tmp_path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(ValueError, match="channel"):
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(tmp_path / "metadata.json"),
            config_file=str(BUNDLES / name / "configs" / "inference.json"),
            device="cpu",
            n=1,
        )
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(BUNDLES / name / "configs" / "metadata.json"),
        config_file=str(BUNDLES / name / "configs" / "inference.json"),
        device="cpu",
        n=2,
    )


@pytest.fixture(scope="module")
def adapted(phantoms, source_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapted") / "run"
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        output_dir=out,
        **QUICK_ADAPT,
        # The method's weights whatever a guard says of them: a bundle of adapted weights is looked at.
        **{"guard#enabled": False},
    )
    return out


def test_adapted_bundle_runs_by_itself_with_stock_monai(adapted, phantoms, tmp_path):
    """Outside the repository, without small.json: the bundle has its own network and weights."""
    images = next(phantoms.rglob("img"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            "configs/inference.json",
            "--bundle_root",
            ".",
            "--dataset_dir",
            str(images),
            "--output_dir",
            str(tmp_path / "masks"),
        ],
        cwd=adapted / "bundle",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "masks").glob("*_seg.nii.gz"))) == 4


def test_adapted_weights_say_what_adapted_them(adapted):
    """In the run folder and in its bundle, which may be moved; the record of other weights does not count."""
    for weights in (adapted / "adapted.pt", adapted / "bundle" / "models" / "model.pt"):
        assert adaptation_method(weights, file_sha256(weights)) == "sfs"
        assert adaptation_method(weights, "0" * 64) is None


def test_source_and_adapted_bundles_are_ready_for_the_zoo(source_run, adapted, tmp_path):
    for run in (source_run, adapted):
        check_zoo_ready(run / "bundle", tmp_path)


def test_models_of_a_source_bundle_are_the_release(source_run, phantoms, tmp_path):
    """What a source site publishes can be adapted as it is, and segments the source's scans by itself."""
    bundle = source_run / "bundle"
    for path in (source_run / "release").iterdir():
        assert (bundle / "models" / path.name).read_bytes() == path.read_bytes()
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=bundle / "models",
        output_dir=tmp_path / "run",
        **QUICK_ADAPT | {"max_epochs": 1},
    )
    assert (tmp_path / "run" / "adapted.pt").is_file()
    assert read_configuration(bundle, "inference")["domain"] == "source"
    assert read_configuration(tmp_path / "run" / "bundle", "inference")["domain"] == "target"


SCANS = REPOSITORY.parent / "shared" / "data"


def segment(source_run, folder, domain, out):
    run_in_process(
        ABDOMEN,
        ("inference", "small"),
        dataset_dir=folder,
        domain=domain,
        checkpoint=source_run / "release" / "model.pt",
        output_dir=out,
        **SAMPLING,
    )
    return sorted(out.glob("*_seg.nii.gz"))


@pytest.mark.skipif(not SCANS.is_dir(), reason="the real scans are not beside this checkout")
@pytest.mark.parametrize(("name", "domain"), [("ct_image", "target"), ("mr_image", "source")])
def test_masks_of_real_nifti_scans_lie_on_their_grid(source_run, tmp_path, name, domain):
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(SCANS / "abdomen_examples" / f"{name}.nii.gz", scans)
    (mask,) = segment(source_run, scans, domain, tmp_path / "out")
    scan, segmentation = nib.load(scans / f"{name}.nii.gz"), nib.load(mask)
    assert segmentation.shape == scan.shape
    np.testing.assert_array_equal(segmentation.affine, scan.affine)
    np.testing.assert_array_equal(segmentation.get_sform(), segmentation.get_qform())


@pytest.mark.skipif(not SCANS.is_dir(), reason="the real scans are not beside this checkout")
@pytest.mark.parametrize(("name", "domain"), [("CT", "target"), ("MR_T1", "source")])
def test_masks_of_real_dicom_series_lie_on_their_grid(source_run, tmp_path, name, domain):
    """Against the geometry that ITK's own DICOM reader gives the series."""
    folder = SCANS / "ibsi_sts" / "dicom" / "STS_008" / name
    (mask,) = segment(source_run, folder, domain, tmp_path / "out")
    segmentation = SimpleITK.ReadImage(str(mask))
    series = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    assert segmentation.GetSize() == series.GetSize()
    np.testing.assert_allclose(segmentation.GetOrigin(), series.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(segmentation.GetSpacing(), series.GetSpacing(), atol=1e-4)
    np.testing.assert_allclose(segmentation.GetDirection(), series.GetDirection(), atol=1e-5)

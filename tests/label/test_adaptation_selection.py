"""Which studies a job takes: by label, scanner, modality and list, subject by subject, in numbers."""

import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.errors import SettingError
from monai_sfda.label.adaptation.options import AdaptOptions, FineTuneOptions, read_options
from monai_sfda.label.adaptation.private_data import gather_scans
from monai_sfda.label.adaptation.selection import (
    guards_limit,
    offered_scanners,
    select_labelled,
    select_unlabelled,
)
from monai_sfda.label.studies import open_datastore
from tests.data_readers import build
from tests.label.dicom_phantoms import write_study

NAMES = [{"name": s.name} for s in ABDOMEN.structures]


@pytest.fixture(scope="module")
def datastore(tmp_path_factory):
    """Two CT studies of one patient, one of another and another scanner, an MR study, and a NIfTI file."""
    root = tmp_path_factory.mktemp("site") / "studies"
    one = {"modality": "CT", "manufacturer": "Phantom", "model": "A1"}
    write_study(root / "a", patient="ONE", seed=1, **one)
    write_study(root / "b", patient="ONE", seed=2, **one)
    write_study(root / "c", modality="CT", manufacturer="Other", model="B2", patient="TWO", seed=3)
    write_study(root / "d", modality="MR", manufacturer="Phantom", model="A1", patient="SIX", seed=4)
    build.write_nifti(root / "e.nii.gz", build.volume(), build.affine())
    return open_datastore(str(root), cache=root.parent / "cache", tasks={"abdomen": ABDOMEN})


def take(datastore, **options):
    return select_unlabelled(datastore, "abdomen", ABDOMEN, read_options(AdaptOptions, options))


def test_studies_of_another_modality_are_left_out_and_subjects_are_counted(datastore):
    found = take(datastore)
    assert (len(found.studies), found.number_of_subjects) == (4, 3)
    assert found.left_out == {"of another modality": 1}
    assert found.notes() == ["4 studies of 3 subjects taken", "1 study left out: of another modality"]


def test_of_one_scanner_as_the_panel_offers_it(datastore):
    assert offered_scanners(datastore) == ["Phantom, A1", "Other, B2"]
    found = take(datastore, scanner="phantom,  a1")
    assert (len(found.studies), found.number_of_subjects) == (2, 1)
    assert found.left_out == {"of another scanner": 2, "of another modality": 1}
    with pytest.raises(SettingError, match="Phantom, A1; Other, B2"):
        take(datastore, scanner="Nobody, X")


def test_a_list_of_studies_by_id_or_series(datastore):
    wanted = take(datastore).studies[:2]
    assert take(datastore, studies=list(wanted)).studies == wanted
    series = datastore.get_image_info(wanted[0]).get("SeriesInstanceUID") or wanted[0]
    assert take(datastore, studies=series).studies == wanted[:1]
    with pytest.raises(SettingError, match="1 of the 2 studies asked for is not in the datastore") as error:
        take(datastore, studies=[wanted[0], "MUSTER"])
    assert "MUSTER" not in str(error.value)


def test_too_few_are_refused_with_what_was_left_out(datastore):
    with pytest.raises(SettingError, match=r"4 usable unlabelled studies \(1 of another modality\), and 5"):
        take(datastore, min_studies=5)


@pytest.mark.parametrize(("subjects", "limited"), [(1, True), (4, True), (5, False), (20, False)])
def test_what_few_subjects_mean_is_said_before_the_start(subjects, limited):
    said = guards_limit(subjects)
    assert (said is not None) == limited
    assert said is None or "at most say 'unsure'" in said


def test_a_study_that_cannot_be_read_is_left_out_and_a_copy_as_well(datastore, tmp_path):
    root = tmp_path / "studies"
    build.write_nifti(root / "good.nii.gz", build.volume(), build.affine())
    build.write_nifti(root / "copy.nii.gz", build.volume(), build.affine())
    build.write_nifti(root / "mask.nii.gz", build.class_volume(), build.affine())
    (root / "broken.nii.gz").write_bytes((root / "good.nii.gz").read_bytes()[:400])
    site = open_datastore(str(root), cache=tmp_path / "cache", tasks={"abdomen": ABDOMEN})
    found, paths = gather_scans(tmp_path / "private", site, take(site), ABDOMEN, lambda: True)
    assert len(found.studies) == len(paths) == 1
    assert found.left_out == {"a copy of another": 1, "not readable or not fit for the model": 2}


def test_a_dicom_series_is_linked_file_by_file_under_numbers(datastore, tmp_path):
    chosen = take(datastore, scanner="Other, B2")
    _, paths = gather_scans(tmp_path / "private", datastore, chosen, ABDOMEN, lambda: True)
    ((folder,),) = paths.values()
    assert folder.name == "0001"
    assert sorted(p.name for p in folder.iterdir())[0] == "00001.dcm"


def test_labelled_studies_are_those_of_the_model_and_leave_the_adaptation(datastore, tmp_path):
    with pytest.raises(SettingError, match="no usable labelled studies"):
        select_labelled(datastore, "abdomen", FineTuneOptions(), 1)
    nifti = next(i for i in datastore.list_images() if not datastore.get_image_info(i).get("Modality"))
    label = build.write_nifti(tmp_path / "label.nii.gz", build.class_volume(), build.affine())
    datastore.save_label(nifti, str(label), "final", {"model": "abdomen", "label_info": NAMES})
    try:
        found = select_labelled(datastore, "abdomen", FineTuneOptions(), 1)
        assert found.studies == (nifti,)
        assert found.left_out == {"without a final label": 4}
        assert take(datastore).left_out == {"of another modality": 1, "already labelled": 1}
        with pytest.raises(SettingError):
            select_labelled(datastore, "cardiac", FineTuneOptions(), 1)
    finally:
        datastore.remove_label(nifti, "final")

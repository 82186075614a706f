"""A real adaptation, its stop and resumption, and a real fine-tuning, as jobs on phantom scans."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.reading import read_case
from monai_sfda.label.adaptation import before_after
from monai_sfda.label.adaptation.job_process import marked
from monai_sfda.label.adaptation.jobs import Jobs
from monai_sfda.label.adaptation.record import Status
from monai_sfda.label.models import Models
from monai_sfda.label.studies import open_datastore
from tests.label.adaptation_site import until

pytestmark = pytest.mark.long
SECONDS = 500.0


@pytest.fixture
def hospital(installed, tmp_path):
    """The app's parts on copies: models, datastore, jobs."""
    store = installed.copy_store(tmp_path / "store")
    studies = installed.copy_studies(tmp_path / "studies")
    datastore = open_datastore(str(studies), cache=tmp_path / "cache", tasks={"abdomen": ABDOMEN})
    models = Models(store, device="cpu")
    jobs = Jobs(tmp_path / "jobs", models=models, datastore=lambda: datastore)
    yield SimpleNamespace(models=models, jobs=jobs, datastore=lambda: datastore)
    jobs.close()


def ended(jobs, job):
    return until(lambda: jobs.job(job.id).status.is_over and jobs.job(job.id), SECONDS)


def test_an_adaptation_is_stopped_goes_on_and_is_published_with_its_report(hospital):
    jobs, models = hospital.jobs, hospital.models
    job = jobs.submit("adapt", "abdomen", {"method": "tent", "epochs": 40}, "erwin")
    assert any("at most say 'unsure'" in note for note in job.notes)
    until(lambda: jobs.progress("abdomen", "adapt").get("epoch", 0) >= 2, SECONDS)
    stopped = jobs.stop(job.id, by="erwin", wait=60)
    assert (stopped.status, stopped.reason) == (Status.STOPPED, "stopped by erwin")
    assert not marked(job.id)
    run = jobs.run_folder(job.id)
    assert (run / "checkpoint.pt").is_file()
    jobs.resume(job.id, "erwin")
    done = ended(jobs, job)
    assert done.status is Status.DONE, done.reason
    assert "going on after iteration" in jobs.log(job.id).read_text()
    record = json.loads((run / "adaptation.json").read_text())
    assert record["settings"]["max_epochs"] == 40
    assert not record["target_labels_read"]
    assert done.verdict == record["verdict"] != "accept"
    version = models["abdomen"].version(done.version)
    assert version.report is not None
    assert "not for diagnosis" in version.report.read_text().lower()
    assert models["abdomen"].active().number == 1
    served = json.dumps(jobs.status(job.id)) + version.report.read_text()
    for name in ("img00", "scan-", str(jobs.folder)):
        assert name not in served, name
    models.load("abdomen", done.version)


def test_a_fine_tuning_starts_from_the_active_version_and_is_compared_on_held_out_subjects(
    hospital, installed, tmp_path
):
    datastore, jobs, models = hospital.datastore(), hospital.jobs, hospital.models
    names = [s.name for s in ABDOMEN.structures]
    for image in datastore.list_images():
        label = label_of(installed, datastore, image)
        shuffled = np.zeros_like(label[0])
        for position, name in enumerate(reversed(names), start=1):  # as Slicer numbers what it saves
            shuffled[label[0] == ABDOMEN.labels[name]] = position
        nib.save(nib.Nifti1Image(shuffled, label[1]), tmp_path / "label.nii.gz")
        info = {"model": "abdomen", "label_info": [{"name": name} for name in reversed(names)]}
        datastore.save_label(image, str(tmp_path / "label.nii.gz"), "final", info)
    job = jobs.submit("fine_tune", "abdomen", {"epochs": 3}, "erwin")
    assert job.target_labels_read
    done = ended(jobs, job)
    assert done.status is Status.DONE, done.reason
    assert (done.verdict, done.gain_name) == ("unsure", "gain in mean Dice on held-out corrected studies")
    version = models["abdomen"].version(done.version)
    assert (version.parent, version.manifest["method"]) == (1, "fine_tune")
    assert version.manifest["target_labels_read"]
    assert not version.is_unadapted
    held = json.loads((version.folder / "adaptation.json").read_text())["held_out"]
    assert held["subjects"] == 1
    listed = json.loads((jobs.folder / job.id / "private" / "datalist.json").read_text())
    sides = [{item["subject"] for item in listed[key]} for key in ("target_train", "target_val")]
    assert [len(side) for side in sides] == [3, 1]
    assert not sides[0] & sides[1]
    before, after = (np.mean(dice) for dice in zip(*held["dice"].values(), strict=True))
    assert after > before, "a few steps on the target's own labels must help on phantoms"
    report = version.report.read_text()
    assert "compared on 1 other subjects" in report
    assert "guard does not judge a fine-tuning" in report
    assert "img00" not in report
    picture, numbers = before_after.picture(hospital, "abdomen", done.version, 0)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert set(numbers["volumes_ml"]["after"]) == set(names)


def label_of(installed, datastore, image):
    """The phantom's label with the task's values, and its affine."""
    name = next(
        name
        for name, path in installed.scans.items()
        if nib.load(path).get_fdata().sum() == nib.load(datastore.image_file(image)).get_fdata().sum()
    )
    case = Case(1, "x", (installed.scans[name],), installed.labels[name], "btcv")
    scan, label = read_case(case, ABDOMEN, "target", with_label=True)
    return label, scan.affine

"""`monai-sfda shift` and `drift`: scores, what to label first, drift; interrupted runs and bad files."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import datetime

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.engines.shift import ShiftScorer
from monai_sfda.errors import DataError, ReleaseError, SettingError
from monai_sfda.workflow.shift import drift_over, score_scans
from tests.data_readers import build
from tests.integration.commands import QUICK_ADAPT, run_in_process
from tests.integration.test_strange_scans import ABDOMEN, inference, write_noise, write_scans
from tests.test_catalog_and_cli import command


@pytest.fixture(scope="module")
def scans(phantoms, tmp_path_factory):
    """Two own scans of the source, noise twice, and a damaged file."""
    folder = write_noise(
        write_scans(tmp_path_factory.mktemp("shift") / "SMITH_JOHN", "abdomen", "source", phantoms)
    )
    shutil.copyfile(folder / "z_noise.nii.gz", folder / "z_noise_again.nii.gz")
    (folder / "broken.nii.gz").write_bytes((folder / "z_noise.nii.gz").read_bytes()[:999])
    return folder


@pytest.fixture(scope="module")
def first_run(source_run, scans, tmp_path_factory):
    """The command's output, and what it wrote."""
    out = tmp_path_factory.mktemp("out") / "shift"
    done = command(
        *("shift", "--model", str(source_run / "release"), "--scans", str(scans), "--out", str(out)),
        *("--domain", "source", "--device", "cpu"),
    )
    return done, out


def read(out):
    return json.loads((out / "shift.json").read_text(encoding="utf-8"))


def test_scores_are_those_of_inference_and_bad_scans_are_named_by_number(
    first_run, source_run, scans, tmp_path
):
    done, out = first_run
    assert done.returncode == 1
    assert "could not be scored: cases 3" in done.stdout
    result = read(out)
    good = tmp_path / "good"
    shutil.copytree(scans, good, ignore=shutil.ignore_patterns("broken*"))
    masks = inference(source_run / "release" / "model.pt", good, tmp_path / "masks", "source")
    scored = [scan for scan in result["scans"] if "error" not in scan]
    for ours, theirs in zip(scored, masks["scans"], strict=True):
        assert ours["aspects"] == pytest.approx(theirs["familiarity"]["aspects"], abs=2e-3)
        assert ours["verdict"] == theirs["familiarity"]["verdict"]
    assert result["compared_with"] == masks["compared_with"]
    assert "truncated" in result["scans"][2]["error"]
    assert not list(out.glob("*.nii.gz"))


def test_the_noise_comes_first_and_its_copy_last(first_run):
    result = read(first_run[1])
    noise, again = result["scans"][3:]
    assert {noise["label_rank"], again["label_rank"]} == {1, 4}
    assert result["label_first"] == [noise["case"]]
    assert again["nearest_case"] == noise["case"]
    assert again["novelty"] == 0
    assert "label first: cases 4" in first_run[0].stdout
    with (first_run[1] / "shift.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows][-1] == "3"
    assert float(rows[0]["score"]) == result["scans"][int(rows[0]["case"]) - 1]["score"]


def test_nothing_that_is_kept_but_cases_csv_names_a_scan(first_run, scans):
    for path in first_run[1].rglob("*"):
        if path.is_file() and path.name != "cases.csv":
            text = path.read_text(encoding="utf-8")
            assert "SMITH" not in text
            assert "noise" not in text
            assert str(scans.parent) not in text
    page = (first_run[1] / "shift.html").read_text(encoding="utf-8")
    assert "Not for diagnosis" in page
    assert "http" not in page.replace("http-equiv", "")


def test_an_interrupted_run_goes_on_and_new_scans_are_scored_alone(
    first_run, source_run, scans, tmp_path, monkeypatch
):
    grown, out = tmp_path / "grown", tmp_path / "out"
    shutil.copytree(scans, grown)
    shutil.copytree(first_run[1], out)
    image = nib.load(grown / "z_noise.nii.gz")
    other = np.random.default_rng(1).normal(50, 20, image.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(other, image.affine), grown / "a_new.nii.gz")
    seen = []
    score = ShiftScorer.__call__

    def counted(self, scan):
        seen.append(scan.shape)
        return score(self, scan)

    monkeypatch.setattr(ShiftScorer, "__call__", counted)
    damaged = min((out / "scored").glob("*.json"))
    damaged.write_text("{", encoding="utf-8")
    result = score_scans(source_run / "release", grown, out, domain="source", device="cpu")
    assert len(seen) == 2  # the new scan, and the one whose record was damaged
    assert len(list((out / "scored").iterdir())) == 4  # the copy of the noise shares its record
    of_old = result["scans"][1:]  # the new scan is the first by its name
    for before, after in zip(read(first_run[1])["scans"], of_old, strict=True):
        assert after.get("aspects") == before.get("aspects")
    seen.clear()
    kept = read(out)
    assert score_scans(source_run, grown, out, domain="source", device="cpu") == kept  # the run folder, too
    assert not seen


def test_the_order_is_that_of_acquisition_and_no_date_is_kept(source_run, tmp_path):
    scans, volume = tmp_path / "scans", build.volume((24, 24, 4))
    for name, date in (("a", "20250301"), ("b", "20250101"), ("c", "20250201")):
        build.write_dicom(
            scans / name, volume, build.affine(), AcquisitionDate=date, AcquisitionTime="120000"
        )
    model = source_run / "bundle"
    out = tmp_path / "out"
    result = score_scans(model, scans, out, domain="source", device="cpu")
    assert result["order"] == "acquired"
    assert [scan["place"] for scan in result["scans"]] == [3, 1, 2]
    assert result["drift"]["scans"] == 3
    for path in out.rglob("*"):
        if path.is_file():
            assert "2025" not in path.read_text(encoding="utf-8")
    later = score_scans(model, scans, out, domain="source", device="cpu", since=datetime(2025, 1, 15))
    assert [scan["place"] for scan in later["scans"]] == [2, None, 1]
    assert later["drift"]["scans"] == 2
    with pytest.raises(SettingError, match="no times"):
        score_scans(
            model, scans, out, domain="source", device="cpu", order="listed", since=datetime(2025, 1, 1)
        )


def test_drift_over_several_runs(first_run, tmp_path):
    result = read(first_run[1])
    result["scans"] = [s | {"verdict": "unlike"} for s in result["scans"] if "error" not in s]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shift.json").write_text(json.dumps(result), encoding="utf-8")
    first = first_run[1] / "shift.json"
    found = drift_over([first, tmp_path / "one", tmp_path / "two"])
    assert found["detected"]
    assert found["scans"] == 12
    assert not drift_over([first])["detected"]
    done = command("drift", str(first), str(tmp_path / "one"), str(tmp_path / "two"))
    assert done.returncode == 0
    assert f"alarm at scan {found['unfamiliar']['alarm']}, " in done.stdout
    (tmp_path / "one" / "shift.json").write_text(json.dumps(result | {"model_sha256": "x"}), encoding="utf-8")
    with pytest.raises(DataError, match="another model"):
        drift_over([first, tmp_path / "one"])
    with pytest.raises(DataError, match="no domain-shift scores"):
        drift_over([tmp_path / "nothing"])


def test_an_adapted_bundle_scores_by_its_own_scans_and_others_are_refused(
    source_run, phantoms, scans, tmp_path
):
    out = tmp_path / "adapt"
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method="adabn",
        output_dir=out,
        **QUICK_ADAPT,
        **{"guard#enabled": False},
    )
    own = write_scans(tmp_path / "own", "abdomen", "target", phantoms)
    result = score_scans(out, own, tmp_path / "out", device="cpu")
    assert result["compared_with"]["domain"] == "target"
    assert [scan["verdict"] for scan in result["scans"]] == ["familiar"] * 2
    assert result["label_first"] == []
    assert result["drift"]["scans"] == 2
    unadapted = score_scans(source_run, own, tmp_path / "unadapted", device="cpu")
    assert unadapted["compared_with"]["shift_expected"]
    assert unadapted["drift"] is None
    assert "drift is not tested" in (tmp_path / "unadapted" / "shift.html").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="a shift is expected"):
        drift_over([tmp_path / "unadapted"])
    (out / "bundle" / "models" / "reference_scans.json").unlink()
    with pytest.raises(ReleaseError, match="does not say what scans it knows"):
        score_scans(out, own, tmp_path / "other", device="cpu")
    with pytest.raises(ReleaseError, match="no model"):
        score_scans(own, own, tmp_path / "other", device="cpu")
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copyfile(scans / "broken.nii.gz", broken / "a.nii.gz")
    with pytest.raises(DataError, match="none of 1 scans"):
        score_scans(source_run, broken, tmp_path / "none", device="cpu")

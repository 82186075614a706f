"""The spine's bundle on its phantoms: from one image of the examinations to another, either way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import pytest

from monai_sfda.catalog import SPINE
from monai_sfda.errors import SettingError
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.check import check_data
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process
from tests.zoo import check_zoo_ready

BUNDLE = BUNDLES / SPINE.bundle
SIZE = {"image_size": 32, "pixel_size_mm": 10.0}
QUICK = SIZE | {"max_epochs": 1, "batch_size": 4}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects at two times."""
    out = tmp_path_factory.mktemp("spine") / "data"
    write_phantoms("spine", out, 4, 5, matrix=32, workers=1)
    return out


def test_check_finds_every_list_ready(sets: Path) -> None:
    result = check_data(SPINE, sets)
    assert result.problems == {job: [] for job in result.problems}
    counts = {(s.domain, s.split): s.subjects for s in result.splits}
    assert counts == {
        ("source", "train"): 3,
        ("source", "test"): 1,
        ("target", "train"): 3,
        ("target", "test"): 1,
    }


@pytest.mark.parametrize(
    ("source", "target", "prior"), [("wat", "inn", "statistics"), ("inn", "wat", "tags")]
)
def test_trains_adapts_and_evaluates_between_the_modalities_chosen(
    sets: Path, tmp_path: Path, source: str, target: str, prior: str
) -> None:
    chosen = {"dataset_dir": sets, "source_modality": source, "target_modality": target}
    run_in_process(
        BUNDLE,
        ("train", "small"),
        output_dir=tmp_path / "source",
        **{"training#epoch_length": 3},
        **chosen,
        **QUICK,
    )
    run_in_process(
        BUNDLE,
        ("adapt", "small"),
        release=tmp_path / "source" / "release",
        output_dir=tmp_path / "adapted",
        **{"adaptation#epoch_length": 2},
        **chosen,
        **QUICK,
    )
    record = json.loads((tmp_path / "adapted" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == "adaent"
    assert record["modalities"] == {"source": source, "target": target}
    assert record["target_labels_read"] is False
    for run in ("source", "adapted"):
        check_zoo_ready(tmp_path / run / "bundle", tmp_path)
    run_in_process(
        BUNDLE,
        ("uda", "small"),
        release=tmp_path / "source" / "release",
        output_dir=tmp_path / "with_source",
        method_settings={"prior": prior},
        **{"adaptation#epoch_length": 2},
        **chosen,
        **QUICK,
    )
    record = json.loads((tmp_path / "with_source" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == "adasource"
    assert record["modalities"] == {"source": source, "target": target}
    assert record["target_images"] == record["source_images"] == 6
    assert record["target_labels_read"] is (prior == "tags")
    run_in_process(
        BUNDLE,
        ("train", "evaluate", "small"),
        checkpoint=tmp_path / "adapted" / "adapted.pt",
        domain="target",
        output_dir=tmp_path / "scores",
        **chosen,
        **QUICK,
    )
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text(encoding="utf-8"))
    assert summary["cases"] == 2  # both examinations of the test subject
    assert set(summary["dice"]["per_class"]) == {"intervertebral_disc"}
    (tmp_path / "scans").mkdir()
    scan = shutil.copy(next(sets.rglob(f"*_{target}.nii*")), tmp_path / "scans")
    run_in_process(
        BUNDLE,
        ("inference", "small"),
        checkpoint=tmp_path / "adapted" / "model.pt",
        domain="target",
        output_dir=tmp_path / "masks",
        **chosen | SIZE | {"dataset_dir": tmp_path / "scans"},
    )
    (mask,) = (tmp_path / "masks").glob("*_seg.nii.gz")
    assert nibabel.load(mask).shape == nibabel.load(scan).shape


def test_prior_matching_has_no_network_here(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_in_process(
            BUNDLE, ("uda", "small"), dataset_dir=sets, output_dir=tmp_path, method="prior_matching", **QUICK
        )
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, SettingError):
        cause = cause.__cause__
    assert "the bundle has no network for method 'prior_matching': no uda_network_def" in str(cause)


def test_an_unknown_modality_is_an_error_before_anything_runs(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_in_process(
            BUNDLE,
            ("train", "small"),
            dataset_dir=sets,
            output_dir=tmp_path / "out",
            target_modality="water",
            **QUICK,
        )
    # MONAI wraps it; the last line that a user sees is ours
    cause = caught.value.__cause__
    assert isinstance(cause, SettingError)
    assert "modality 'water' is unknown: use one of" in str(cause)
    assert not (tmp_path / "out").exists()

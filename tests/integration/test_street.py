"""The street bundle from training to a label picture, on pictures of another size than the network's."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from monai_sfda.catalog import STREET
from monai_sfda.errors import SettingError
from monai_sfda.phantom import write_phantoms
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process
from tests.zoo import check_zoo_ready

BUNDLE = BUNDLES / STREET.bundle
SIZE = {"image_size": [32, 64], "batch_size": 4}
CLASSES = [s.name for s in STREET.structures]


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    out = tmp_path_factory.mktemp("streets") / "data"
    write_phantoms("street", out, subjects=2, seed=3, matrix=96, workers=2)
    return out


@pytest.fixture(scope="module")
def release(streets, tmp_path_factory):
    out = tmp_path_factory.mktemp("street_source") / "run"
    quick = {"max_epochs": 1, "training#epoch_length": 24, **SIZE}
    run_in_process(BUNDLE, ("train", "small"), dataset_dir=streets, output_dir=out, **quick)
    return out / "release"


def test_a_release_counts_known_pixels_alone_and_has_no_background(release):
    content = json.loads((release / "release.json").read_text(encoding="utf-8"))
    assert content["labels"] == {name: index for index, name in enumerate(CLASSES)}
    assert content["validation"] == {} or content["validation"]["protocol"]["name"] == "pooled_pixels"
    assert content["preprocessing"]["target"]["plane_size"] == [32, 64]


def test_adapt_evaluate_and_segment(streets, release, tmp_path):
    adapted, scored, masks = (tmp_path / name for name in ("adapt", "evaluate", "segment"))
    quick = {"max_epochs": 1, "adaptation#epoch_length": 3, **SIZE}
    run_in_process(
        BUNDLE,
        ("adapt", "small"),
        dataset_dir=streets,
        release=release,
        method="mas3",
        output_dir=adapted,
        **quick,
    )
    record = json.loads((adapted / "adaptation.json").read_text(encoding="utf-8"))
    assert (record["method"], record["target_labels_read"], record["phantom"]) == ("mas3", False, True)
    assert "volumes_ml" not in record
    for bundle in (release.parent / "bundle", adapted / "bundle"):
        check_zoo_ready(bundle, tmp_path)
    assert "unlabelled target picture" in (adapted / "report.html").read_text(encoding="utf-8")

    run_in_process(
        BUNDLE,
        ("train", "evaluate", "small"),
        dataset_dir=streets,
        checkpoint=adapted / "adapted.pt",
        domain="target",
        split="test",
        output_dir=scored,
        **SIZE,
    )
    summary = json.loads((scored / "summary.json").read_text(encoding="utf-8"))
    assert summary["protocol"]["name"] == "pooled_pixels"
    assert list(summary["iou"]["per_class"]) == CLASSES
    with (scored / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 * 19
    known = sum(int(row["reference_voxels"]) for row in rows if row["case"] == "1")
    assert 0 < known < 96 * 48  # the car's own bonnet is ignored

    folder = streets / "cityscapes" / "leftImg8bit" / "val" / "frankfurt"
    run_in_process(
        BUNDLE,
        ("inference", "small"),
        dataset_dir=folder,
        checkpoint=adapted / "model.pt",
        output_dir=masks,
        uncertainty="true",
        **SIZE,
    )
    mask = Image.open(masks / "frankfurt_000000_000019_leftImg8bit_seg.png")
    assert (mask.size, mask.mode) == ((96, 48), "L")
    scan = json.loads((masks / "inference.json").read_text(encoding="utf-8"))["scans"][0]
    counts = np.bincount(np.asarray(mask).ravel(), minlength=19) / (96 * 48)
    np.testing.assert_allclose(list(scan["share"].values()), counts, atol=1e-6)
    with Image.open(masks / "frankfurt_000000_000019_leftImg8bit_entropy.tif") as entropy:
        assert (entropy.size, entropy.mode) == ((96, 48), "F")
        assert 0 < np.asarray(entropy).mean() < np.log(19)
    for name, confidence in scan["confidence"].items():
        assert (confidence is None) == (scan["share"][name] == 0)


def test_largest_component_is_refused_where_nothing_can_be_left_behind(streets, release, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_in_process(
            BUNDLE,
            ("train", "evaluate", "small"),
            dataset_dir=streets,
            checkpoint=release / "model.pt",
            domain="target",
            output_dir=tmp_path / "out",
            largest_component=True,
            **SIZE,
        )
    assert isinstance(caught.value.__cause__, SettingError)
    assert "the task has none" in str(caught.value.__cause__)

"""Adaptation is source-free and label-free: proven by taking both away, and by watching what is opened."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from monai_sfda.methods import METHODS
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, run_in_process


def adapt(data, release, out, **overrides):
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=data,
        release=release,
        output_dir=out,
        **(QUICK_ADAPT | overrides),
    )
    return torch.load(out / "adapted.pt", weights_only=True)


@pytest.mark.parametrize(
    "method",
    [
        {"class_proportions": "source"},
        {"class_proportions": "predicted"},
        {"method": "adabn"},
        {"method": "tent"},
        {"method": "osuda"},
    ],
    ids=lambda overrides: "_".join(overrides.values()),
)
def test_same_weights_without_target_labels_and_source_data(phantoms, source_run, tmp_path, method):
    release = tmp_path / "release"
    shutil.copytree(source_run / "release", release)
    opened: list[str] = []

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    with_all = adapt(phantoms, release, tmp_path / "with", **method)
    mine = [Path(p) for p in opened if p.startswith(str(phantoms))]
    assert mine
    assert {p.parent.name for p in mine} == {"img"}

    bare = tmp_path / "bare"
    shutil.copytree(phantoms, bare)
    for folder in [*bare.rglob("label"), *bare.rglob("Train_Sets")]:
        shutil.rmtree(folder)
    without = adapt(bare, release, tmp_path / "without", **method)
    assert with_all.keys() == without.keys()
    assert all(torch.equal(with_all[name], without[name]) for name in with_all)


def test_oracle_reads_labels_and_every_record_says_so(phantoms, source_run, tmp_path):
    adapt(phantoms, source_run / "release", tmp_path / "run", class_proportions="oracle")
    assert '"target_labels_read": true' in (tmp_path / "run" / "adaptation.json").read_text(encoding="utf-8")
    assert "labels of the target" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_image_level_tags_read_labels_and_every_record_says_so(phantoms, source_run, tmp_path):
    settings = {"method": "adaent", "method_settings": {"prior": "tags"}}
    adapt(phantoms, source_run / "release", tmp_path / "run", **settings)
    record = json.loads((tmp_path / "run" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["target_labels_read"] is True
    assert record["target_labels_used"] == ["image-level tags: which classes each slice shows"]
    assert any("read target labels (image-level tags" in reason for reason in record["reasons"])
    assert "image-level tags" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "method", [m.name for m in METHODS.values() if m.takes_steps and "source_data" not in m.requires]
)
def test_every_method_adapts_from_a_release_and_images_alone(phantoms, source_run, tmp_path, method):
    images = next(phantoms.rglob("img"))
    weights = adapt(
        tmp_path / "unused", source_run / "release", tmp_path / "run", target_images=images, method=method
    )
    record = json.loads((tmp_path / "run" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == method
    assert record["target_labels_read"] is False
    assert record["target_labels_used"] == []
    source = torch.load(source_run / "release" / "model.pt", weights_only=True)
    assert any(not torch.equal(weights[name], source[name]) for name in source)


def test_plain_folder_of_target_images(phantoms, source_run, tmp_path):
    images = next(phantoms.rglob("img"))
    adapt(tmp_path / "unused", source_run / "release", tmp_path / "run", target_images=images)
    assert '"target_images": 4' in (tmp_path / "run" / "adaptation.json").read_text(encoding="utf-8")


def test_no_adaptation_keeps_the_sources_weights(phantoms, source_run, tmp_path):
    weights = adapt(phantoms, source_run / "release", tmp_path / "run", method="none")
    source = torch.load(source_run / "release" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], source[name]) for name in source)

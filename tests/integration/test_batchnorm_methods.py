"""AdaBN, Tent and OSUDA through `adapt.json`: what they write is a plain network's weights, with the target's
statistics.
"""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from monai_sfda.checkpoints import load_into
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, SAMPLING, run_in_process


@pytest.mark.parametrize("method", ["adabn", "tent", "osuda"])
def test_adapted_weights_load_into_a_plain_network_and_are_evaluated(phantoms, source_run, tmp_path, method):
    out, scored = tmp_path / "adapt", tmp_path / "evaluate"
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method=method,
        output_dir=out,
        **QUICK_ADAPT,
    )
    record = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == method
    assert record["target_labels_read"] is False
    assert {row["name"] for row in record["history"]} >= {
        "adabn": set(),
        "tent": {"entropy"},
        "osuda": {"consistency", "entropy"},
    }[method]

    adapted = torch.load(out / "adapted.pt", weights_only=True)
    source = torch.load(source_run / "release" / "model.pt", weights_only=True)
    manifest = json.loads((source_run / "release" / "release.json").read_text(encoding="utf-8"))
    parser = ConfigParser({"network": manifest["network_def"]})
    load_into(parser.get_parsed_content("network"), adapted)
    moved = {name for name in source if not torch.equal(source[name], adapted[name])}
    assert {name for name in source if name.endswith(("running_mean", "running_var"))} <= moved
    assert ("classifier.weight" in moved) == (method == "osuda")

    run_in_process(
        ABDOMEN,
        ("train", "evaluate", "small"),
        dataset_dir=phantoms,
        domain="target",
        split="test",
        checkpoint=out / "adapted.pt",
        output_dir=scored,
        **SAMPLING,
    )
    summary = json.loads((scored / "summary.json").read_text(encoding="utf-8"))
    assert summary["checkpoint_sha256"] == record["adapted_sha256"]

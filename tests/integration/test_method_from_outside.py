"""The method of docs/how_to_own_method.md, installed as a package, through `adapt.json`."""

from __future__ import annotations

import json

from tests.integration.commands import ABDOMEN, QUICK_ADAPT, run_in_process
from tests.methods.test_outside import code_of_page, install, site

__all__ = ["site"]


def test_it_adapts_and_the_record_says_where_it_is_from(phantoms, source_run, tmp_path, site):
    install(site, "pseudo_labels", code_of_page(), {"pseudo_labels": "pseudo_labels:PseudoLabels"})
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method="pseudo_labels",
        method_settings={"confidence": 0.4},
        output_dir=tmp_path / "adapt",
        **QUICK_ADAPT,
    )
    record = json.loads((tmp_path / "adapt" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method_origin"] == {
        "class": "pseudo_labels:PseudoLabels",
        "distribution": "own-methods",
        "version": "1.2",
    }
    assert record["settings"]["method_settings"]["confidence"] == 0.4
    assert "Pseudo-labels" in (tmp_path / "adapt" / "report.html").read_text(encoding="utf-8")

"""The reference of a list of scans: the same from two processes as from one, and of one process alone."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from monai_sfda import processes
from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.listing import list_cases
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.reference_scans import reference_of_scans
from monai_sfda.transforms import preprocessing_for
from tests.builders import small_network, toy_abdomen
from tests.together import run_together


def reference(datalist: Path, together: bool, subjects: int = 3):
    cases = list_cases(ABDOMEN, "source", "train", datalist.parent, datalist=datalist, labels=False).cases
    found = reference_of_scans(
        cases[:subjects],
        ABDOMEN,
        "source",
        small_network(),
        preprocessing_for(ABDOMEN, ABDOMEN.source, pixel_size_mm=2.0),
        SliceStackInferer(batch_size=4, minimum_size=40),
        torch.device("cpu"),
        scans="training",
        together=together,
    )
    return None if found is None else found.to_json()


def in_turns_then_first_alone(datalist: Path):
    """What every process has after taking turns; the first then goes on without the others."""
    shared = reference(datalist, together=True)
    return shared, reference(datalist, together=False) if processes.is_first() else None


def test_two_processes_know_what_one_knows(tmp_path):
    datalist = toy_abdomen(tmp_path)
    alone = reference(datalist, together=False)
    (first, by_itself), (second, _) = run_together(in_turns_then_first_alone, tmp_path, datalist)
    assert first == second == by_itself == alone
    assert alone["subjects"] == 3


def test_two_subjects_are_not_summarised_and_that_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert reference(toy_abdomen(tmp_path), together=False, subjects=2) is None
    assert "fewer than 3 subjects" in caplog.text


def test_scans_need_no_labels(tmp_path):
    datalist = toy_abdomen(tmp_path)
    for label in tmp_path.rglob("*_label.nii.gz"):
        label.write_bytes(b"not a volume")
    assert reference(datalist, together=False)["subjects"] == 3

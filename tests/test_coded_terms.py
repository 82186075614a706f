"""The structures' coded terms against the lists of DICOM PS3.16 that pydicom carries."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from monai_sfda.catalog import TASKS, Structure

SCANS = [task for task in TASKS.values() if not task.pictures]
# SNOMED CT's own term: DICOM's lists name the levels of the discs alone.
NOT_OF_DICOM = {"intervertebral_disc"}
ANATOMY, LESION = "123037004", "49755003"


def of_list(number: int) -> set[tuple[str, str, str]]:
    """The terms of a context group: scheme, value, meaning."""
    group = getattr(codes, f"cid{number}")
    terms = (getattr(group, name, None) for name in dir(group))
    return {(t.scheme_designator, t.value, t.meaning) for t in terms if isinstance(t, Code)}


@pytest.mark.parametrize("structure", [s for task in SCANS for s in task.structures], ids=lambda s: s.name)
def test_terms_are_those_of_dicom(structure: Structure):
    coding = structure.coding
    assert coding is not None
    of = {name: (c.scheme, c.value, c.meaning) for name, c in vars(coding).items() if c is not None}
    assert of["category"] in of_list(7150)
    if structure.name in NOT_OF_DICOM:
        assert of["type"][0] == "SCT"
    elif coding.category.value == LESION:
        assert of["type"] in of_list(7194)
    else:
        assert coding.category.value == ANATOMY
        assert of["type"] in of_list(7192) | of_list(12305)
    assert of.get("modifier", ("SCT", "7771000", "Left")) in of_list(244)
    assert of.get("region", ("SCT", "12738006", "Brain")) in of_list(4)


@pytest.mark.parametrize("task", SCANS, ids=lambda task: task.name)
def test_no_two_structures_have_the_same_terms(task):
    assert len({s.coding for s in task.structures}) == len(task.structures)


def test_street_classes_are_no_anatomy():
    assert {s.coding for task in TASKS.values() if task.pictures for s in task.structures} == {None}

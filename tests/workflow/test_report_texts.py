"""What a record says in the report's words."""

from __future__ import annotations

import pytest

from monai_sfda.workflow.report import adapted_to, data_warnings

GUARD = {
    "guard_scans": [2, 3, 9, 10],
    "adaptation_subjects": 21,
    "guard_subjects": 3,
    "guard_scans_adapted_to": False,
}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "24 unlabelled target scans of 24 subjects (train split)"),
        ({"task": "street"}, "24 unlabelled target pictures (train split)"),
        (
            {"target_images": 9, "target_subjects": 9, "split_missing_subjects": 15},
            "9 unlabelled target scans of 9 subjects (9 of the 24 subjects of the official train split)",
        ),
        (
            {"target_images": 1, "target_subjects": 1, "split": "all", "split_source": "all scans given"},
            "1 unlabelled target scan of 1 subject (all scans given)",
        ),
        (
            {"guard": GUARD},
            "20 unlabelled target scans of 21 subjects, beside 4 of 3 subjects that only the guard saw "
            "(train split)",
        ),
        ({"guard": {"enabled": False}}, "24 unlabelled target scans of 24 subjects (train split)"),
        (
            {"guard": GUARD, "task": "street"},
            "20 unlabelled target pictures, beside 4 that only the guard saw (train split)",
        ),
    ],
)
def test_what_was_adapted_to_in_words(changes, text):
    record = {
        "task": "abdomen",
        "target_images": 24,
        "target_subjects": 24,
        "split": "train",
        "split_source": "ours",
    }
    assert adapted_to(record | changes) == text


def test_doubts_about_scans_are_told_from_remarks_on_the_list():
    record = {"data_warnings": ["scan 3: no value below -50 HU", "9 of the 24 subjects are there."]}
    assert data_warnings(record) == (
        ["Scan A3: no value below -50 HU."],
        ["9 of the 24 subjects are there."],
    )
    assert data_warnings({}) == ([], [])

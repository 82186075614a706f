"""The rule of what may leave a site: enough subjects, and not nearly all from one."""

from __future__ import annotations

import pytest

from monai_sfda.disclosure import LARGEST_SHARE, MINIMUM_SUBJECTS, enough_scans, enough_subjects


@pytest.mark.parametrize(
    ("amounts", "enough"),
    [
        ([], False),
        ([100], False),
        ([100, 100], False),
        ([100, 100, 0], False),
        ([1, 1, 1], True),
        ([900, 50, 50], True),
        ([901, 50, 49], False),
        ([9000, *[10] * 99], False),
        ([0.2, 0.3, 0.1], True),
    ],
)
def test_three_subjects_and_none_with_nearly_all(amounts, enough):
    assert enough_subjects(amounts) is enough
    assert (MINIMUM_SUBJECTS, LARGEST_SHARE) == (3, 0.9)


def test_what_stays_at_its_site_may_be_about_one():
    assert enough_subjects([7], minimum=1)
    assert not enough_subjects([0], minimum=1)


@pytest.mark.parametrize(
    ("subjects", "enough"),
    [("abc", True), ("aabb", False), ("a" * 19 + "bc", False), ("a" * 18 + "bc", True)],
)
def test_scans_count_for_their_subjects(subjects, enough):
    assert enough_scans(subjects) is enough

"""Scans of a subject stay together, and the guard has its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_sfda.data.case import Case
from monai_sfda.guard.split import split_by_subject


def cases(*scans_of_subjects: int) -> list[Case]:
    """So many scans of each subject, the subjects' scans in turn."""
    listed = [(f"p{s}", t) for t in range(max(scans_of_subjects)) for s, n in enumerate(scans_of_subjects)]
    kept = [(s, t) for s, t in listed if t < scans_of_subjects[int(s[1:])]]
    return [
        Case(number, subject, (Path(f"{subject}_{t}.nii"),), None, "folder")
        for number, (subject, t) in enumerate(kept, start=1)
    ]


@pytest.mark.parametrize(
    ("subjects", "share", "guard"),
    [(3, 0.25, 1), (4, 0.25, 1), (5, 0.25, 2), (6, 0.25, 2), (10, 0.25, 3), (24, 0.25, 6), (3, 0.01, 1)]
    + [(3, 0.9, 2), (40, 0.5, 20), (12, 0.01, 2)],
)
def test_the_guard_has_its_share_of_the_subjects_and_never_all(subjects, share, guard):
    split = split_by_subject(cases(*[1] * subjects), share, seed=0)
    assert (split.adaptation_subjects, split.guard_subjects) == (subjects - guard, guard)
    assert len(split.guard) == guard
    assert not split.shared
    assert sorted(split.adaptation + split.guard) == list(range(1, subjects + 1))


@pytest.mark.parametrize("seed", range(100, 120))
def test_scans_of_a_subject_stay_together(seed):
    listed = cases(2, 1, 3, 2, 1, 2, 2)
    split = split_by_subject(listed, 0.4, seed)
    owner = {case.number: case.subject for case in listed}
    adapted_to, kept = ({owner[n] for n in numbers} for numbers in (split.adaptation, split.guard))
    assert not adapted_to & kept
    assert len(adapted_to) == split.adaptation_subjects == 4
    assert len(kept) == split.guard_subjects == 3
    assert sorted(split.adaptation + split.guard) == [case.number for case in listed]


@pytest.mark.parametrize("scans", [(1,), (1, 1), (3, 2)])
def test_fewer_than_three_subjects_serve_for_both(scans):
    listed = cases(*scans)
    split = split_by_subject(listed, 0.25, seed=0)
    assert split.shared
    assert split.adaptation == split.guard == tuple(case.number for case in listed)
    assert split.subjects == split.guard_subjects == len(scans)
    assert split.to_json()["guard_scans_adapted_to"] is True


def test_the_draw_is_the_seeds_and_spreads_over_the_list():
    listed = cases(*[1] * 12)
    draws = [split_by_subject(listed, 0.25, seed).guard for seed in range(100, 160)]
    assert draws == [split_by_subject(listed, 0.25, seed).guard for seed in range(100, 160)]
    chosen = {number for guard in draws for number in guard}
    assert chosen == set(range(1, 13))

"""Splits of data sets without an official one, and the choice of modalities."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monai_sfda.catalog import ABDOMEN, SeededSplit
from monai_sfda.errors import SettingError

SUBJECTS = [f"s{i}" for i in range(23)]


def test_every_subject_is_in_one_split_and_the_order_of_listing_does_not_matter():
    rule = SeededSplit(0.6, 0.2, 0.2, seed=3)
    split = rule.of(SUBJECTS)
    assert sorted(s for ids in split.values() for s in ids) == sorted(SUBJECTS)
    assert rule.of([*reversed(SUBJECTS), *SUBJECTS]) == split
    assert [len(split[name]) for name in ("train", "val", "test")] == [13, 5, 5]
    assert SeededSplit(0.6, 0.2, 0.2, seed=4).of(SUBJECTS) != split


def test_two_domains_of_one_data_set_share_no_subject():
    source, target = (SeededSplit(0.8, 0.0, 0.2, part=i, parts=2).of(SUBJECTS) for i in (0, 1))
    of_source, of_target = ({s for ids in split.values() for s in ids} for split in (source, target))
    assert not of_source & of_target
    assert of_source | of_target == set(SUBJECTS)


@pytest.mark.parametrize(("count", "sizes"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1))])
def test_few_subjects_train_first_and_test_next(count, sizes):
    split = SeededSplit(0.6, 0.2, 0.2).of(SUBJECTS[:count])
    assert tuple(len(split[name]) for name in ("train", "val", "test")) == sizes


def test_a_subject_more_leaves_the_test_subjects_nearly_as_they_were():
    rule = SeededSplit(0.8, 0.0, 0.2)
    before, after = set(rule.of(SUBJECTS)["test"]), set(rule.of([*SUBJECTS, "new"])["test"])
    assert len(before - after) <= 1


def test_modalities_are_chosen_by_name_and_unknown_ones_are_refused_with_the_nearest():
    target = replace(ABDOMEN.target, modality="t2", modalities={"t2": "T2", "flair": "FLAIR"})
    task = replace(ABDOMEN, target=target).with_modalities(None, "flair")
    assert (task.target.modality, task.target.title) == ("flair", "FLAIR")
    assert task.source == ABDOMEN.source
    with pytest.raises(SettingError, match="'flare' is unknown: use one of flair"):
        task.with_modalities(target="flare")
    with pytest.raises(SettingError, match="use one of T2SPIR"):
        ABDOMEN.with_modalities(source="T1")
    assert ABDOMEN.with_modalities("T2SPIR", "CT") == ABDOMEN

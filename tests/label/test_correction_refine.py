"""Refining one structure from marks: what changes, what stays, in every storage order."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.data.scan import Scan
from monai_sfda.label.correction.refine import Reach, refine
from monai_sfda.label.correction.seeds import Seeds
from tests.label.correction_scenes import LEAKED, LIVER, MISSED, SPLEEN, scene, strokes

REACH = Reach(20.0)


def corrected(of, foreground=(), background=(), reach=REACH, **more):
    seeds = Seeds.of_points(list(foreground), list(background))
    return refine(of.scan, of.probability, of.classes, LIVER, seeds, reach, **more)


@pytest.fixture(scope="module")
def erring():
    return scene()


@pytest.mark.parametrize(("mm", "share"), [(20.0, 0.4), (40.0, 0.8)])
def test_a_foreground_click_adds_what_was_missed_round_it_and_nothing_else(erring, mm, share):
    found = corrected(erring, [MISSED], reach=Reach(mm))
    missed = (erring.truth == LIVER) & (erring.classes == 0)
    added = (found == LIVER) & (erring.classes != LIVER)
    assert (added & missed).sum() > share * missed.sum()
    assert (added & ~missed).sum() < 0.05 * added.sum()
    assert not ((erring.classes == LIVER) & (found != LIVER)).any()


def test_a_background_click_removes_most_of_a_leak_and_adds_nothing(erring):
    found = corrected(erring, background=[LEAKED])
    leaked = (erring.classes == LIVER) & (erring.truth != LIVER)
    removed = (erring.classes == LIVER) & (found != LIVER)
    assert (removed & leaked).sum() > 0.6 * leaked.sum()
    assert (removed & ~leaked).sum() < 0.1 * removed.sum()
    assert not ((found == LIVER) & (erring.classes != LIVER)).any()


def test_several_clicks_at_once_do_what_each_does(erring):
    both = corrected(erring, [MISSED], [LEAKED])
    one, other = corrected(erring, [MISSED]), corrected(erring, background=[LEAKED])
    assert erring.dice(both) > max(erring.dice(one), erring.dice(other)) > erring.dice(erring.classes)


def test_the_other_structures_stay_as_they_are_to_the_voxel(erring):
    found = corrected(erring, [MISSED], [LEAKED])
    assert np.array_equal(found == SPLEEN, erring.classes == SPLEEN)


def test_marks_are_obeyed_wherever_they_lie(erring):
    spleen, far = (50, 90, 10), (2, 2, 2)
    found = corrected(erring, [spleen, far], [(50, 50, 10), LEAKED])
    assert found[spleen] == LIVER
    assert found[far] == LIVER
    assert found[50, 50, 10] == 0
    assert found[LEAKED] == 0


def test_a_structure_gives_way_to_a_click_only_where_that_is_wanted(erring):
    in_spleen = (50, 90, 10)
    kept = corrected(erring, [in_spleen])
    assert ((erring.classes == SPLEEN) & (kept != SPLEEN)).sum() == 1
    given = corrected(erring, [in_spleen], yielding=[SPLEEN])
    assert (given == SPLEEN).sum() < 0.5 * (erring.classes == SPLEEN).sum()


def test_marks_that_agree_with_the_mask_change_nothing(erring):
    found = corrected(erring, [(50, 50, 10)], [(5, 5, 5)])
    assert np.array_equal(found, erring.classes)


@pytest.mark.parametrize("mm", [10.0, 15.0])
def test_nothing_changes_beyond_the_reach(erring, mm):
    found = corrected(erring, [MISSED], reach=Reach(mm))
    changed = np.argwhere(found != erring.classes) * np.array(erring.scan.spacing_mm)
    far = np.linalg.norm(changed - np.array(MISSED) * np.array(erring.scan.spacing_mm), axis=1)
    assert 0.3 * mm < far.max() <= mm + 1


def test_nothing_changes_outside_the_region_of_interest(erring):
    roi = (slice(0, 100), slice(50, 100), slice(0, 20))
    outside = (70, 40, 10)
    found = corrected(erring, [MISSED, outside], roi=roi)
    changed = found != erring.classes
    assert changed[roi].any()
    assert changed[outside]  # a mark is obeyed wherever it lies
    changed[outside] = False
    changed[roi] = False
    assert not changed.any()


@pytest.mark.parametrize("axes", ["LPS", "LAS", "RPI", "SLA", "PIR"])
def test_the_storage_order_makes_no_difference(erring, axes):
    turned = erring.turned(axes)
    points = [turned.voxel(erring, point) for point in (MISSED, LEAKED)]
    found = corrected(turned, points[:1], points[1:])
    expected = corrected(erring, [MISSED], [LEAKED])
    back = np.array([turned.voxel(erring, tuple(v)) for v in np.argwhere(expected != erring.classes)])
    assert len(back) > 1000
    assert np.array_equal(found[tuple(back.T)], expected[tuple(np.argwhere(expected != erring.classes).T)])
    assert (found != turned.classes).sum() == len(back)


def test_an_oblique_scan_is_corrected_as_a_straight_one(erring):
    turn = np.array([[0.96, -0.28, 0, 7], [0.28, 0.96, 0, -3], [0, 0, 1, 20], [0, 0, 0, 1]])
    oblique = Scan(erring.scan.array, turn @ erring.scan.affine)
    seeds = Seeds.of_points([MISSED], [LEAKED])
    found = refine(oblique, erring.probability, erring.classes, LIVER, seeds, REACH)
    assert np.array_equal(found, corrected(erring, [MISSED], [LEAKED]))


def test_a_former_correction_is_kept(erring):
    """The mask is right where the model is wrong; a mark elsewhere does not bring the error back."""
    corrected_before = erring.classes.copy()
    missed = (erring.truth == LIVER) & (erring.classes == 0)
    corrected_before[missed] = LIVER
    seeds = Seeds.of_points([], [LEAKED])
    found = refine(erring.scan, erring.probability, corrected_before, LIVER, seeds, REACH)
    assert (found[missed] == LIVER).all()


def test_strokes_of_a_radiologist_bring_the_mask_close_to_the_truth(erring):
    truth, mask = erring.truth == LIVER, erring.classes == LIVER
    seeds = Seeds.of_masks(strokes(truth & ~mask), strokes(mask & ~truth))
    found = refine(erring.scan, erring.probability, erring.classes, LIVER, seeds, REACH)
    assert erring.dice(erring.classes) < 0.9
    assert erring.dice(found) > 0.95


def test_marks_through_other_tissue_where_the_mask_is_right_do_not_make_a_mark_spread(erring):
    """A background stroke from far outside into a leak tells of the leak's tissue alone."""
    stroke = [(x, LEAKED[1], LEAKED[2]) for x in range(LEAKED[0] + 1)]
    found = corrected(erring, background=stroke)
    leaked = (erring.classes == LIVER) & (erring.truth != LIVER)
    removed = (erring.classes == LIVER) & (found != LIVER)
    assert (removed & leaked).sum() > 0.6 * leaked.sum()
    assert (removed & ~leaked).sum() < 0.1 * removed.sum()


def test_a_window_of_blocks_gives_nearly_the_same(erring, monkeypatch):
    from monai_sfda.label.correction import window

    fine = corrected(erring, [MISSED], [LEAKED])
    monkeypatch.setattr(window, "MOST_VOXELS", 40_000)
    coarse = corrected(erring, [MISSED], [LEAKED])
    changed = (fine != erring.classes).sum()
    assert 0 < (fine != coarse).sum() < 0.3 * changed
    assert coarse[MISSED] == LIVER
    assert coarse[LEAKED] == 0


def test_an_image_of_one_value_is_no_obstacle(erring):
    flat = Scan(np.zeros_like(erring.scan.array), erring.scan.affine)
    seeds = Seeds.of_points([MISSED], [])
    found = refine(flat, erring.probability, erring.classes, LIVER, seeds, REACH)
    assert found[MISSED] == LIVER

"""The verdict, from signals and a small calibration of which every number is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from monai_sfda.guard.calibration import Calibration, shipped_calibration
from monai_sfda.guard.candidate import Candidate
from monai_sfda.guard.estimate import ChangeEstimator
from monai_sfda.guard.signals import SIGNALS, ScanSignals
from monai_sfda.guard.verdict import judge
from monai_sfda.methods import METHODS, find_method
from monai_sfda.release import ClassRatio

LABELS = {"background": 0, "liver": 1, "spleen": 2}
RATIO = ClassRatio(mean=(0.8, 0.15, 0.05), std=(0.05, 0.03, 0.01), subjects=8)
# Two trees. By the change of agreement: up to -0.05 it is -6 points, up to 0.05 it is 0.8, beyond 4.
# By that of the entropy: 8 points where it falls by more than 0.2, else 0. The estimate is their mean.
KNOWN = Calibration(
    ChangeEstimator(
        names=("agreement", "entropy"),
        usual=np.zeros(2),
        roots=np.array([0, 5], np.int32),
        feature=np.array([0, -1, 0, -1, -1, 1, -1, -1], np.int16),
        threshold=np.array([-0.05, 0, 0.05, 0, 0, -0.2, 0, 0]),
        left=np.array([1, 0, 3, 0, 0, 6, 0, 0], np.int32),
        right=np.array([2, 0, 4, 0, 0, 7, 0, 0], np.int32),
        value=np.array([0.0, -0.06, 0.0, 0.008, 0.04, 0.0, 0.08, 0.0]),
    ),
    accept_from=0.01,
    reject_below=0.002,
    made_from={},
)


def candidate(name: str, *scans: Mapping[str, float], shares: Sequence[float] = (0.15, 0.05)) -> Candidate:
    nothing = np.zeros((0, 0, 0), np.uint8)
    structures = dict(zip(("liver", "spleen"), shares, strict=True))
    return Candidate(name, 0, [ScanSignals(values, structures, nothing) for values in scans])


def judged(
    *candidates: Candidate,
    before: Candidate | None = None,
    guard_subjects: int = 2,
    optimised: Sequence[str] = (),
) -> Any:
    before = before or candidate("unadapted", {"agreement": 0.7, "entropy": 0.3}, {"agreement": 0.6})
    return judge(
        before,
        candidates,
        optimised=optimised,
        guard_subjects=guard_subjects,
        labels=LABELS,
        class_ratio=RATIO,
        calibration=KNOWN,
    )


BETTER = ({"agreement": 0.8, "entropy": 0.3}, {"agreement": 0.7})
WORSE = ({"agreement": 0.5, "entropy": 0.3}, {"agreement": 0.5})
SAME = ({"agreement": 0.72, "entropy": 0.3}, {"agreement": 0.62})


def test_a_gain_is_accepted_and_the_best_checkpoint_published() -> None:
    found = judged(candidate("epoch_0002", *BETTER), candidate("last", *SAME))
    assert (found.verdict, found.chosen) == ("accept", "epoch_0002")
    assert found.estimates == {
        "unadapted": 0.0,
        "epoch_0002": pytest.approx(0.02),
        "last": pytest.approx(0.004),
    }
    assert "the weights of epoch 2 are estimated to change the mean Dice by +2.0 points" in found.reasons
    assert any("0.65 before, 0.75 after (+1.6 points)" in reason for reason in found.reasons)


def test_a_loss_is_rejected_and_the_unadapted_model_stays() -> None:
    found = judged(candidate("epoch_0002", *WORSE), candidate("last", *WORSE))
    assert (found.verdict, found.chosen, found.best) == ("reject", "unadapted", "unadapted")
    assert "every checkpoint is estimated to be worse" in found.reasons[0]


def test_between_the_thresholds_it_is_unsure_and_nothing_is_published() -> None:
    found = judged(candidate("last", *SAME))
    assert (found.verdict, found.chosen, found.best) == ("unsure", "unadapted", "last")


@pytest.mark.parametrize(("subjects", "verdict"), [(0, "unsure"), (1, "unsure"), (2, "accept")])
def test_fewer_than_two_guard_subjects_are_too_few(subjects: int, verdict: str) -> None:
    found = judged(candidate("last", *BETTER), guard_subjects=subjects)
    assert found.verdict == verdict
    assert any("too few to be sure" in reason for reason in found.reasons) == (verdict == "unsure")


def test_what_the_method_minimises_says_nothing() -> None:
    surer = ({"agreement": 0.7, "entropy": 0.0}, {"agreement": 0.6})
    assert judged(candidate("last", *surer)).verdict == "accept"
    assert judged(candidate("last", *surer), optimised=["entropy"]).estimates["last"] == pytest.approx(0.004)


def test_a_vanished_structure_rules_a_checkpoint_out_whatever_its_estimate() -> None:
    gone = candidate("last", *BETTER, shares=(0.15, 0.0))
    found = judged(candidate("epoch_0002", *SAME), gone)
    assert found.best == "epoch_0002"
    assert "the last weights are ruled out: spleen has vanished from every scan" in found.reasons
    assert found.to_json()["vetoes"] == {"last": ["spleen has vanished from every scan"]}


def test_a_structure_that_the_unadapted_model_never_found_cannot_vanish() -> None:
    before = candidate("unadapted", {"agreement": 0.7}, {"agreement": 0.6}, shares=(0.15, 0.0))
    after = candidate("last", {"agreement": 0.8}, {"agreement": 0.7}, shares=(0.15, 0.0))
    assert judged(after, before=before).verdict == "accept"


def test_masks_in_many_pieces_are_ruled_out() -> None:
    before = candidate("unadapted", {"agreement": 0.6, "components": 2.0})
    found = judged(candidate("last", {"agreement": 0.8, "components": 40.0}), before=before)
    assert found.verdict == "reject"
    assert (
        "the last weights are ruled out: structures fall into 40 pieces on average, before 2" in found.reasons
    )


def test_a_run_without_change_is_never_accepted() -> None:
    before = candidate("unadapted", {"agreement": 0.7, "entropy": 0.3, "changed": 0.0})
    same = candidate("last", {"agreement": 0.7, "entropy": 0.3, "changed": 0.0})
    shipped = judge(before, [same], optimised=(), guard_subjects=2, labels=LABELS, class_ratio=RATIO)
    assert shipped.chosen == "unadapted"


def test_the_shipped_calibration_uses_known_signals_and_every_method_leaves_some() -> None:
    shipped = shipped_calibration()
    signals = set(shipped.estimator.names)
    assert signals <= set(SIGNALS)
    assert 0 <= shipped.reject_below <= shipped.accept_from
    assert shipped.made_from["part"] == "development"
    for name in METHODS:
        assert signals - find_method(name).optimises

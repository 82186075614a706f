"""Class ratios beside the source's: by hand and by SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import entropy

from monai_sfda.guard.ratios import ratio_signals, vanished
from monai_sfda.release import ClassRatio

LABELS = {"background": 0, "liver": 1, "spleen": 2, "kidney": 3}
STRUCTURES = {name: index for name, index in LABELS.items() if index}
SOURCE = ClassRatio((0.9, 0.06, 0.04, 0.0), (0.02, 0.02, 0.001, 0.0), 5)


def test_divergences_are_those_of_scipy():
    soft = torch.tensor([0.8, 0.1, 0.06, 0.04])
    found = ratio_signals(soft, soft, SOURCE, STRUCTURES)
    assert found["ratio_kl"] == pytest.approx(entropy(SOURCE.mean, soft.numpy()), rel=1e-6)
    structures = entropy([0.6, 0.4, 0.0], [0.5, 0.3, 0.2])
    assert found["composition_kl"] == pytest.approx(structures, rel=1e-6)


def test_a_larger_field_of_view_does_not_change_the_composition():
    small, large = (torch.tensor([1 - s, 0.6 * s, 0.4 * s, 0.0]) for s in (0.2, 0.05))
    found = [ratio_signals(soft, soft, SOURCE, STRUCTURES)["composition_kl"] for soft in (small, large)]
    assert found == pytest.approx([0.0, 0.0], abs=1e-7)


def test_deviations_by_hand():
    """The spleen's standard deviation is not believed below a tenth of its share; kidneys are not known."""
    hard = torch.tensor([0.86, 0.08, 0.06, 0.0])
    found = ratio_signals(hard, hard, SOURCE, STRUCTURES)
    liver, spleen = (0.08 - 0.06) / 0.02, (0.06 - 0.04) / 0.004
    assert found["ratio_z"] == pytest.approx((liver + spleen) / 2, rel=1e-5)
    assert found["ratio_z_largest"] == pytest.approx(spleen, rel=1e-5)
    assert found["ratio_outside"] == 1


def test_one_structure_has_no_composition_and_pictures_no_background():
    one = ClassRatio((0.9, 0.1), (0.01, 0.01), 5)
    assert "composition_kl" not in ratio_signals(
        torch.tensor([0.8, 0.2]), torch.tensor([0.8, 0.2]), one, {"disc": 1}
    )
    assert "composition_kl" not in ratio_signals(
        torch.tensor([0.8, 0.2]), torch.tensor([0.8, 0.2]), one, {"road": 0, "sky": 1}
    )


def test_a_hundredth_of_the_usual_share_has_vanished():
    shares = {"liver": 0.05, "spleen": 0.0003, "kidney": 0.0}
    assert vanished(shares, SOURCE, LABELS) == ["spleen"]  # kidneys were never there
    assert vanished(shares, None, LABELS) == ["kidney"]

"""Agreement of segmentations: means over structures and changes, by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from monai_sfda.guard.agreement import Agreement

STRUCTURES = {"liver": 1, "spleen": 2, "kidney": 3}


def certain(classes: list[int]) -> torch.Tensor:
    """(1, 4, 1, N) probabilities of one slice in one row."""
    return functional.one_hot(torch.tensor([[classes]]), 4).movedim(-1, 1).float()


def test_by_hand():
    agreement = Agreement(["agreement_noise", "agreement_ramp"], 4)
    mask = certain([0, 1, 1, 2])
    agreement.update("agreement_noise", mask, certain([0, 1, 2, 2]), None)
    agreement.update(
        "agreement_ramp", mask, certain([1, 1, 1, 2]), torch.tensor([[[False, True, True, True]]])
    )
    found = agreement.values(STRUCTURES)
    assert found["agreement_noise"] == pytest.approx(2 / 3)
    assert found["agreement_ramp"] == 1
    assert found["agreement"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["agreement_soft"] == pytest.approx((2 / 3 + 1) / 2)
    # Both structures 2/3 and 1; kidneys are nowhere and have no part in it.
    assert found["agreement_worst"] == pytest.approx((2 / 3 + 1) / 2)


def test_the_worst_structure_is_the_lowest_mean_over_changes():
    agreement = Agreement(["agreement_noise", "agreement_ramp"], 4)
    agreement.update("agreement_noise", certain([1, 2]), certain([0, 2]), None)
    agreement.update("agreement_ramp", certain([1, 2]), certain([1, 0]), None)
    found = agreement.values(STRUCTURES)
    assert found["agreement_worst"] == found["agreement"] == 0.5


def test_soft_agreement_sees_what_the_masks_hide():
    """Probabilities that moved, and no mask with them."""
    p = torch.tensor([[0.4, 0.9], [0.6, 0.1]]).reshape(1, 2, 1, 2)
    q = p * 0.8 + 0.1
    agreement = Agreement(["agreement_noise"], 2)
    agreement.update("agreement_noise", p, q, None)
    found = agreement.values({"liver": 1})
    assert found["agreement"] == 1
    a, b = p[0, 1], q[0, 1]
    assert found["agreement_soft"] == pytest.approx(float(2 * (a * b).sum() / (a + b).sum()), rel=1e-6)
    assert found["agreement_soft"] < 1


def test_without_a_structure_there_is_no_agreement():
    agreement = Agreement(["agreement_noise"], 4)
    agreement.update("agreement_noise", certain([0, 0]), certain([0, 0]), None)
    assert agreement.values(STRUCTURES) == {}

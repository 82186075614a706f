"""The sliced Wasserstein distance against POT, a closed form, float64 and gradcheck."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.losses import draw_projections, sliced_wasserstein_distance


@pytest.mark.parametrize(("n", "d", "count"), [(50, 2, 10), (1000, 5, 100), (4096, 16, 64)])
def test_equals_pot_with_the_same_projections(n, d, count):
    ot = pytest.importorskip("ot")
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, d, generator=generator)
    y = torch.randn(n, d, generator=generator) * 2 + 1
    projections = draw_projections(d, count, generator=generator)
    ours = float(sliced_wasserstein_distance(x, y, projections))
    reference = ot.sliced_wasserstein_distance(
        x.double().numpy(), y.double().numpy(), projections=projections.double().numpy(), p=2
    )
    assert ours == pytest.approx(reference**2, rel=1e-5)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_shifted_gaussians_have_a_closed_form(orthogonal):
    """The squared distance of N(0, I) and N(m, I) along a direction o is (m.o)^2, on average |m|^2 / D."""
    d, n, count = 4, 200_000, 400
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    shift = torch.tensor([3.0, -1.0, 2.0, 0.5])
    projections = draw_projections(d, count, orthogonal=orthogonal, generator=generator)
    along_these = float((shift @ projections).square().mean())
    ours = float(sliced_wasserstein_distance(x, torch.randn(n, d, generator=generator) + shift, projections))
    assert ours == pytest.approx(along_these, rel=0.01)
    if orthogonal:  # whole groups of D orthogonal directions reach the mean over the sphere exactly
        assert along_these == pytest.approx(float(shift.square().sum()) / d, rel=1e-5)


def test_nearly_aligned_clouds_keep_their_digits_in_float32():
    """The published form (differences of cumulative sums) has a floor of error here that is many times the
    value.
    """
    n = 1_000_000
    x = torch.rand(n, 1, generator=torch.Generator().manual_seed(0)) * 10
    shift = 2**-10
    distance = float(sliced_wasserstein_distance(x, x + shift, torch.ones(1, 1)))
    assert distance == pytest.approx(shift**2, rel=1e-2)


def test_gradients_by_finite_differences():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    projections = draw_projections(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: sliced_wasserstein_distance(a, y, projections), x)


def test_zero_for_the_same_points_in_another_order():
    x = torch.randn(100, 3)
    assert float(sliced_wasserstein_distance(x, x[torch.randperm(100)], draw_projections(3, 20))) < 1e-12


def test_clouds_of_other_sizes_are_refused():
    with pytest.raises(SettingError, match="not defined"):
        sliced_wasserstein_distance(torch.zeros(3, 2), torch.zeros(4, 2), torch.ones(2, 1))


def test_directions_are_units_uniform_and_reproducible():
    first = draw_projections(3, 30_000, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, draw_projections(3, 30_000, generator=torch.Generator().manual_seed(3)))
    np.testing.assert_allclose(first.norm(dim=0).numpy(), 1, rtol=1e-6)
    np.testing.assert_allclose((first @ first.T / 30_000).numpy(), np.eye(3) / 3, atol=0.01)

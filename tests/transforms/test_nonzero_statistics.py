"""Statistics of the voxels that are not 0: what skull-stripped scans are normalised by."""

from __future__ import annotations

import pytest
import torch

from monai_sfda.catalog import BRAIN_GRADE, Intensity
from monai_sfda.transforms.intensity import normalise


def test_the_background_does_not_count():
    """By hand: brain values 2, 4, 6, 8 have mean 5 and variance 5, however much background there is."""
    brain = torch.tensor([2.0, 4.0, 6.0, 8.0])
    intensity = Intensity(clip=None, nonzero=True)
    for background in (0, 3, 300):
        out = normalise(torch.cat([brain, torch.zeros(background)]), intensity)
        torch.testing.assert_close(out[:4], (brain - 5) / 5**0.5)
    assert normalise(torch.cat([brain, torch.zeros(300)]), Intensity(clip=None))[3] > 5


def test_percentiles_are_the_brain_s_and_an_empty_volume_stays_zero():
    intensity = Intensity(percentiles=(0.0, 50.0), clip=None, nonzero=True)
    out = normalise(torch.tensor([0.0] * 50 + [1.0, 2.0, 3.0]), intensity)
    assert out[-1] == out[-2] > out[-3]  # the median of the brain, 2, is the highest value
    assert normalise(torch.zeros(8), intensity).tolist() == [0.0] * 8


@pytest.mark.parametrize("domain", ["source", "target"])
def test_brains_are_normalised_so(domain):
    assert BRAIN_GRADE.domain(domain).intensity.nonzero

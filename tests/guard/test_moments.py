"""One pass over batches gives what all vectors at once give."""

from __future__ import annotations

import pytest
import torch

from monai_sfda.guard.moments import RunningMoments


@pytest.mark.parametrize("sizes", [(600,), (1, 599), (7, 293, 1, 299)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_batches_give_the_moments_of_all(sizes, offset):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(600, 3, generator=generator, dtype=torch.float64) + offset
    moments = RunningMoments(1, 3)
    for part in points.split(sizes):
        moments.update(part)
    assert float(moments.count) == 600
    torch.testing.assert_close(moments.mean[0], points.mean(0), rtol=1e-13, atol=0)
    torch.testing.assert_close(moments.variance[0], points.var(0, correction=0), rtol=1e-8, atol=0)


def test_each_class_has_its_own_and_one_that_never_came_has_zeros():
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(500, 4, generator=generator, dtype=torch.float64) * 3 - 1
    classes = torch.randint(0, 3, (500,), generator=generator)
    moments = RunningMoments(4, 4)
    for part, of_part in zip(points.split(64), classes.split(64), strict=True):
        moments.update(part, of_part)
    for k in range(3):
        mine = points[classes == k]
        assert int(moments.count[k]) == len(mine)
        torch.testing.assert_close(moments.mean[k], mine.mean(0))
        torch.testing.assert_close(moments.variance[k], mine.var(0, correction=0))
    assert float(moments.count[3]) == 0
    assert not moments.mean[3].any()
    assert not moments.variance[3].any()

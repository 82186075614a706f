"""The sliced Wasserstein distance between two clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_sfda.errors import SettingError


def draw_projections(
    dimension: int,
    count: int,
    *,
    orthogonal: bool = False,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Random directions on the unit sphere, as columns.

    Args:
        dimension: D of the points.
        count: L, the number of directions.
        orthogonal: draw them in orthogonal groups of D, each group uniformly rotated; the estimate stays
            unbiased and its variance falls. Independent directions (the papers' choice) otherwise.
        generator: source of randomness, on the CPU or on `device`.
        device, dtype: of the result.

    Returns:
        (D, L), columns of unit length.
    """
    draw_on = generator.device if generator is not None else torch.device("cpu")

    def gaussian(columns: int) -> Tensor:
        return torch.randn(dimension, columns, generator=generator, device=draw_on, dtype=torch.float64)

    if orthogonal:
        groups = []
        for _ in range(-(-count // dimension)):
            q, r = torch.linalg.qr(gaussian(dimension))
            groups.append(q * torch.diagonal(r).sign())
        directions = torch.cat(groups, dim=1)[:, :count]
    else:
        directions = gaussian(count)
        directions = directions / directions.norm(dim=0, keepdim=True)
    return directions.to(device=device, dtype=dtype)


def sliced_wasserstein_distance(x: Tensor, y: Tensor, projections: Tensor) -> Tensor:
    """Squared sliced 2-Wasserstein distance of two equally large point clouds.

    SWD(x, y) = 1/L sum_l 1/N sum_i (sort(x o_l)_i - sort(y o_l)_i)^2, the mean over L directions o_l of the
    squared one-dimensional distance, which sorting solves. Each direction is sorted and subtracted; the
    published code's cumulative sums have an absolute floor of error in float32.

    Args:
        x: (N, D). Gradients flow to x and y; detach the side that must not move.
        y: (N, D).
        projections: (D, L) unit columns, see `draw_projections`.

    Returns:
        A scalar in squared units of the embedding.

    Raises:
        SettingError: when the clouds differ in size.

    Source: SFS, Eq. 4; Bonneel et al. 2015.
    """
    if x.shape != y.shape or x.dim() != 2:
        raise SettingError(
            f"sliced Wasserstein of clouds {tuple(x.shape)} and {tuple(y.shape)} is not defined here",
            remedy="draw as many points from one as from the other",
        )
    # (L, N) with the points along the last axis: a sort of contiguous rows is several times faster than one
    # of columns.
    sorted_x = (projections.T @ x.T).sort(dim=1).values
    sorted_y = (projections.T @ y.T).sort(dim=1).values
    return (sorted_x - sorted_y).square().mean()

"""The divergence of a Gaussian with diagonal covariance from the standard normal, in closed form."""

from __future__ import annotations

from torch import Tensor


def standard_normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)), the mean over all latent values.

    A value's share is (mean^2 + variance - 1 - log variance) / 2 nats. Paper 5 prints the divergence of the
    whole map, which grows with the map; *ours* is its mean over values, as UNIT's code has it, so that the
    weight 0.1 means the same at every size and stands beside a reconstruction error averaged over pixels.

    Args:
        mean, log_variance: of the same shape.

    Returns:
        A scalar, nats a value, at least 0.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()

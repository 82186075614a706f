"""The two sides of adversarial training, on a discriminator's logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log D(real) - mean log(1 - D(fake)), D the sigmoid of the logits.

    Args:
        real, fake: logits of any shape.

    Returns:
        A scalar; 2 log 2 for a discriminator that knows nothing.

    Source: Goodfellow et al. 2014, Eq. 1; paper 5, Eqs. 3 and 5, which the discriminator maximises.
    """
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-mean log D(fake): what the networks that made the fake minimise.

    Eqs. 3 and 5 of paper 5 have mean log(1 - D(fake)) here, whose gradient vanishes where the discriminator
    is sure; *ours* is the non-saturating form, of the same fixed point.

    Args:
        fake: logits of any shape.

    Source: Goodfellow et al. 2014, section 3.
    """
    return functional.softplus(-fake).mean()

"""Batch norm that passes over from the source's statistics to the target's."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_sfda.networks.batchnorm import (
    batch_statistics,
    follow,
    keeps_statistics,
    normalise,
    replace_batchnorms,
    single_precision,
)


class BlendedBatchNorm(_BatchNorm):
    """Normalises a batch with

        mu  = (1 - eta) mu_batch  + eta mu_source
        var = (1 - eta) var_batch + eta var_source

    Gradients flow through the batch's part. The batch is that of all processes. The running statistics follow
    the blended ones by the momentum, with the batch's variance divided by n - 1 as in any batch norm, and are
    what evaluation normalises with; so eta = 0 is ordinary batch norm in training, and eta = 1 the source's.

    Parameters and the state dict are those of the module that it takes the place of: the weights go back into
    the plain network.

    Args:
        module: with the source's running statistics. Its parameters and running statistics are shared.
        momentum: of the running statistics.

    Attributes:
        eta: the source's share, 1 at first.
        source_mean, source_variance: (C,) statistics of the source.
        mean, variance: (C,) blended statistics of the last training batch, without gradient; the source's
            before the first.

    Source: OSUDA, Eq. 3.
    """

    source_mean: Tensor
    source_variance: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, module: _BatchNorm, momentum: float) -> None:
        super().__init__(module.num_features, module.eps, momentum, module.affine)
        self._parameters = module._parameters
        for name, buffer in module.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.training = module.training
        self.eta = 1.0
        for name, statistic in (("mean", module.running_mean), ("variance", module.running_var)):
            source = cast(Tensor, statistic).detach()
            # Beside the state dict, which is a plain network's.
            self.register_buffer(f"source_{name}", source.clone(), persistent=False)
            self.register_buffer(name, source.clone(), persistent=False)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of spatial dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, C, *spatial)."""
        if not self.training:
            return super().forward(input)
        batch = batch_statistics(single_precision(input))
        mean = self._blend(batch.mean, self.source_mean)
        variance = self._blend(batch.variance, self.source_variance)
        self.mean, self.variance = mean.detach(), variance.detach()
        follow(self, self.mean, self._blend(batch.unbiased_variance, self.source_variance))
        return normalise(self, batch, mean, variance).to(input.dtype)

    def _blend(self, batch: Tensor, source: Tensor) -> Tensor:
        return batch.lerp(source.to(batch), self.eta)


def blend_batchnorms(network: nn.Module, momentum: float) -> list[BlendedBatchNorm]:
    """Puts a `BlendedBatchNorm` in the place of every batch norm that keeps running statistics, in place.

    The running statistics at this moment are the source's.

    Returns:
        The new modules, in the network's order.
    """

    def blended(module: _BatchNorm) -> nn.Module:
        return BlendedBatchNorm(module, momentum) if keeps_statistics(module) else module

    replace_batchnorms(network, blended)
    return [module for module in network.modules() if isinstance(module, BlendedBatchNorm)]

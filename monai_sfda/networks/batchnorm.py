"""Batch norm over the batch of all processes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from monai_sfda import processes


class CPUSyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of all processes' pixels, where torch's own
    `SyncBatchNorm` refuses: on the CPU.

    Same parameters, buffers and evaluation mode as any batch norm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of spatial dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, C, *spatial)."""
        if not self.training:
            return super().forward(input)
        axes = [d for d in range(input.dim()) if d != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        x = input.float()
        number = processes.total(torch.tensor(float(x.numel() // x.shape[1])))
        mean = processes.total(x.sum(axes)) / number
        centred = x - mean.view(shape)
        variance = processes.total(centred.square().sum(axes)) / number
        self._follow(mean.detach(), (variance * number / (number - 1)).detach())
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics; a momentum of None means their plain average."""
        if not self.track_running_stats:
            return
        seen = cast(Tensor, self.num_batches_tracked).add_(1)
        momentum = 1 / float(seen) if self.momentum is None else self.momentum
        cast(Tensor, self.running_mean).lerp_(mean, momentum)
        cast(Tensor, self.running_var).lerp_(variance, momentum)


def synchronise_batchnorm(network: nn.Module) -> None:
    """Lets every batch norm of a network take the statistics of all processes' batches, in place.

    Parameters and buffers stay the same tensors under the same names. A single process is left as it is.
    """
    if processes.count() == 1:
        return
    for name, module in list(network.named_children()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            setattr(network, name, _synchronised(module))
        else:
            synchronise_batchnorm(module)


def _synchronised(module: nn.modules.batchnorm._BatchNorm) -> nn.Module:
    tensors = list(module.parameters()) + list(module.buffers())
    if any(t.is_cuda for t in tensors):
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    synchronised = CPUSyncBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    synchronised.training = module.training
    synchronised._parameters = module._parameters
    synchronised._buffers = module._buffers
    return synchronised

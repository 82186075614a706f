"""Batch norm over the batch of all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_sfda import processes


class CPUSyncBatchNorm(_BatchNorm):
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
        x = single_precision(input)
        mean, variance, number = batch_statistics(x)
        follow(self, mean.detach(), variance.detach() * (number / (number - 1)))
        return normalise(self, x, mean, variance).to(input.dtype)


def single_precision(x: Tensor) -> Tensor:
    """Half precision as float32; anything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance (divided by n) of each channel over the batch of all processes, and n.

    Differentiable, through all processes' parts.

    Args:
        x: (B, C, *spatial), this process's part.

    Returns:
        (C,), (C,) and the number of values a channel.

    Raises:
        ValueError: for one value a channel, in torch's words: it has no variance.
    """
    axes = [d for d in range(x.dim()) if d != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    own = x.numel() / x.shape[1]
    number = float(processes.total(torch.tensor(own, dtype=torch.float64)))
    if number < 2:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(x.shape)}"
        )
    if processes.count() == 1:
        return mean, variance, number
    whole = processes.total(mean * (own / number))
    spread = variance + (mean - whole).square()
    return whole, processes.total(spread * (own / number)), number


def normalise(module: _BatchNorm, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Computes gamma (x - mean) / sqrt(variance + eps) + beta, with gamma, beta and eps of a batch norm.

    One scale and one shift a channel, so that nothing but `x` is kept for the gradient.
    """
    scale = (variance + module.eps).rsqrt()
    if module.affine:
        scale = scale * module.weight
    shift = -mean * scale
    if module.affine:
        shift = shift + module.bias
    shape = [1, -1] + [1] * (x.dim() - 2)
    return x * scale.view(shape) + shift.view(shape)


def follow(module: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Moves a batch norm's running statistics; a momentum of None means their plain average."""
    if not module.track_running_stats:
        return
    seen = cast(Tensor, module.num_batches_tracked).add_(1)
    momentum = 1 / float(seen) if module.momentum is None else module.momentum
    cast(Tensor, module.running_mean).lerp_(mean.to(cast(Tensor, module.running_mean)), momentum)
    cast(Tensor, module.running_var).lerp_(variance.to(cast(Tensor, module.running_var)), momentum)


def keeps_statistics(module: nn.Module) -> bool:
    """Whether a module is a batch norm that keeps running statistics."""
    return isinstance(module, _BatchNorm) and module.track_running_stats


def replace_batchnorms(network: nn.Module, replacement: Callable[[_BatchNorm], nn.Module]) -> None:
    """Puts another module in the place of every batch norm of a network, in place; a shared one stays
    shared.
    """
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, _BatchNorm):
                made.setdefault(module, replacement(module))
                setattr(parent, name, made[module])


def share_tensors(module: nn.Module, replacement: nn.Module) -> None:
    """Gives a replacement the very parameters, buffers and mode of a module."""
    replacement._parameters = module._parameters
    replacement._buffers = module._buffers
    replacement.training = module.training


def synchronise_batchnorm(network: nn.Module) -> None:
    """Lets every batch norm of a network take the statistics of all processes' batches, in place.

    Parameters and buffers stay the same tensors under the same names. A single process is left as it is.
    """
    if processes.count() > 1:
        replace_batchnorms(network, _synchronised)


def _synchronised(module: _BatchNorm) -> nn.Module:
    tensors = list(module.parameters()) + list(module.buffers())
    if any(t.is_cuda for t in tensors):
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    synchronised = CPUSyncBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    share_tensors(module, synchronised)
    return synchronised

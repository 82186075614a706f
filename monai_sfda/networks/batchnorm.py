"""Batch norm over the batch of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        batch = batch_statistics(single_precision(input))
        follow(self, batch.mean.detach(), batch.unbiased_variance)
        return normalise(self, batch, batch.mean, batch.variance).to(input.dtype)


def single_precision(x: Tensor) -> Tensor:
    """Half precision as float32; anything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@dataclass(frozen=True)
class BatchStatistics:
    """A batch of all processes in its channels' moments. All differentiable, through all processes' parts.

    Attributes:
        mean: (C,).
        variance: (C,), divided by n.
        number: n, the values a channel.
        centred: (B, C, *spatial), this process's part minus the mean.
    """

    mean: Tensor
    variance: Tensor
    number: float
    centred: Tensor

    @property
    def unbiased_variance(self) -> Tensor:
        """(C,), divided by n - 1, without gradient: what running statistics follow."""
        return self.variance.detach() * (self.number / (self.number - 1))


def batch_statistics(x: Tensor) -> BatchStatistics:
    """Moments of each channel over the batch of all processes.

    Args:
        x: (B, C, *spatial), this process's part.

    Raises:
        ValueError: for one value a channel, in torch's words: it has no variance.
    """
    axes = [d for d in range(x.dim()) if d != 1]
    own = x.numel() / x.shape[1]
    number = float(processes.total(torch.tensor(own, dtype=torch.float64)))
    if number < 2:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(x.shape)}"
        )
    share = own / number
    mean = processes.total(x.mean(axes) * share)
    centred = x - _by_channel(mean, x)
    # Two passes: several times faster on the CPU than torch.var_mean, and as exact.
    variance = processes.total(centred.square().mean(axes) * share)
    return BatchStatistics(mean, variance, number, centred)


def normalise(module: _BatchNorm, batch: BatchStatistics, mean: Tensor, variance: Tensor) -> Tensor:
    """Computes gamma (x - mean) / sqrt(variance + eps) + beta, with gamma, beta and eps of a batch norm.

    One scale and one shift a channel, so that nothing but the centred batch is kept for the gradient.
    """
    scale = (variance + module.eps).rsqrt()
    if module.affine:
        scale = scale * module.weight
    shift = (batch.mean - mean) * scale
    if module.affine:
        shift = shift + module.bias
    x = batch.centred
    return torch.addcmul(_by_channel(shift, x), x, _by_channel(scale, x))


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...), to be used with (B, C, *spatial)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


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


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Lets batches pass that leave no trace in the running statistics of batch norm.

    The batches are normalised as the mode of each module has it.
    """
    layers = [cast(_BatchNorm, module) for module in network.modules() if keeps_statistics(module)]
    momenta = [layer.momentum for layer in layers]
    seen = [cast(Tensor, layer.num_batches_tracked).clone() for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum, number in zip(layers, momenta, seen, strict=True):
            layer.momentum = momentum
            cast(Tensor, layer.num_batches_tracked).copy_(number)


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

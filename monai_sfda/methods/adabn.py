"""AdaBN: the batch-norm statistics of the target in place of the source's; all weights stay.

Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation" (2016), Algorithm 1: for every
channel the mean and variance of its responses over all target images.

What a layer responds depends on the layers before it. *Ours*: the layers are taken in the order in which the
network runs them, one walk over the target for each, with those before it normalising with their target
statistics already. In the end, then, the running statistics of every layer are exactly the mean and variance
(divided by n) over all pixels of all target slices of what enters it in evaluation. The result depends on
no batch size, order or momentum, as an exponential average of batches does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from monai_sfda import processes
from monai_sfda.methods.base import Method, MethodSettings, Walk
from monai_sfda.networks import keeps_statistics

Part = tuple[int, Tensor, Tensor]
"""Number of values, mean and variance (divided by n) of a part of a layer's input, (C,) float64, on the
CPU."""


class AdaBN(Method[MethodSettings]):
    """Algorithm 1 of the paper; see the module's text."""

    name = "adabn"
    title = "AdaBN"
    requires = frozenset({"batchnorm"})
    source = "Li et al., Revisiting Batch Normalization for Practical Domain Adaptation"
    settings_class = MethodSettings
    takes_steps = False
    # The running statistics become the target's own.
    optimises = frozenset({"batchnorm"})

    def observe(self, walk: Walk) -> None:
        """One walk for every batch norm, after a glance at the first batch for their order."""
        self.network.eval()
        with torch.no_grad():
            for layer in processes.on_first(lambda: self._order(next(walk()))):
                self._estimate(self.network.get_submodule(layer), walk)

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """No loss."""
        return {}

    def _order(self, image: Tensor) -> list[str]:
        """Names of the batch norms in the order in which the network runs them."""
        order: list[str] = []
        layers = [(n, m) for n, m in self.network.named_modules() if keeps_statistics(m)]
        hooks = [m.register_forward_pre_hook(lambda *_, n=n: order.append(n)) for n, m in layers]
        self.network(image)
        for hook in hooks:
            hook.remove()
        return list(dict.fromkeys(order))

    def _estimate(self, layer: nn.Module, walk: Walk) -> None:
        """Sets a layer's running statistics to those of its input."""
        parts: list[Part] = []
        with _watching(layer, parts):
            for image in walk():
                self.network(image)
        mean, variance = pooled([part for each in processes.gather(parts) for part in each])
        cast(Tensor, layer.running_mean).copy_(mean)
        cast(Tensor, layer.running_var).copy_(variance)


@contextmanager
def _watching(layer: nn.Module, parts: list[Part]) -> Iterator[None]:
    """Adds the moments of all that enters a layer."""

    def watch(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0].double()
        variance, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
        parts.append((x.numel() // x.shape[1], mean.cpu(), variance.cpu()))

    hook = layer.register_forward_pre_hook(watch)
    try:
        yield
    finally:
        hook.remove()


def pooled(parts: list[Part]) -> tuple[Tensor, Tensor]:
    """Mean and variance of the whole from those of its parts, (C,) float64.

    With n_i values in part i, m = sum n_i m_i / n and v = sum n_i (v_i + (m_i - m)^2) / n.
    """
    numbers, means, variances = zip(*parts, strict=True)
    share = torch.tensor(numbers, dtype=torch.float64)[:, None] / sum(numbers)
    mean = (share * torch.stack(means)).sum(0)
    variance = (share * (torch.stack(variances) + (torch.stack(means) - mean).square())).sum(0)
    return mean, variance

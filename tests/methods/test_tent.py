"""Tent: its loss, what it moves, and with which statistics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from monai_sfda.methods import create_method
from tests.builders import release, small_network


def set_up():
    network = small_network().double()
    network.dropout.p = 0.5
    method = create_method("tent")
    method.setup(network, release(network))
    method.set_mode()
    return network, method


def image() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


def test_loss_is_the_entropy_under_the_batchs_statistics_without_dropout():
    network, method = set_up()
    apart = copy.deepcopy(network).train()
    apart.dropout.eval()
    logits = apart(image()).detach().numpy()
    losses = method.step({"image": image()}, torch.Generator())
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert float(losses["entropy"]) == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-10)


def test_scales_and_shifts_of_batch_norm_move_and_nothing_else():
    network, method = set_up()
    moved = {id(p) for p in method.parameters()}
    for module in network.modules():
        for p in module.parameters(recurse=False):
            assert (id(p) in moved) == isinstance(module, torch.nn.BatchNorm2d)
    before = {name: b.clone() for name, b in network.named_buffers()}
    sum(method.step({"image": image()}, torch.Generator()).values()).backward()
    assert all((p.grad is not None) == (id(p) in moved) for p in network.parameters())
    assert all(not torch.equal(b, before[name]) for name, b in network.named_buffers())


def test_steps_lower_the_entropy():
    _, method = set_up()
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    values = []
    for _ in range(30):
        loss = method.step({"image": image()}, torch.Generator())["entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss))
    assert values[-1] < values[0] - 0.1

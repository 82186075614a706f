"""The true Dice of weights on unseen target subjects: the one place where target labels are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.guard_worlds import World, read_test_labels
from monai_sfda.checkpoints import load_into
from monai_sfda.data.cache import CachedVolume
from monai_sfda.evaluation.metrics import StructureScore, score_case
from monai_sfda.evaluation.summary import summarise
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import all_stacks

Scores = dict[str, Any]
"""`mean` over the structures, and each structure's Dice under `per_class`; None where undefined."""


def true_dice(world: World, weights: Mapping[str, Tensor], *, absent: bool = False) -> Scores:
    """Dice on the world's test subjects, on the grid of the stacks, by the package's metric and rules.

    Every second slice of a scan is scored: it costs half and changes the mean by chance alone.

    Args:
        world: whose test subjects.
        weights: of its network.
        absent: on the test subjects that lack a structure.
    """
    network = world.network()
    load_into(network, dict(weights))
    volumes = world.absent_test if absent else world.test
    labels = _labels(world.folder)["absent_test" if absent else "test"]
    return _score(world, network.eval(), volumes, labels)


@cache
def _labels(folder: Path) -> dict[str, list[Tensor]]:
    return read_test_labels(folder)


def _score(
    world: World, network: SegmentationNetwork, volumes: Sequence[CachedVolume], labels: Sequence[Tensor]
) -> Scores:
    cases: dict[str, list[tuple[Any, Any]]] = {}
    with torch.inference_mode():
        for volume, label in zip(volumes, labels, strict=True):
            step = 1 if world.task.pictures else 2
            stacks = all_stacks(volume.image, world.stack_slices)[::step]
            found = torch.cat([network(part).max(1).indices for part in stacks.split(32)])
            pair = (found.to(torch.uint8).numpy(), label[::step, 0].numpy())
            cases.setdefault(volume.case.subject, []).append(pair)
    scores: list[StructureScore] = []
    for number, pairs in enumerate(cases.values(), start=1):  # pictures of a drive are scored together
        prediction, reference = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        scores += score_case(number, prediction, reference, None, world.task.labels)
    summary = summarise(
        scores,
        task=world.task.name,
        domain="target",
        split="test",
        cases=len(cases),
        protocol={"name": world.task.own_protocol},
        pooled=world.task.pictures,
    )["dice"]
    return {
        "mean": summary["mean"],
        "per_class": {name: entry["mean"] for name, entry in summary["per_class"].items()},
    }

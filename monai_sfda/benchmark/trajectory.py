"""Dice over the run of each way to adapt: what the weights that a run kept would have scored.

Evaluation only: the curve is drawn when the run has ended, and nothing is stopped or chosen by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from monai_sfda.ablations import Arm
from monai_sfda.benchmark.analysis import Analysis
from monai_sfda.benchmark.pixels import kind_of_data, load_arm, target_test_stacks
from monai_sfda.benchmark.volume_dice import mean_dice
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.engines.adaptation import WEIGHTS
from monai_sfda.evaluation.trajectory_figure import trajectories
from monai_sfda.release import Release
from monai_sfda.workflow.experiment import BOUND_RUN, Experiment
from monai_sfda.workflow.refit import network_of

Curve = list[tuple[int, float | None]]


def dice_over_the_run(experiment: Experiment, arms: Sequence[Arm]) -> Analysis:
    """Mean Dice on the target's test scans by epoch, from the release's weights to the last, and the bound.

    A method that takes no steps has a first and a last value alone.
    """
    curves: dict[str, Curve] = {}
    measures: dict[str, dict[str, float | None]] = {}
    for arm in arms:
        curve = _curve(experiment, arm)
        curves[arm.title] = curve
        known = [value for epoch, value in curve if value is not None and epoch > 0]
        measures[arm.title] = {
            "highest Dice on the way": max(known, default=None),
            "lowest Dice on the way": min(known, default=None),
            "last Dice": curve[-1][1],
        }
    bound = Release.read(experiment.out / BOUND_RUN / "release")
    dataset = target_test_stacks(experiment, bound, labels=True)
    network = network_of(bound).to(torch.device(experiment.device()))
    heading = f"Mean Dice on unseen target scans, by weights kept on the way{kind_of_data(experiment)}"
    return Analysis(measures, trajectories(curves, mean_dice(network, dataset), heading=heading))


def _curve(experiment: Experiment, arm: Arm) -> Curve:
    """(epoch, Dice): 0 is the release's weights, the last those that the run published."""
    adapted = load_arm(experiment, arm)
    dataset = target_test_stacks(experiment, adapted.release, labels=True)
    curve: Curve = [(0, mean_dice(adapted.before, dataset))]
    kept = sorted((experiment.run_folder(arm) / WEIGHTS).glob("epoch_*.pt"))
    for path in kept:
        load_into(adapted.before, load_weights(path), path.name)
        curve.append((int(path.stem.removeprefix("epoch_")), mean_dice(adapted.before, dataset)))
    if not kept:
        curve.append((1, mean_dice(adapted.after, dataset)))
    return curve

"""Analyses of the embedding: prototypes at several rho, and the target's pixels before and after adaptation.

Evaluation only: target labels choose and colour the pixels of a figure here, and nothing that adapts sees
them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.ablations import Arm
from monai_sfda.benchmark.analysis import Analysis
from monai_sfda.benchmark.pixels import (
    balanced_pixels,
    embed_pixels,
    kind_of_data,
    load_arm,
    target_test_stacks,
)
from monai_sfda.catalog import find_task
from monai_sfda.errors import SettingError
from monai_sfda.evaluation.comparison import UNADAPTED
from monai_sfda.evaluation.network_figures import Scatter, scatter_grid
from monai_sfda.losses import draw_projections, sliced_wasserstein_distance
from monai_sfda.prototypes import Prototypes
from monai_sfda.release import Release
from monai_sfda.workflow.experiment import Experiment

POINTS_A_CLASS = 300
POINTS_OF_DISTANCE = 8192
PROJECTIONS = 100
SEED = 0


def require_umap() -> None:
    """Says, before hours are spent, that a figure needs a package that is not installed.

    Raises:
        SettingError: with the command that installs it.
    """
    if importlib.util.find_spec("umap") is None:
        raise SettingError(
            "the figures of ablations 'umap' and 'rho' need the package umap-learn, which is not installed",
            remedy="pip install 'umap-learn>=0.5.6' -c constraints.txt, or leave them out of --ablation",
        )


def plane_of(points: Tensor) -> NDArray[np.float32]:
    """(N, D) points as (N, 2) by UMAP (McInnes et al. 2018, arXiv 1802.03426), the same every time."""
    require_umap()
    from umap import UMAP

    reducer = UMAP(n_components=2, n_neighbors=15, min_dist=0.1, random_state=SEED, n_jobs=1)
    threads = torch.get_num_threads()
    try:
        return np.asarray(reducer.fit_transform(points.numpy()), dtype=np.float32)
    finally:
        torch.set_num_threads(threads)  # numba leaves OpenMP, and torch with it, another number


def silhouette(points: Tensor, classes: Tensor) -> float | None:
    """Mean silhouette coefficient, from -1 to 1: how much nearer points lie to their own class than to the
    next (Rousseeuw 1987). None with fewer than two classes.
    """
    from sklearn.metrics import silhouette_score

    if len(classes.unique()) < 2:
        return None
    return float(silhouette_score(points.numpy(), classes.numpy()))


def samples_a_class(prototypes: Prototypes, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As many pseudo-samples of each class that has a prototype."""
    equal = prototypes.available.double()
    return prototypes.sample(int(equal.sum()) * POINTS_A_CLASS, equal, generator=generator)


def prototypes_of_arms(experiment: Experiment, arms: Sequence[Arm]) -> Analysis:
    """Pseudo-samples of every arm's prototypes in one UMAP, and how well their classes are apart."""
    structures = find_task(experiment.task).structures
    drawn: list[tuple[str, Tensor, Tensor]] = []
    measures: dict[str, dict[str, float | None]] = {}
    for number, arm in enumerate(arms):
        prototypes = Release.read(experiment.release_of(arm)).prototypes
        # Other noise for each arm: points that coincide would be all that UMAP sees of equal prototypes.
        z, classes = samples_a_class(prototypes, torch.Generator().manual_seed(SEED + number))
        drawn.append((arm.title, z, classes))
        lowered = prototypes.threshold[prototypes.available] < prototypes.rho
        measures[arm.title] = {
            "silhouette of pseudo-samples": silhouette(z, classes),
            "classes with a lowered rho": int(lowered.sum()),
        }
    plane = plane_of(torch.cat([z for _, z, _ in drawn]))
    parts = np.split(plane, np.cumsum([len(z) for _, z, _ in drawn])[:-1])
    panels: list[Scatter | None] = [
        Scatter(title, part, classes.numpy()) for (title, _, classes), part in zip(drawn, parts, strict=True)
    ]
    heading = f"Pseudo-samples of the prototypes, UMAP{kind_of_data(experiment)}"
    return Analysis(measures, scatter_grid([panels], structures, heading=heading))


def target_before_and_after(experiment: Experiment, arms: Sequence[Arm]) -> Analysis:
    """Prototypes, and target test pixels before and after the first arm, in one UMAP; distance and
    separation.
    """
    arm = arms[0]
    adapted = load_arm(experiment, arm)
    dataset = target_test_stacks(experiment, adapted.release, labels=True)
    truth = torch.cat([v.label.flatten() for v in dataset.volumes if v.label is not None]).long()
    generator = torch.Generator().manual_seed(SEED)
    shown = balanced_pixels(truth, POINTS_A_CLASS, generator)
    some = torch.randperm(len(truth), generator=generator)[:POINTS_OF_DISTANCE].sort().values
    prototypes = adapted.release.prototypes
    pseudo, classes = samples_a_class(prototypes, generator)
    reference, _ = prototypes.sample(len(some), generator=generator)
    directions = draw_projections(prototypes.dimension, PROJECTIONS, generator=generator)
    clouds, measures = [], {}
    for title, network in ((UNADAPTED, adapted.before), (arm.title, adapted.after)):
        z, predicted = embed_pixels(network, dataset, shown)
        everywhere, _ = embed_pixels(network, dataset, some)
        clouds.append((z, predicted))
        measures[title] = {
            "squared SWD to prototypes": float(
                sliced_wasserstein_distance(everywhere, reference, directions)
            ),
            "silhouette of true classes": silhouette(z, truth[shown]),
        }
    plane = plane_of(torch.cat([pseudo, *[z for z, _ in clouds]]))
    first, before, after = np.split(plane, [len(pseudo), len(pseudo) + len(shown)])
    true: NDArray[Any] = truth[shown].numpy()
    rows: list[list[Scatter | None]] = [
        [
            Scatter("prototypes", first, classes.numpy()),
            Scatter("target before, predicted class", before, clouds[0][1].numpy()),
            Scatter("target after, predicted class", after, clouds[1][1].numpy()),
        ],
        [
            None,
            Scatter("target before, true class", before, true),
            Scatter("target after, true class", after, true),
        ],
    ]
    heading = (
        f"Embeddings, UMAP{kind_of_data(experiment)}. "
        "Labels choose and colour the target's pixels in this figure alone"
    )
    return Analysis(measures, scatter_grid(rows, find_task(experiment.task).structures, heading=heading))

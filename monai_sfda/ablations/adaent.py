"""Ablations of paper 4: Bateson et al., "Source-Relaxed Domain Adaptation" (AdaEnt)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monai_sfda.ablations.definitions import Ablation, Arm, SourceTraining


def _adaent(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "adaent", {"method_settings": settings} if settings else {})


WITH_REGRESSOR = SourceTraining(
    "with_regressor", "with a class-ratio regressor", {"training#class_ratio_regressor": {}}
)


def _with_regressor(title: str, folder: str, **settings: Any) -> Arm:
    """AdaEnt with the regressor of a release that has one."""
    return replace(_adaent(title, folder, prior="regressor", **settings), training=WITH_REGRESSOR)


def default_adasource(title: str) -> Arm:
    """AdaSource as the configuration has it: one run, whatever an ablation calls it."""
    return Arm(title, "adasource", "adasource", with_source=True)


def _kept(arm: Arm) -> Arm:
    """The same run, with weights kept twenty times on its way."""
    return replace(
        arm, folder=f"{arm.folder}_kept", overrides={**arm.overrides, "adaptation#keep_weights": 20}
    )


TASKS = ("spine",)

ABLATIONS = (
    Ablation(
        "adaent_prior",
        "Prior of AdaEnt: none, statistics, regressor, tags",
        "Entropy alone, which may end in a single class; the release's class ratios, compared with those of "
        "many slices or forced on each slice; what the release's regressor guesses from each slice, its "
        "batch norm by the target's statistics or the source's; and image-level tags, which read target "
        "labels and are no method. AdaSource, not source-free, has the source's cross-entropy in the place "
        "of the entropy.",
        "Table 1 (IVDM3Seg, Wat to IP / IP to Wat), a regression network and tags: Dice 67.0 / 77.8 and "
        "Hausdorff 1.33 / 1.17 pixels, from 46.7 / 63.7 and 2.45 / 1.44 unadapted, 82.3 / 89.0 and 1.09 / "
        "0.90 supervised; AdaSource, which has the source's data too, 67.0 / 78.3. Entropy alone is called "
        "degenerate; no number.",
        TASKS,
        (
            _adaent("AdaEnt, entropy alone", "adaent_entropy", ratio_weight=0.0),
            _adaent("AdaEnt, statistics over batches (default)", "adaent"),
            _adaent("AdaEnt, statistics of each slice", "adaent_image", ratio_over="image"),
            _with_regressor("AdaEnt, regressor", "adaent_regressor"),
            _with_regressor(
                "AdaEnt, regressor by the source's batch norm",
                "adaent_regressor_source",
                regressor_statistics="source",
            ),
            _adaent("AdaEnt, tags (reads target labels)", "adaent_tags", prior="tags"),
            default_adasource("AdaSource, statistics over batches (reads source scans)"),
            Arm(
                "AdaSource, tags (reads source scans and target labels)",
                "adasource_tags",
                "adasource",
                {"method_settings": {"prior": "tags"}},
                with_source=True,
            ),
        ),
    ),
    Ablation(
        "adaent_divergence",
        "Divergence of AdaEnt: paper and code",
        "Lambda 0.01 and KL(tau_e, tau^) as the paper has them, lambda 1 and KL(tau^, tau_e) as its code.",
        "No ablation.",
        TASKS,
        (
            _adaent("AdaEnt, lambda 0.01, KL(tau_e, tau^)", "adaent_001", ratio_weight=0.01),
            _adaent("AdaEnt, lambda 1, KL(tau_e, tau^) (default)", "adaent"),
            _adaent(
                "AdaEnt, lambda 1, KL(tau^, tau_e)",
                "adaent_1_reverse",
                ratio_weight=1.0,
                direction="predicted_to_prior",
            ),
            _adaent(
                "AdaEnt, lambda 1, KL(tau^, tau_e), by largest class",
                "adaent_1_reverse_largest",
                ratio_weight=1.0,
                direction="predicted_to_prior",
                normalisation="largest_class",
            ),
        ),
    ),
    Ablation(
        "adaent_curves",
        "Dice over the run of AdaEnt and others",
        "Mean Dice of the target's test scans, at the network's own resolution, by weights that each run "
        "kept: how fast it rises, and whether it falls again. Labels serve this evaluation alone, when the "
        "run has ended; the last weights are the result.",
        "Figure 3 (IVDM3Seg, validation Dice by epoch): the unadapted model is very unstable on the target; "
        "AdaEnt and AdaSource are high within 20 epochs. No number.",
        TASKS,
        (
            _kept(Arm("AdaBN", "adabn", "adabn")),
            _kept(_adaent("AdaEnt, entropy alone", "adaent_entropy", ratio_weight=0.0)),
            _kept(_adaent("AdaEnt, statistics", "adaent")),
            _kept(_with_regressor("AdaEnt, regressor", "adaent_regressor")),
            _kept(default_adasource("AdaSource (reads source scans)")),
        ),
        "trajectory",
    ),
    Ablation(
        "adaent_maps",
        "Entropy maps and masks before and after AdaEnt",
        "Entropy of the predictions of one target slice, chosen by predicted area without labels, above the "
        "masks, and its mean over all test slices. Low entropy is what the method minimises, and no proof of "
        "a better mask.",
        "Figure 4 (IVDM3Seg): unadapted, high entropy all over and noisy masks; after AdaEnt, entropy along "
        "the borders of the discs alone, as an edge detector would show. No number.",
        TASKS,
        (
            _adaent("AdaEnt, entropy alone", "adaent_entropy", ratio_weight=0.0),
            _adaent("AdaEnt, statistics (default)", "adaent"),
            _with_regressor("AdaEnt, regressor", "adaent_regressor"),
        ),
        "entropy",
    ),
)

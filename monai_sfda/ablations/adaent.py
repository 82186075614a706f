"""Ablations of paper 4: Bateson et al., "Source-Relaxed Domain Adaptation" (AdaEnt)."""

from __future__ import annotations

from typing import Any

from monai_sfda.ablations.definitions import Ablation, Arm


def _adaent(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "adaent", {"method_settings": settings} if settings else {})


TASKS = ("spine",)

ABLATIONS = (
    Ablation(
        "adaent_prior",
        "Prior of AdaEnt: none, statistics, tags",
        "Entropy alone, which may end in a single class; the release's class ratios, compared with those of "
        "many slices or forced on each slice; and image-level tags, which read target labels and are no "
        "method.",
        "Table 1 (IVDM3Seg, Wat to IP / IP to Wat), tags and a regression network: Dice 67.0 / 77.8 from "
        "46.7 / 63.7 unadapted, 82.3 / 89.0 supervised. Entropy alone is called degenerate; no number.",
        TASKS,
        (
            _adaent("AdaEnt, entropy alone", "adaent_entropy", ratio_weight=0.0),
            _adaent("AdaEnt, statistics over batches (default)", "adaent"),
            _adaent("AdaEnt, statistics of each slice", "adaent_image", ratio_over="image"),
            _adaent("AdaEnt, tags (reads target labels)", "adaent_tags", prior="tags"),
        ),
    ),
    Ablation(
        "adaent_divergence",
        "Divergence of AdaEnt: paper and code",
        "Lambda 0.01 and KL(tau_e, tau^) as the paper has them, lambda 1 and KL(tau^, tau_e) as its code.",
        "No ablation.",
        TASKS,
        (
            _adaent("AdaEnt, lambda 0.01, KL(tau_e, tau^) (default)", "adaent"),
            _adaent("AdaEnt, lambda 1, KL(tau_e, tau^)", "adaent_1", ratio_weight=1.0),
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
)

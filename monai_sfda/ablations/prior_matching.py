"""Ablations of paper 5: Ouyang et al., "Data Efficient Unsupervised Domain Adaptation" (prior matching)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monai_sfda.ablations.definitions import PRIOR_MATCHING, Ablation, Arm

DRAWS = 6
"""Target scans that the paper averages over, one a run."""


def _prior_matching(title: str, folder: str, **overrides: Any) -> Arm:
    return Arm(title, folder, "prior_matching", overrides, PRIOR_MATCHING)


def default_prior_matching(title: str) -> Arm:
    """Prior matching as the configuration has it: one run, whatever an ablation calls it."""
    return _prior_matching(title, "adapted")


def _without(title: str, name: str, weight: str) -> Arm:
    """Prior matching without one of its losses, in the source model and in the adaptation."""
    settings = {"method_settings": {weight: 0.0}}
    training = replace(PRIOR_MATCHING, name=f"prior_matching_{name}", title=title, overrides=settings)
    return Arm(f"prior matching, {title}", "adapted", "prior_matching", settings, training)


TASKS = ("cardiac",)

ABLATIONS = (
    Ablation(
        "prior_matching",
        "Prior matching: the scan, its parts, three slices",
        "Not source-free: labelled source scans are read. One unlabelled target scan, drawn six times; "
        "without the divergence from the prior, without adversarial training; three slices of the scan, with "
        "and without early stopping, which looks at held-out source scans; all target scans. The share of "
        "the gap is counted from each one's own source model to its fine-tuning on the target's labels.",
        "Table 1 (MMWHS MR to CT, one CT scan, mean of six draws): Dice 72.18 from 20.03 unadapted, 87.00 "
        "for the source model fine-tuned on the target's labels. Without one of the two parts less than 55, "
        "oscillating; three slices with early stopping more than 60.",
        TASKS,
        (
            default_prior_matching("prior matching, scan 1 (default)"),
            *(
                _prior_matching(f"prior matching, scan {n}", f"scan_{n}", target_scan=n)
                for n in range(2, DRAWS + 1)
            ),
            _without("without KL", "no_kl", "kl_weight"),
            _without("without adversarial", "no_adversarial", "adversarial_weight"),
            _prior_matching("prior matching, 3 slices", "slices_3", target_slices=3),
            Arm(
                "prior matching, 3 slices, early stopping",
                "slices_3_early",
                "prior_matching",
                {"target_slices": 3, "uda#patience": 2},
                PRIOR_MATCHING,
            ),
            _prior_matching("prior matching, all scans", "all_scans", target_scan="all"),
        ),
    ),
)

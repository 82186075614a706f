"""Ablations and figures of paper 1: Stan and Rostami, "Privacy Preserving Domain Adaptation" (SFS)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monai_sfda.ablations.definitions import Ablation, Arm, SourceTraining


def _sfs(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "sfs", {"method_settings": settings})


def default_sfs(title: str) -> Arm:
    """SFS as the configuration has it: one run, whatever an ablation calls it."""
    return Arm(title, "sfs_predicted", "sfs", {"class_proportions": "predicted"})


def _trained_with(title: str, loss: str) -> Arm:
    training = SourceTraining(loss, title, {"training#loss": loss})
    return replace(default_sfs(f"SFS, {title}"), training=training)


TASKS = ("cardiac", "abdomen")

ABLATIONS = (
    Ablation(
        "rho",
        "Confidence threshold rho of the prototypes",
        "Prototypes refitted from the same source model with rho 0, 0.8 and 0.97, then SFS to each. A "
        "higher rho keeps confident pixels alone, so that pseudo-samples of two classes should lie further "
        "apart.",
        "Figure 4 (cardiac): at rho 0.97 the prototypes are well separated, at 0 only some classes are; no "
        "Dice is given. Good separability is observed for rho of 0.9 and more.",
        TASKS,
        (
            replace(default_sfs("SFS, rho 0"), rho=0.0),
            replace(default_sfs("SFS, rho 0.8"), rho=0.8),
            default_sfs("SFS, rho 0.97 (default)"),
        ),
        "prototypes",
    ),
    Ablation(
        "classifier",
        "Classifier tuned on pseudo-samples, or fixed",
        "Whether the first term of Eq. 3, cross-entropy of pseudo-samples, moves the classifier.",
        "Table 3 (cardiac, median of 5 runs): Dice 73.8 and ASSD 16.2 tuned, 72.5 and 15.9 fixed.",
        TASKS,
        (
            default_sfs("SFS, classifier tuned (default)"),
            _sfs(
                "SFS, classifier fixed",
                "sfs_fixed_classifier",
                class_proportions="predicted",
                classifier="fixed",
            ),
        ),
    ),
    Ablation(
        "start",
        "Warm start from the release, or random start",
        "Whether alignment by itself could segment: from random weights it matches the distribution and "
        "knows no organ.",
        "Appendix 8.3 (cardiac): Dice 5 and ASSD 81.5 from random weights, 73.8 and 16.2 from the source's.",
        TASKS,
        (
            default_sfs("SFS, from the release (default)"),
            _sfs(
                "SFS, from random weights", "sfs_random_start", class_proportions="predicted", start="random"
            ),
        ),
    ),
    Ablation(
        "loss",
        "Loss of the source training",
        "The source model trained with each loss, then SFS to each; the share of the gap is counted from "
        "each one's own unadapted model.",
        "Appendix 8.3 (cardiac, after adaptation): Dice 73.8 and ASSD 16.2 with cross-entropy, 68.1 and "
        "17.6 with weighted cross-entropy; the abdomen did better with weighted cross-entropy (no number).",
        TASKS,
        (
            _trained_with("cross-entropy", "cross_entropy"),
            _trained_with("weighted cross-entropy", "weighted_cross_entropy"),
            _trained_with("soft Dice + cross-entropy (ours)", "dice_cross_entropy"),
        ),
    ),
    Ablation(
        "class_proportions",
        "Class proportions of the pseudo-samples",
        "How many pseudo-samples of each class are drawn: as in the source, as predicted on the target, or "
        "as the target's labels have it, which is a leak and no method.",
        "No ablation. The paper draws by the batch's label distribution, and its code takes that from the "
        "target's labels: abdomen Dice 78.3 from 51.2 unadapted, 89.8 supervised.",
        TASKS,
        (
            Arm("SFS, source proportions", "sfs_source", "sfs", {"class_proportions": "source"}),
            default_sfs("SFS, predicted proportions (default)"),
            Arm(
                "SFS, oracle proportions (reads target labels)",
                "sfs_oracle",
                "sfs",
                {"class_proportions": "oracle"},
            ),
        ),
    ),
    Ablation(
        "umap",
        "Embeddings: prototypes, target before, target after",
        "One UMAP of prototype pseudo-samples and target test pixels before and after SFS. The distance to "
        "the prototypes is what SFS minimises, so that its fall is no proof of a better model. The "
        "silhouette says how far the true classes lie apart. True classes serve this evaluation alone.",
        "Figures 2 (cardiac) and 3 (abdomen): the target's pixels move towards the prototypes and classes "
        "overlap less; the shift is visually less pronounced for the abdomen. No number.",
        TASKS,
        (default_sfs("SFS"),),
        "embedding",
    ),
    Ablation(
        "filters",
        "Filter responses before and after",
        "Responses of the first convolution to one target slice, chosen by predicted area without labels, "
        "and how much the responses of the first convolutions change.",
        "Figure 6 (cardiac, after two and after four convolutions): filters look alike before and after, "
        "with changes visible in the difference. No number.",
        TASKS,
        (default_sfs("SFS"),),
        "responses",
    ),
)

"""Every ablation of the papers once: its arms, what it shows, what the paper reports. Imports no torch.

The `monai-sfda benchmark` command, its tables and the documentation take what they say about an ablation
from here. A new one is an entry of `ABLATIONS`; the runner changes only for an analysis of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from monai_sfda.errors import SettingError, nearest


@dataclass(frozen=True)
class SourceTraining:
    """One way to train the source model that arms adapt.

    Attributes:
        name: short, for folders; empty for the configuration's own training.
        title: for tables.
        overrides: further command-line settings of the configuration.
        configuration: the file that trains: `train.json`, or `uda.json` for prior matching's source model.
    """

    name: str = ""
    title: str = "the configuration's own"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    configuration: Literal["train.json", "uda.json"] = "train.json"

    @property
    def needs_source(self) -> bool:
        """Whether adaptation from it reads source scans too."""
        return self.configuration == "uda.json"

    @property
    def folder(self) -> str:
        """Folder of its run."""
        return f"train_source_{self.name}" if self.name else "train_source"


OWN_TRAINING = SourceTraining()
PRIOR_MATCHING = SourceTraining("prior_matching", "prior matching's", configuration="uda.json")


@dataclass(frozen=True)
class Arm:
    """One way to adapt. Two arms with the same run folder are one run, whatever their titles.

    Attributes:
        title: for tables.
        folder: names the method and its settings.
        method: name of the method.
        overrides: further command-line settings of `adapt.json`, or of `uda.json` where the training is its.
        training: of the source model.
        rho: refit the release's prototypes with this confidence threshold, without training again; None keeps
            the release as it is.
    """

    title: str
    folder: str
    method: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    training: SourceTraining = OWN_TRAINING
    rho: float | None = None

    @property
    def run(self) -> str:
        """Folder of its run: `folder`, and what is unlike the configuration's own release."""
        parts = [self.folder]
        if self.training.name:
            parts.append(self.training.name)
        if self.rho is not None:
            parts.append(f"rho_{self.rho:g}")
        return "_".join(parts)


Analysis = Literal["bars", "prototypes", "embedding", "responses"]


@dataclass(frozen=True)
class Ablation:
    """A comparison with one table and one figure.

    Attributes:
        name: as given to `--ablation`.
        title: of its table and figure.
        shows: what is compared, and what to look at.
        paper: what the paper reports on its own data, which is never to be mixed with ours.
        arms: the ways to adapt.
        analysis: what the figure shows: `bars` the scores, `prototypes` samples of each arm's prototypes,
            `embedding` prototypes and target pixels before and after, `responses` those of the first
            convolution.
    """

    name: str
    title: str
    shows: str
    paper: str
    arms: tuple[Arm, ...]
    analysis: Analysis = "bars"

    @property
    def needs_umap(self) -> bool:
        """Whether its figure is a UMAP."""
        return self.analysis in ("prototypes", "embedding")


def _sfs(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "sfs", {"method_settings": settings})


def _default_sfs(title: str) -> Arm:
    """SFS as the configuration has it: one run, whatever an ablation calls it."""
    return Arm(title, "sfs_predicted", "sfs", {"class_proportions": "predicted"})


def _trained_with(title: str, loss: str) -> Arm:
    training = SourceTraining(loss, title, {"training#loss": loss})
    return replace(_default_sfs(f"SFS, {title}"), training=training)


_PAPER_1 = (
    Ablation(
        "rho",
        "Confidence threshold rho of the prototypes",
        "Prototypes refitted from the same source model with rho 0, 0.8 and 0.97, then SFS to each. A "
        "higher rho keeps confident pixels alone, so that pseudo-samples of two classes should lie further "
        "apart.",
        "Figure 4 (cardiac): at rho 0.97 the prototypes are well separated, at 0 only some classes are; no "
        "Dice is given. Good separability is observed for rho of 0.9 and more.",
        (
            replace(_default_sfs("SFS, rho 0"), rho=0.0),
            replace(_default_sfs("SFS, rho 0.8"), rho=0.8),
            _default_sfs("SFS, rho 0.97 (default)"),
        ),
        "prototypes",
    ),
    Ablation(
        "classifier",
        "Classifier tuned on pseudo-samples, or fixed",
        "Whether the first term of Eq. 3, cross-entropy of pseudo-samples, moves the classifier.",
        "Table 3 (cardiac, median of 5 runs): Dice 73.8 and ASSD 16.2 tuned, 72.5 and 15.9 fixed.",
        (
            _default_sfs("SFS, classifier tuned (default)"),
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
        (
            _default_sfs("SFS, from the release (default)"),
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
        (
            Arm("SFS, source proportions", "sfs_source", "sfs", {"class_proportions": "source"}),
            _default_sfs("SFS, predicted proportions (default)"),
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
        (_default_sfs("SFS"),),
        "embedding",
    ),
    Ablation(
        "filters",
        "Filter responses before and after",
        "Responses of the first convolution to one target slice, chosen by predicted area without labels, "
        "and how much the responses of the first convolutions change.",
        "Figure 6 (cardiac, after two and after four convolutions): filters look alike before and after, "
        "with changes visible in the difference. No number.",
        (_default_sfs("SFS"),),
        "responses",
    ),
)


def _osuda(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "osuda", {"method_settings": settings})


_PAPER_3 = (
    Ablation(
        "osuda",
        "OSUDA and its parts",
        "OSUDA without channel weighting (AC), without entropy (SE: the statistics alone adapt, since "
        "nothing else moves the weights), and with a share of the source in the statistics that stays: all "
        "of it, or half.",
        "Tables 1 and 2 (BraTS 2018, Dice and Hausdorff in mm, overall). HGG to LGG, four channels: source "
        "only 58.44 and 41.7, OSUDA 61.94 and 25.6, OSUDA-AC 60.75 and 26.5, OSUDA-SE 60.78 and 26.4. T2 to "
        "T1, FLAIR, T1ce, one channel: source only 22.6 and 46.8, OSUDA 57.8 and 19.9, OSUDA-AC 56.7 and "
        "21.0, OSUDA-SE 56.6 and 20.7. No number for eta without decay.",
        (
            Arm("OSUDA (default)", "osuda", "osuda"),
            _osuda("OSUDA-AC, no channel weighting", "osuda_no_weighting", channel_weighting=False),
            _osuda("OSUDA-SE, no entropy", "osuda_no_entropy", entropy=False),
            _osuda("OSUDA, eta stays 1: the source's statistics", "osuda_eta_1", eta_decay=False),
            _osuda("OSUDA, eta stays 0.5", "osuda_eta_half", eta_decay=False, eta_0=0.5),
        ),
    ),
)


def _mas3(title: str, threshold: float) -> Arm:
    """MAS3 with one threshold for the prototypes and for their pseudo-samples."""
    settings = {"confidence_threshold": threshold}
    return Arm(title, f"mas3_{threshold:g}", "mas3", {"method_settings": settings}, rho=threshold)


_PAPER_2 = (
    Ablation(
        "tau",
        "Confidence threshold tau of MAS3",
        "Prototypes refitted from the same source model with tau 0, 0.8 and 0.97, pseudo-samples kept above "
        "the same tau, MAS3 to each.",
        "Figure 4 (GTA5 to Cityscapes): mIoU 41.6, 42.7 and 43.9 with tau 0, 0.8 and 0.97; the appendix "
        "finds 0.95 and more to work reasonably well.",
        (
            _mas3("MAS3, tau 0", 0.0),
            _mas3("MAS3, tau 0.8", 0.8),
            replace(_mas3("MAS3, tau 0.97 (default)", 0.97), folder="mas3", overrides={}, rho=None),
        ),
    ),
)


def _adaent(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "adaent", {"method_settings": settings} if settings else {})


_PAPER_4 = (
    Ablation(
        "adaent_prior",
        "Prior of AdaEnt: none, statistics, tags",
        "Entropy alone, which may end in a single class; the release's class ratios, compared with those of "
        "many slices or forced on each slice; and image-level tags, which read target labels and are no "
        "method.",
        "Table 1 (IVDM3Seg, Wat to IP / IP to Wat), tags and a regression network: Dice 67.0 / 77.8 from "
        "46.7 / 63.7 unadapted, 82.3 / 89.0 supervised. Entropy alone is called degenerate; no number.",
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


def _prior_matching(title: str, folder: str, **overrides: Any) -> Arm:
    return Arm(title, folder, "prior_matching", overrides, PRIOR_MATCHING)


def _without(title: str, name: str, weight: str) -> Arm:
    """Prior matching without one of its losses, in the source model and in the adaptation."""
    settings = {"method_settings": {weight: 0.0}}
    training = replace(PRIOR_MATCHING, name=f"prior_matching_{name}", title=title, overrides=settings)
    return Arm(f"prior matching, {title}", "adapted", "prior_matching", settings, training)


def _default_prior_matching(title: str) -> Arm:
    return _prior_matching(title, "adapted")


_PAPER_5 = (
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
        (
            _default_prior_matching("prior matching, scan 1 (default)"),
            *(_prior_matching(f"prior matching, scan {n}", f"scan_{n}", target_scan=n) for n in range(2, 7)),
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

ABLATIONS: dict[str, Ablation] = {a.name: a for a in (*_PAPER_1, *_PAPER_2, *_PAPER_3, *_PAPER_4, *_PAPER_5)}


def find_ablations(names: tuple[str, ...]) -> list[Ablation]:
    """The ablations of those names, each once, in the registry's order; `all` stands for every one.

    Raises:
        SettingError: for an unknown name, with the nearest ones.
    """
    for name in names:
        if name != "all" and name not in ABLATIONS:
            raise SettingError(
                f"ablation '{name}' is unknown",
                remedy=f"use {', '.join(nearest(name, (*ABLATIONS, 'all')))}",
            )
    return [a for a in ABLATIONS.values() if "all" in names or a.name in names]


def compare_methods(titles: Mapping[str, str]) -> Ablation:
    """The comparison of whole methods, each with the configuration's own settings.

    Args:
        titles: method name to its title.
    """
    shared = {
        "sfs": _default_sfs("SFS"),
        "prior_matching": _default_prior_matching("prior matching (reads source scans)"),
    }
    arms = tuple(shared.get(name, Arm(title, name, name)) for name, title in titles.items())
    return Ablation(
        "methods",
        "Methods",
        "Each method with the configuration's settings, between unadapted model and supervised bound.",
        "not one paper's comparison; each method's own numbers stand in its documentation.",
        arms,
    )

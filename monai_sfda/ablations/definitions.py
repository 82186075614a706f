"""What an ablation is: arms that are compared, what that shows, what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


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
        overrides: further command-line settings of the configuration that adapts.
        training: of the source model.
        rho: refit the release's prototypes with this confidence threshold, without training again; None keeps
            the release as it is.
        with_source: the release is adapted with the source's scans at hand, by `uda.json`.
    """

    title: str
    folder: str
    method: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    training: SourceTraining = OWN_TRAINING
    rho: float | None = None
    with_source: bool = False

    @property
    def configuration(self) -> Literal["adapt.json", "uda.json"]:
        """The file that adapts."""
        return "uda.json" if self.with_source or self.training.needs_source else "adapt.json"

    @property
    def run(self) -> str:
        """Folder of its run: `folder`, and what is unlike the configuration's own release."""
        parts = [self.folder]
        if self.training.name:
            parts.append(self.training.name)
        if self.rho is not None:
            parts.append(f"rho_{self.rho:g}")
        return "_".join(parts)


Analysis = Literal["bars", "prototypes", "embedding", "responses", "trajectory", "entropy"]


@dataclass(frozen=True)
class Ablation:
    """A comparison with one table and one figure.

    Attributes:
        name: as given to `--ablation`.
        title: of its table and figure.
        shows: what is compared, and what to look at.
        paper: what the paper reports on its own data, which is never to be mixed with ours.
        tasks: of the catalog, the paper's own; with these `--ablation all` takes it. By its name it runs on
            any.
        arms: the ways to adapt.
        analysis: what the figure shows: `bars` the scores, `prototypes` samples of each arm's prototypes,
            `embedding` prototypes and target pixels before and after, `responses` those of the first
            convolution, `trajectory` Dice over the run, `entropy` maps of the predictions' entropy.
    """

    name: str
    title: str
    shows: str
    paper: str
    tasks: tuple[str, ...]
    arms: tuple[Arm, ...]
    analysis: Analysis = "bars"

    @property
    def needs_umap(self) -> bool:
        """Whether its figure is a UMAP."""
        return self.analysis in ("prototypes", "embedding")

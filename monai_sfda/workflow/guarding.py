"""The guard in a run: which scans it keeps for itself, and which weights it publishes in the end."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from monai_sfda.candidate_names import LAST, UNADAPTED, candidate_name, candidate_title
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.candidate_signals import SourceKnowledge
from monai_sfda.engines.candidates import score_candidates
from monai_sfda.guard.split import TargetSplit, split_by_subject
from monai_sfda.guard.verdict import UNSURE, judge
from monai_sfda.methods import Method
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release
from monai_sfda.settings import read_settings

NOT_JUDGED = "the guard was switched off: look at the report before the model is used"


class GuardSettings(BaseModel):
    """The `guard` section of a configuration.

    Attributes:
        enabled: whether the guard judges the run. Without it `model.pt` is the method's last weights, and the
            verdict `unsure`.
        share: of the target's subjects, whose scans are kept back for the guard.
        candidates: how often over the run, evenly, weights are kept for the guard to choose from; the last
            are those of its end.
        keep_candidates: whether the weights on the way stay in `candidates/` when the run is finished.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    share: float = Field(0.25, gt=0, lt=1)
    candidates: int = Field(4, ge=1)
    keep_candidates: bool = False


@dataclass(frozen=True)
class Guarding:
    """What is settled before a run.

    Attributes:
        settings: of the guard.
        target: all target stacks.
        split: of the target; None where the guard is off.
        adaptation: the stacks that the method sees.
    """

    settings: GuardSettings
    target: StackDataset
    split: TargetSplit | None
    adaptation: StackDataset

    @property
    def candidates(self) -> int | None:
        """How often weights are kept over the run; None for never."""
        return self.settings.candidates if self.settings.enabled else None

    @property
    def kept_scans(self) -> tuple[int, ...]:
        """Numbers of the cases that the method does not see."""
        return () if self.split is None or self.split.shared else self.split.guard

    @property
    def described(self) -> dict[str, Any]:
        """The settings for the record."""
        return {"guard": self.settings.model_dump()}


def guarding_of(target: StackDataset, given: Mapping[str, Any] | None, seed: int) -> Guarding:
    """Lists the target's scans and splits them.

    Args:
        target: stacks of all scans, not read yet.
        given: the `guard` section; None for its defaults.
        seed: of the run.

    Raises:
        SettingError: for an unknown setting, or one out of range.
        DataError: when the scans cannot be listed.
    """
    settings = read_settings(GuardSettings, given or {}, "guard")
    if not settings.enabled:
        return Guarding(settings, target, None, target)
    split = split_by_subject(target.list().cases, settings.share, seed)
    adaptation = target if split.shared else target.part(split.adaptation)
    return Guarding(settings, target, split, adaptation)


@dataclass(frozen=True)
class Decision:
    """What is published of a run.

    Attributes:
        verdict: `accept`, `reject` or `unsure`.
        reasons: in words.
        chosen: name of what is published: `unadapted`, `epoch_0004`, `last`.
        network: the same, on the run's device.
        weights: the file of the chosen weights where one is there already; None for the last.
        record: the entry `guard` of `adaptation.json`.
    """

    verdict: str
    reasons: tuple[str, ...]
    chosen: str
    network: SegmentationNetwork
    weights: Path | None
    record: dict[str, Any] = field(repr=False)

    @property
    def judged(self) -> bool:
        """Whether the guard has judged."""
        return bool(self.record["enabled"])

    @property
    def on_the_way(self) -> SegmentationNetwork | None:
        """The published network where it is a checkpoint on the way."""
        return None if self.chosen in (LAST, UNADAPTED) else self.network

    @property
    def in_words(self) -> str:
        """What was decided, for the end of the run."""
        if not self.judged:
            return "not judged (the guard is off): model.pt is the method's last weights"
        why = "; ".join(self.reasons)
        if self.chosen == UNADAPTED:
            may = " (a person may decide otherwise)" if self.verdict == UNSURE else ""
            return (
                f"verdict {self.verdict.upper()}: {why}. model.pt is the UNADAPTED model; the method's last "
                f"weights are in adapted.pt{may}"
            )
        what = "the method's last" if self.chosen == LAST else f"those of {candidate_title(self.chosen)}"
        return f"verdict {self.verdict.upper()}: {why}. The weights in model.pt are {what}"


def decide(
    guarding: Guarding,
    method: Method[Any],
    *,
    before: SegmentationNetwork,
    after: SegmentationNetwork,
    unadapted: Path,
    kept: Mapping[int, Path],
    epochs: int,
    release: Release | None,
    device: torch.device,
    batch_size: int,
    seed: int,
) -> Decision:
    """Scores the candidates and judges them; without the guard, the last weights it is. One process does it.

    Args:
        guarding: of the run.
        method: that adapted.
        before, after: the unadapted network, and as the method left it.
        unadapted: file of the unadapted weights.
        kept: epoch to the weights that were kept at its end.
        epochs: of the run.
        release: of the source; None where the run had none.
        device, batch_size, seed: as in `signals_of_scans`.

    Raises:
        CheckpointError: when weights that were kept are missing or damaged.
    """
    split = guarding.split
    if split is None:
        return Decision(UNSURE, (NOT_JUDGED,), LAST, after, None, {"enabled": False})
    knowledge = SourceKnowledge(None, None, None) if release is None else SourceKnowledge.of(release)
    first, candidates = score_candidates(
        before,
        after,
        kept,
        epochs,
        guarding.target,
        split.guard,
        knowledge,
        device=device,
        batch_size=batch_size,
        seed=seed,
    )
    judgement = judge(
        first,
        candidates,
        optimised=method.optimises,
        guard_subjects=0 if split.shared else split.guard_subjects,
        labels=guarding.target.task.labels,
        class_ratio=knowledge.class_ratio,
    )
    files = {candidate_name(epoch): path for epoch, path in kept.items()} | {UNADAPTED: unadapted}
    if judgement.chosen == LAST:
        network = after
    elif judgement.chosen == UNADAPTED:
        network = before
    else:
        network = copy.deepcopy(before)
        load_into(network, load_weights(files[judgement.chosen]), files[judgement.chosen])
    record = {
        "enabled": True,
        **split.to_json(),
        "candidates": [{"name": c.name, "epoch": c.epoch} for c in (first, *candidates)],
        "optimised_signals": sorted(method.optimises),
        **_without_nan(judgement.to_json()),
    }
    return Decision(
        judgement.verdict, judgement.reasons, judgement.chosen, network, files.get(judgement.chosen), record
    )


def _without_nan(value: Any) -> Any:
    """JSON-ready values with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

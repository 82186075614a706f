"""Signals of a run's candidates on its guard scans, as records, and the guard's verdict on such a record.

Signals come from the weights that a run kept: a new signal needs no new run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.guard_adaptation import target_scans
from benchmarks.guard_plan import Run
from benchmarks.guard_stacks import CachedStacks
from benchmarks.guard_worlds import World, open_world
from monai_sfda.candidate_names import UNADAPTED
from monai_sfda.checkpoints import load_into
from monai_sfda.engines.candidate_signals import SourceKnowledge, signals_of_scans
from monai_sfda.guard.calibration import Calibration
from monai_sfda.guard.candidate import Candidate
from monai_sfda.guard.signals import ScanSignals
from monai_sfda.guard.verdict import Judgement, judge
from monai_sfda.methods import find_method
from monai_sfda.release import ClassRatio

SEED = 0
"""Of what the signals draw: the same for all candidates."""
_DIGITS = 6


def signals_record(
    run: Run, world: World, other: Callable[[str], World], candidates: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Any]:
    """Every signal of every guard scan of every candidate, the unadapted model first."""
    start = time.perf_counter()
    guard = target_scans(run, world, other).guard
    knowledge = SourceKnowledge.of(world.release)
    network = world.network()
    before = _signals(network, guard, knowledge, None)
    masks = [scan.segmentation for scan in before]
    found = {UNADAPTED: before}
    for name, weights in candidates.items():
        load_into(network, dict(weights))
        found[name] = _signals(network, guard, knowledge, masks)
    return {
        "name": run.name,
        "candidates": {name: [_scan_json(scan) for scan in scans] for name, scans in found.items()},
        "seconds": round(time.perf_counter() - start, 2),
    }


def _signals(
    network: Any, guard: CachedStacks, knowledge: SourceKnowledge, beside: Sequence[Any] | None
) -> list[ScanSignals]:
    return signals_of_scans(
        network,
        guard,
        range(len(guard.volumes)),
        knowledge,
        device=torch.device("cpu"),
        batch_size=16,
        seed=SEED,
        beside=beside,
    )


def _scan_json(scan: ScanSignals) -> dict[str, Any]:
    def short(values: Mapping[str, float]) -> dict[str, float]:
        return {k: float(f"{v:.{_DIGITS}g}") for k, v in values.items() if np.isfinite(v)}

    return {"values": short(scan.values), "shares": short(scan.shares)}


def candidates_of(record: Mapping[str, Any]) -> list[Candidate]:
    """The candidates of a record of `signals_record`, the unadapted model first. Masks are not kept."""
    nothing = np.zeros((0, 0, 0), dtype=np.uint8)
    return [
        Candidate(name, epoch, [ScanSignals(scan["values"], scan["shares"], nothing) for scan in scans])
        for epoch, (name, scans) in enumerate(record["candidates"].items())
    ]


def verdict(
    run: Run,
    record: Mapping[str, Any],
    class_ratio: ClassRatio | None,
    calibration: Calibration | None = None,
) -> Judgement:
    """What the guard says of a run, by the rule and the thresholds of today.

    Args:
        run: of the plan.
        record: of `signals_record`.
        class_ratio: of the world's release.
        calibration: None for the package's own.
    """
    unadapted, *candidates = candidates_of(record)
    return judge(
        unadapted,
        candidates,
        optimised=find_method(run.method).optimises,
        guard_subjects=run.guard_subjects,
        labels=labels_of(run.task),
        class_ratio=class_ratio,
        calibration=calibration,
    )


@cache
def labels_of(task: str) -> dict[str, int]:
    """Class names to indices."""
    from monai_sfda.catalog import find_task

    return find_task(task).labels


def load_candidates(path: Path) -> dict[str, dict[str, Tensor]]:
    """Weights by candidate, as `guard.py` kept them."""
    return dict(torch.load(path, weights_only=True))


def opener(out: Path, seed: int) -> Callable[[str], World]:
    """Gives the worlds of other tasks with the same seed."""
    return lambda task: open_world(out, task, seed)

"""Learns the guard's estimator and chooses its thresholds, from the development half of the runs alone.

    python -m benchmarks.guard_thresholds --out runs/guard --write

Thresholds come from estimates for worlds that the estimator has not seen: each world is left out in turn. The
last fit is on all of the half. What is written is `monai_sfda/guard/calibration.json`; the held-out half is
never read here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import monai_sfda.guard
from benchmarks import guard_records as records
from benchmarks.guard_judging import candidates_of, verdict
from benchmarks.guard_plan import Run
from benchmarks.guard_results import GAIN, HARM, class_ratio_of_world, interval
from benchmarks.guard_worlds import world_folder
from monai_sfda.files import write_json
from monai_sfda.guard.calibration import FILE, Calibration
from monai_sfda.guard.estimate import CHANGE, LEVEL, ChangeEstimator, features_of
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.guard.verdict import FEWEST_SUBJECTS, UNADAPTED
from monai_sfda.release import package_versions

HALF = "development"
SAFE_SHARE = 0.005
"""Of the harmful runs, that may be let through where the thresholds are chosen: half of what is promised."""
NEITHER = tuple(name for name, signal in SIGNALS.items() if signal.better == "neither")


def feature_names(kinds: Sequence[str], without: Sequence[str] = ()) -> list[str]:
    """Features of all signals but some."""
    return [f"{kind}:{name}" for name in SIGNALS if name not in without for kind in kinds]


WAYS = {
    "changes": feature_names([CHANGE], NEITHER),
    "changes and levels": feature_names([CHANGE, LEVEL], NEITHER),
    "all": feature_names([CHANGE, LEVEL]),
}
RIDGES = (0.1, 0.3, 1.0, 3.0)
CHOSEN, CHOSEN_RIDGE = "all", 1.0


@dataclass(frozen=True)
class Example:
    """A run of which all is known.

    Attributes:
        run: of the plan.
        record: its signals.
        change: candidate to its true change of mean Dice.
    """

    run: Run
    record: dict[str, Any]
    change: dict[str, float]

    @property
    def world(self) -> str:
        """Whose phantoms and source model it has."""
        return f"{self.run.task} {self.run.world}"


def examples(out: Path) -> list[Example]:
    """The half's runs with signals and a defined truth."""
    scored = records.by_name(out / records.SIGNALS)
    found = []
    for record in records.read(out / records.RUNS):
        run = Run(**record["run"])
        if run.half != HALF or "failed" in record or run.name not in scored:
            continue
        dice = {name: entry["mean"] for name, entry in record["dice"].items()}
        if all(value is not None for value in dice.values()):
            change = {name: value - dice[UNADAPTED] for name, value in dice.items() if name != UNADAPTED}
            found.append(Example(run, scored[run.name], change))
    return found


def fit(learnt: Sequence[Example], names: Sequence[str], ridge: float) -> ChangeEstimator:
    """An estimator from all candidates of some runs; every world weighs the same."""
    rows, changes, weights = [], [], []
    size = {world: sum(e.world == world for e in learnt) for world in {e.world for e in learnt}}
    for example in learnt:
        unadapted, *candidates = candidates_of(example.record)
        for candidate in candidates:
            rows.append(features_of(unadapted.scans, candidate.scans))
            changes.append(example.change[candidate.name])
            weights.append(1 / size[example.world] / len(candidates))
    return ChangeEstimator.fit(rows, changes, names=names, runs=len(learnt), weights=weights, ridge=ridge)


@dataclass(frozen=True)
class Foreseen:
    """A run as an estimator sees it that has not learnt from its world.

    Attributes:
        run: of the plan.
        estimate: of the best candidate that is not ruled out; 0 when that is the unadapted model.
        change: its true change.
        last: true change of the method's last weights.
        most: true change of the checkpoint that the labels would choose, at least 0.
        estimates, changes: of all candidates.
    """

    run: Run
    estimate: float
    change: float
    last: float
    most: float
    estimates: tuple[float, ...]
    changes: tuple[float, ...]


def foresee(out: Path, all_examples: Sequence[Example], names: Sequence[str], ridge: float) -> list[Foreseen]:
    """Every run by an estimator that learnt from the other worlds."""
    found = []
    for world in dict.fromkeys(example.world for example in all_examples):
        estimator = fit([e for e in all_examples if e.world != world], names, ridge)
        calibration = Calibration(estimator, 0.0, 0.0, {})
        task, seed = world.split()
        ratio = class_ratio_of_world(world_folder(out, task, int(seed)))
        for example in (e for e in all_examples if e.world == world):
            judged = verdict(example.run, example.record, ratio, calibration)
            change = example.change | {UNADAPTED: 0.0}
            order = list(example.change)
            found.append(
                Foreseen(
                    example.run,
                    judged.estimates[judged.best],
                    change[judged.best],
                    example.change[order[-1]],
                    max(change.values()),
                    tuple(judged.estimates[name] for name in order),
                    tuple(example.change[name] for name in order),
                )
            )
    return found


@dataclass(frozen=True)
class Operation:
    """What a threshold would have done.

    Attributes:
        accept_from: the threshold.
        harmful, let_through: harmful runs, and those of which harmful weights would be published.
        gains, accepted: runs of enough subjects that gain, and those of them that would be accepted.
        regret: mean over runs of enough subjects, Dice.
    """

    accept_from: float
    harmful: int
    let_through: int
    gains: int
    accepted: int
    regret: float


def operate(foreseen: Sequence[Foreseen], accept_from: float) -> Operation:
    """Counts what is accepted from an estimate on."""
    enough = [f for f in foreseen if f.run.subjects >= FEWEST_SUBJECTS]
    accepted = [f for f in enough if f.estimate > 0 and f.estimate >= accept_from]
    gains = [f for f in enough if f.last >= GAIN]
    chosen = set(map(id, accepted))
    regret = [f.most - (f.change if id(f) in chosen else 0.0) for f in enough]
    return Operation(
        accept_from,
        sum(f.last < -HARM for f in foreseen),
        sum(f.change < -HARM for f in accepted),
        len(gains),
        sum(id(f) in chosen for f in gains),
        float(np.mean(regret)) if regret else 0.0,
    )


def safe_threshold(foreseen: Sequence[Foreseen]) -> Operation:
    """The lowest threshold that lets no more than `SAFE_SHARE` of the harmful runs through."""
    steps = sorted({round(f.estimate, 4) for f in foreseen if f.estimate > 0} | {0.0})
    for step in [*steps, max(steps) + 0.01]:
        found = operate(foreseen, step + 1e-4)
        if found.let_through <= SAFE_SHARE * found.harmful:
            return found
    raise AssertionError("nothing is accepted above every estimate")


def reject_below(foreseen: Sequence[Foreseen], accept_from: float) -> float:
    """The estimate below which nine of ten runs do not gain: the lower edge of `unsure`."""
    ranked = sorted(foreseen, key=lambda f: f.estimate)
    below, highest = 0, 0.0
    for count, f in enumerate(ranked, start=1):
        below += f.change < HARM
        if below >= 0.9 * count:
            highest = f.estimate
    return min(max(highest, 0.0), accept_from)


def in_words(name: str, foreseen: Sequence[Foreseen], operation: Operation) -> str:
    """One line about a way to estimate."""
    estimates = np.concatenate([f.estimates for f in foreseen])
    changes = np.concatenate([f.changes for f in foreseen])
    rank = stats.spearmanr(estimates, changes).statistic
    low, high = interval(operation.let_through, operation.harmful)
    return (
        f"{name}: Spearman {rank:.2f}; accept from {100 * operation.accept_from:.2f} points: "
        f"{operation.let_through} of {operation.harmful} harmful let through "
        f"({100 * low:.1f} to {100 * high:.1f}%), {operation.accepted} of {operation.gains} gains accepted, "
        f"regret {100 * operation.regret:.2f}"
    )


def main() -> None:
    """Compares ways to estimate; with --write keeps the chosen one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="write the calibration that is shipped")
    given = parser.parse_args()
    known = examples(given.out)
    print(f"{len(known)} runs of the {HALF} half; each world is judged by what the others taught")
    for name, names in WAYS.items():
        for ridge in RIDGES:
            foreseen = foresee(given.out, known, names, ridge)
            print(in_words(f"{name}, ridge {ridge:g}", foreseen, safe_threshold(foreseen)))
    if given.write:
        foreseen = foresee(given.out, known, WAYS[CHOSEN], CHOSEN_RIDGE)
        operation = safe_threshold(foreseen)
        calibration = Calibration(
            fit(known, WAYS[CHOSEN], CHOSEN_RIDGE),
            round(operation.accept_from, 4),
            round(reject_below(foreseen, operation.accept_from), 4),
            {
                "command": "python -m benchmarks.guard_thresholds --write",
                "half": HALF,
                "phantoms": True,
                "runs": len(known),
                "harmful": operation.harmful,
                "worlds": len({example.world for example in known}),
                "features": CHOSEN,
                "let_through_by_estimators_of_other_worlds": operation.let_through,
                "versions": package_versions(),
            },
        )
        write_json(Path(monai_sfda.guard.__file__).parent / FILE, calibration.to_json())
        print(f"written: accept from {calibration.accept_from}, reject below {calibration.reject_below}")


if __name__ == "__main__":
    main()

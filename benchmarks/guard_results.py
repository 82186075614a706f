"""What the guard's calibration found: judged runs, counts with intervals, regret, correlations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import guard_records as records
from benchmarks.guard_judging import verdict
from benchmarks.guard_plan import Run
from benchmarks.guard_worlds import world_folder
from monai_sfda.candidate_names import LAST, UNADAPTED
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.guard.split import TWO_FROM
from monai_sfda.guard.verdict import ACCEPT, UNSURE
from monai_sfda.methods import find_method
from monai_sfda.release import ClassRatio, Release

HARM, GAIN = 0.005, 0.05
"""Loss of mean Dice from which a run is harmful, and gain that a guard should not throw away."""
_RESAMPLES = 100


@dataclass(frozen=True)
class Judged:
    """A run, what is true of it, and what the guard said.

    Attributes:
        run: of the plan.
        change: candidate to its true change of mean Dice against the unadapted model.
        unadapted: the unadapted model's mean Dice.
        verdict, chosen, best: of the guard.
        estimates: candidate to the change that the guard estimates.
        signals: candidate to signal to the change of its mean over the guard's scans.
    """

    run: Run
    change: Mapping[str, float]
    unadapted: float
    verdict: str
    chosen: str
    best: str
    estimates: Mapping[str, float]
    signals: Mapping[str, Mapping[str, float]]

    @property
    def of_last(self) -> float:
        """Change by the method's last weights."""
        return self.change[LAST]

    @property
    def of_chosen(self) -> float:
        """Change by the weights that the guard publishes."""
        return self.change[self.chosen]

    @property
    def of_best(self) -> float:
        """Change by the weights that the labels would choose; the unadapted model's are among them."""
        return max(self.change.values())

    @property
    def harmful(self) -> bool:
        """Whether the method's last weights are worse than the unadapted model."""
        return self.of_last < -HARM

    @property
    def harm_published(self) -> bool:
        """Whether the guard publishes weights that are worse than the unadapted model."""
        return self.of_chosen < -HARM

    def to_json(self) -> dict[str, Any]:
        """A line of the results: everything but the signals."""
        short = {name: round(value, 4) for name, value in self.change.items()}
        return self.run.to_json() | {
            "unadapted": round(self.unadapted, 4),
            "change": short,
            "verdict": self.verdict,
            "chosen": self.chosen,
            "best": self.best,
            "estimates": {name: round(value, 4) for name, value in self.estimates.items()},
        }


@cache
def class_ratio_of_world(folder: Path) -> ClassRatio | None:
    """Of the release of a world."""
    return Release.read(folder / "train" / "release").class_ratio


def judged_runs(out: Path) -> list[Judged]:
    """All runs that have signals and a defined truth, judged by the rule of today."""
    scored = records.by_name(out / records.SIGNALS)
    found = []
    for record in records.read(out / records.RUNS):
        if record["name"] not in scored or any(e["mean"] is None for e in record["dice"].values()):
            continue
        run = Run(**record["run"])
        judgement = verdict(
            run, scored[run.name], class_ratio_of_world(world_folder(out, run.task, run.world))
        )
        dice = {name: entry["mean"] for name, entry in record["dice"].items()}
        before = judgement.signals[UNADAPTED]
        found.append(
            Judged(
                run,
                {name: value - dice[UNADAPTED] for name, value in dice.items()},
                dice[UNADAPTED],
                judgement.verdict,
                judgement.chosen,
                judgement.best,
                judgement.estimates,
                {
                    name: {signal: values[signal] - before[signal] for signal in values if signal in before}
                    for name, values in judgement.signals.items()
                    if name != UNADAPTED
                },
            )
        )
    return found


def interval(successes: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson for a proportion; (0, 1) of nothing.

    >>> [round(x, 4) for x in interval(0, 300)]
    [0.0, 0.0122]
    """
    if of == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, of - successes + 1))
    high = 1.0 if successes == of else float(stats.beta.ppf(1 - tail, successes + 1, of - successes))
    return low, high


def counts(runs: Sequence[Judged]) -> dict[str, Any]:
    """How the guard did on some runs: harm let through, gains kept, regret of the choice of weights.

    `enough`: with as many target subjects as a verdict better than `unsure` needs; gains and regret are of
    these, since of fewer nothing is ever published.
    """
    harmful = [run for run in runs if run.harmful]
    enough = [run for run in runs if run.run.subjects >= TWO_FROM]
    gains = [run for run in enough if run.of_last >= GAIN]
    near = [run for run in runs if abs(run.of_last) <= HARM]
    return {
        "runs": len(runs),
        "harmful": len(harmful),
        "harmful_enough": sum(run.harmful for run in enough),
        "others": len(runs) - len(harmful),
        "neither": len(near),
        "harmful_accepted": _share([run.verdict == ACCEPT and run.harm_published for run in harmful]),
        "harmful_enough_accepted": _share(
            [run.verdict == ACCEPT and run.harm_published for run in enough if run.harmful]
        ),
        "harm_published": _share([run.harm_published for run in runs]),
        "gains_accepted": _share([run.verdict == ACCEPT for run in gains]),
        "unsure": _share([run.verdict == UNSURE for run in enough]),
        "regret": regret(enough),
    }


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    low, high = interval(sum(hits), len(hits))
    return {
        "count": int(sum(hits)),
        "of": len(hits),
        "share": sum(hits) / len(hits) if hits else None,
        "interval": [round(low, 5), round(high, 5)],
    }


def regret(runs: Sequence[Judged]) -> dict[str, float | None]:
    """Mean Dice lost against the weights that the labels would choose, by whose choice it is.

    `published`: the guard's weights (the unadapted ones unless it accepts); `preferred`: its best candidate,
    whatever the verdict; `last`: the method's last weights; `unadapted`: never adapting.
    """
    chosen: dict[str, Callable[[Judged], float]] = {
        "published": lambda run: run.of_chosen,
        "preferred": lambda run: run.change[run.best],
        "last": lambda run: run.of_last,
        "unadapted": lambda run: 0.0,
    }
    return {
        name: fmean(run.of_best - of(run) for run in runs) if runs else None for name, of in chosen.items()
    }


def grouped(
    runs: Sequence[Judged], by: Callable[[Judged], Any], order: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """`counts` of groups, in an order; those without runs are left out."""
    names = [name for name in order if any(by(run) == name for run in runs)]
    return {str(name): counts([run for run in runs if by(run) == name]) for name in names}


def correlations(runs: Sequence[Judged], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Spearman's correlation of each signal's change with the true change of Dice, over all candidates.

    Runs of a method that optimises a signal do not count for it. `pooled` is over everything, `within_task`
    the mean of the tasks' own. Intervals (95%) are of a bootstrap over runs, whose candidates stay together.
    """
    names = list(dict.fromkeys(name for run in runs for of in run.signals.values() for name in of))
    found = {}
    for name in names:
        used = [run for run in runs if name not in find_method(run.run.method).optimises]
        rows = [
            (place, run.run.task, of[name], run.change[candidate])
            for place, run in enumerate(used)
            for candidate, of in run.signals.items()
            if name in of
        ]
        if len(rows) < 10:
            continue
        place, task, signal, change = (np.array(column) for column in zip(*rows, strict=True))
        rng = np.random.default_rng(seed)
        order = [np.flatnonzero(place == p) for p in np.unique(place)]
        drawn = np.array(
            [
                _both(task[rows], signal[rows], change[rows])
                for rows in (
                    np.concatenate([order[i] for i in rng.integers(0, len(order), len(order))])
                    for _ in range(_RESAMPLES)
                )
            ]
        )
        pooled, within = _both(task, signal, change)
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
        found[name] = {
            "better": SIGNALS[name].better if name in SIGNALS else "neither",
            "candidates": len(rows),
            "pooled": round(pooled, 3),
            "pooled_interval": [round(float(low[0]), 3), round(float(high[0]), 3)],
            "within_task": round(within, 3),
            "within_task_interval": [round(float(low[1]), 3), round(float(high[1]), 3)],
            "by_task": {
                str(t): round(_spearman(signal[task == t], change[task == t]), 3) for t in np.unique(task)
            },
        }
    return found


def _both(
    task: NDArray[np.str_], signal: NDArray[np.float64], change: NDArray[np.float64]
) -> tuple[float, float]:
    of_tasks = [_spearman(signal[task == t], change[task == t]) for t in np.unique(task)]
    return _spearman(signal, change), float(np.mean(of_tasks))


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; 0 where one of the two does not vary."""
    ranks = [stats.rankdata(values) for values in (x, y)]
    if any(np.ptp(r) == 0 for r in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])

"""The guard's part of a run's report, from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_sfda.candidate_names import LAST, UNADAPTED, candidate_title
from monai_sfda.evaluation.comparison import NOTHING, with_minus_sign
from monai_sfda.evaluation.guard_figure import signals_along_the_run
from monai_sfda.evaluation.guard_section import GuardRow, GuardSection
from monai_sfda.evaluation.report_warnings import counted
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.guard.verdict import UNSURE

ESTIMATE = "estimated change of mean Dice"
MAIN_SIGNALS = (
    *("agreement", "agreement_worst", "soft_dice", "entropy", "composition_kl", "vanished"),
    *("components", "edges"),
)
"""Signals that every report shows and draws, where a run has them; the others are unfolded."""


def guard_section(record: Mapping[str, Any]) -> GuardSection | None:
    """What the report shows of the guard; None where it has not judged, as in runs of earlier versions.

    Args:
        record: `adaptation.json`.
    """
    guard: Mapping[str, Any] = record.get("guard", {})
    if not guard.get("enabled", False):
        return None
    names = [str(candidate["name"]) for candidate in guard["candidates"]]
    signals, estimates = guard["signals"], guard["estimates"]
    chosen = names.index(guard["chosen"])
    minimised = [name for name in guard["optimised_signals"] if name in SIGNALS]
    there = [name for name in SIGNALS if any(signals[c].get(name) is not None for c in names)]
    main = [name for name in MAIN_SIGNALS if name in there]
    series = {ESTIMATE: [estimates.get(candidate) for candidate in names]} | {
        SIGNALS[name].title: [signals[candidate].get(name) for candidate in names] for name in main
    }
    estimate_cells = [with_minus_sign(f"{v:+.3f}") if v is not None else NOTHING for v in series[ESTIMATE]]

    def row(name: str) -> GuardRow:
        signal = SIGNALS[name]
        return GuardRow(
            signal.title if signal.unit in signal.title else f"{signal.title}, {signal.unit}",
            "" if signal.better == "neither" else f"{signal.better} is better",
            _texts([signals[candidate].get(name) for candidate in names]),
            optimised=name in minimised,
        )

    return GuardSection(
        published=published(record),
        judged_on=judged_on(guard),
        candidates=tuple(candidate_title(name) for name in names),
        chosen=chosen,
        main=(GuardRow(ESTIMATE, "higher is better", tuple(estimate_cells)), *map(row, main)),
        others=tuple(row(name) for name in there if name not in main),
        vetoes=tuple(
            (candidate_title(name), "; ".join(guard["vetoes"][name]))
            for name in names
            if guard["vetoes"].get(name)
        ),
        figure=signals_along_the_run([int(c["epoch"]) for c in guard["candidates"]], series, chosen),
    )


def published(record: Mapping[str, Any]) -> str:
    """Which weights `model.pt` holds, in words.

    Args:
        record: `adaptation.json`, with a guard that has judged.
    """
    chosen = record["guard"]["chosen"]
    if chosen == UNADAPTED:
        kept = "model.pt and the bundle hold the unadapted model, exactly as the source site released it. "
        kept += "What the method came to is in adapted.pt and is not in use."
        if record["verdict"] == UNSURE:
            kept += " A person who has looked at both may decide to use it."
        return kept
    if chosen == LAST:
        return "model.pt and the bundle hold the method's last weights, which adapted.pt holds too."
    return (
        f"model.pt and the bundle hold the weights of {candidate_title(chosen)}, a checkpoint on the way. "
        "The method's last weights are in adapted.pt and are not in use."
    )


def judged_on(guard: Mapping[str, Any]) -> str:
    """The scans that the guard judged by, in words.

    Args:
        guard: of `adaptation.json`.
    """
    scans, numbers = counted(len(guard["guard_scans"]), "scan"), guard["guard_scans"]
    which = ", ".join(f"A{number}" for number in numbers[:12]) + (", …" if len(numbers) > 12 else "")
    of = f"{scans} of {counted(guard['guard_subjects'], 'subject')} ({which})"
    if guard["guard_scans_adapted_to"]:
        return f"It judged by {of}, which were adapted to as well: there were too few to keep any back."
    return f"It judged by {of} that the method never saw."


def _texts(values: Sequence[float | None]) -> tuple[str, ...]:
    """The values of a row with the same number of decimals, fewer where they are large."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    digits = 4 if largest < 10 else 3 if largest < 100 else 2
    if all(value is None or value == round(value) for value in values):
        digits = 0
    return tuple(NOTHING if value is None else with_minus_sign(f"{value:.{digits}f}") for value in values)

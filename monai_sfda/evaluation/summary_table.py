"""A summary as a table of plain text, for the end of an evaluation's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_sfda.evaluation.comparison import MEAN_ROW, scored

_HEAD = ("structure", "Dice", "std", "n", "ASSD mm")


def summary_table(summary: Mapping[str, Any]) -> str:
    """Domain, split and number of cases; then mean, spread and number of Dice and mean ASSD a structure and
    region.

    Args:
        summary: from `summarise`.

    Returns:
        Lines without a path; `-` where a value is undefined.
    """
    dice, assd = summary["dice"], summary["assd_mm"]
    rows = [
        (
            title,
            _text(dice[group][name]["mean"]),
            _text(dice[group][name]["std"]),
            str(dice[group][name]["n"]),
            _text(assd[group][name]["mean"]),
        )
        for group, name, title in scored(dice)
    ]
    rows.append((MEAN_ROW, _text(dice["mean"]), "", "", _text(assd["mean"])))
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            (cell.ljust if column == 0 else cell.rjust)(widths[column]) for column, cell in enumerate(row)
        ).rstrip()
        for row in (_HEAD, *rows)
    ]
    cases = f"{summary['cases']} {'case' if summary['cases'] == 1 else 'cases'}"
    return "\n".join([f"domain {summary['domain']}, split {summary['split']}, {cases}", *lines])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

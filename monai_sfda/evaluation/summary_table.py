"""A summary as a table of plain text, for the end of an evaluation's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_sfda.evaluation.comparison import mean_title, scored

_HEAD = ("structure", "Dice", "std", "n", "ASSD mm")
_PUBLISHED_HEADS = {
    "assd_voxel": "ASSD voxels",
    "hd_slice_pixel": "HD slices px",
    "hd_row_pixel": "HD rows px",
}


def summary_table(summary: Mapping[str, Any]) -> str:
    """Domain, split, number of cases and protocol; then mean, spread and number of Dice and mean ASSD a
    structure and region, and the distances that a published protocol adds.

    Args:
        summary: from `summarise`.

    Returns:
        Lines without a path; `-` where a value is undefined.
    """
    dice = summary["dice"]
    distances = ["assd_mm", *(key for key in _PUBLISHED_HEADS if key in summary)]
    head = (*_HEAD, *(_PUBLISHED_HEADS[key] for key in distances[1:]))
    rows = [
        (
            title,
            _text(dice[group][name]["mean"]),
            _text(dice[group][name]["std"]),
            str(dice[group][name]["n"]),
            *(_text(summary[key][group][name]["mean"]) for key in distances),
        )
        for group, name, title in scored(dice)
    ]
    means = (_text(summary[key]["mean"]) for key in distances)
    rows.append((mean_title([summary]), _text(dice["mean"]), "", "", *means))
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(
            (cell.ljust if column == 0 else cell.rjust)(widths[column]) for column, cell in enumerate(row)
        ).rstrip()
        for row in (head, *rows)
    ]
    cases = f"{summary['cases']} {'case' if summary['cases'] == 1 else 'cases'}"
    return "\n".join(
        [
            f"domain {summary['domain']}, split {summary['split']}, {cases}, "
            f"protocol {summary['protocol']['name']}",
            *lines,
        ]
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

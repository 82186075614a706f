"""The page of `monai-sfda shift`: which scans are far, in what, which to label first, and whether it drifts.

As the report, it is one file that needs nothing but itself, and it names scans by number.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from matplotlib.figure import Figure

from monai_sfda.catalog import find_task
from monai_sfda.evaluation.charts import COLORS, INK, png, quiet
from monai_sfda.guard.aspects import ASPECTS
from monai_sfda.guard.familiarity import FAMILIAR, UNLIKE, UNLIKE_FROM, UNUSUAL, UNUSUAL_FROM

_COLOR_OF = {FAMILIAR: COLORS[2], UNUSUAL: COLORS[3], UNLIKE: COLORS[5]}
_SHADES = (0.5, UNUSUAL_FROM, UNLIKE_FROM, 2 * UNLIKE_FROM)
_LISTED_FIRST = 10
_HIGHEST_DRAWN = 10.0
_HIGHEST_SUM = 2.0


def shift_page(result: Mapping[str, Any]) -> str:
    """The HTML text of what `shift.json` holds."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monai_sfda.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scored = sorted(
        (scan for scan in result["scans"] if "error" not in scan), key=lambda s: (-s["score"], s["case"])
    )
    by_case = {scan["case"]: scan for scan in scored}
    in_time = sorted((s for s in scored if s["place"] is not None), key=lambda s: s["place"])
    names = [name for name in ASPECTS if any(name in scan["aspects"] for scan in scored)]
    first = [by_case[case] for case in result["label_first"]]
    return environment.get_template("shift.html.j2").render(
        task=find_task(result["task"]).title,
        scan_word="picture" if find_task(result["task"]).pictures else "scan",
        result=result,
        verdicts=[(word, result["verdicts"].get(word, 0)) for word in (FAMILIAR, UNUSUAL, UNLIKE)],
        bad=[scan for scan in result["scans"] if "error" in scan],
        first=first[:_LISTED_FIRST],
        kinds=len(first),
        near={s["case"]: sum(o["nearest_case"] == s["case"] for o in scored) - 1 for s in first},
        rows=[(scan, [_cell(scan["aspects"].get(name)) for name in names]) for scan in scored],
        columns=[(name.replace("_", " "), ASPECTS[name].title) for name in names],
        chart=_chart(in_time, result["drift"]) if in_time and result["drift"] is not None else None,
    )


def _cell(deviation: float | None) -> tuple[str, str]:
    """A shade from 0 to 4, or none, and a number."""
    if deviation is None:
        return "none", ""
    shade = sum(deviation > edge for edge in _SHADES)
    return f"d{shade}", f"{deviation:.1f}" if deviation < 100 else "100+"


def _chart(scans: Sequence[Mapping[str, Any]], drift: Mapping[str, Any]) -> str:
    """Scores in their order in time above the cumulative sums of the tests of drift, as a data URI.

    The sums are drawn in parts of their thresholds.
    """
    figure = Figure(figsize=(9.5, 4.4), facecolor="white", layout="constrained")
    scores, sums = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    places = list(range(1, len(scans) + 1))
    for verdict, color in _COLOR_OF.items():
        shown = [
            (place, min(scan["score"], _HIGHEST_DRAWN))
            for place, scan in zip(places, scans, strict=True)
            if scan["verdict"] == verdict
        ]
        if shown:
            scores.scatter(*zip(*shown, strict=True), s=22, color=color, label=verdict, zorder=3)
    for edge in (UNUSUAL_FROM, UNLIKE_FROM):
        scores.axhline(edge, color=COLORS[0], linewidth=0.8, linestyle="--")
    scores.set_ylim(0, max(2.4, 1.08 * min(max(scan["score"] for scan in scans), _HIGHEST_DRAWN)))
    scores.set_ylabel("score", fontsize=9, color=INK)
    scores.legend(fontsize=8, frameon=False, ncols=3, loc="upper left")
    for name, title, color in (
        ("unfamiliar", "unfamiliar scans", COLORS[1]),
        ("rising", "rising scores", COLORS[4]),
    ):
        levels = [
            min(level / drift[name]["test"]["threshold"], _HIGHEST_SUM) for level in drift[name]["levels"]
        ]
        sums.step(places, levels, where="mid", color=color, linewidth=1.6, label=title)
    sums.axhline(1.0, color=COLORS[5], linewidth=1.0)
    sums.text(1, 1.0, " alarm", fontsize=8, color=COLORS[5], va="bottom")
    sums.set_ylim(0, None)
    sums.legend(fontsize=8, frameon=False, ncols=2, loc="upper left")
    sums.set_ylabel("sums", fontsize=9, color=INK)
    sums.set_xlabel("scan, in order", fontsize=9, color=INK)
    for panel in (scores, sums):
        quiet(panel)
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode("ascii")

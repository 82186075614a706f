"""The page of `/sfda/drift/page`: scores in time beside the tests of drift, for each model.

One file that needs nothing but itself; the charts are drawn as SVG in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from monai_sfda.guard.familiarity import FAMILIAR, UNLIKE, UNLIKE_FROM, UNUSUAL, UNUSUAL_FROM

WIDTH, HEIGHT, SUMS_HEIGHT = 900.0, 200.0, 110.0
_HIGHEST_SCORE, _LOWEST_TOP, _HIGHEST_SUM = 10.0, 2.4, 2.0
_SUMS = (("unfamiliar", "unfamiliar studies"), ("rising", "rising scores"))


def drift_page(results: Sequence[Mapping[str, Any]]) -> str:
    """The HTML text of what `drift_of_model` found of each model."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monai_sfda.label.next_study", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("drift.html.j2").render(
        results=results,
        words=(FAMILIAR, UNUSUAL, UNLIKE),
        charts={result["model"]: chart(result) for result in results if result["scans"]},
        width=WIDTH,
        height=HEIGHT,
        sums_height=SUMS_HEIGHT,
    )


def chart(result: Mapping[str, Any]) -> dict[str, Any]:
    """Where the points and lines of a chart lie, in its own units, y downward.

    Scores above 10 are drawn at 10, sums in parts of their thresholds and at most at 2.

    Args:
        result: as `drift_of_model` gives it, with at least one scan.
    """
    scans = result["scans"]
    top = max(_LOWEST_TOP, 1.08 * min(max(float(scan["score"]) for scan in scans), _HIGHEST_SCORE))
    step = WIDTH / max(len(scans), 1)

    def y(score: float) -> float:
        return round(HEIGHT * (1 - min(score, top) / top), 1)

    points = [
        {"x": round((n + 0.5) * step, 1), "y": y(min(float(scan["score"]), _HIGHEST_SCORE)), **scan}
        for n, scan in enumerate(scans)
    ]
    lines = []
    for name, title in _SUMS if result["drift"] is not None else ():
        test = result["drift"][name]
        levels = [min(level / test["test"]["threshold"], _HIGHEST_SUM) for level in test["levels"]]
        places = " ".join(
            f"{point['x']},{round(SUMS_HEIGHT * (1 - level / _HIGHEST_SUM), 1)}"
            for point, level in zip(points, levels, strict=True)
        )
        lines.append({"name": name, "title": title, "places": places})
    return {
        "points": points,
        "radius": round(max(1.5, min(5.0, step / 2.5)), 1),
        "edges": [(edge, y(edge)) for edge in (UNUSUAL_FROM, UNLIKE_FROM)],
        "lines": lines,
        "alarm": SUMS_HEIGHT * (1 - 1 / _HIGHEST_SUM),
    }

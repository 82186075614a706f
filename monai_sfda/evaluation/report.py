"""The report of a run: one self-contained HTML file for a clinician and an engineer.

The file needs nothing but itself: images are data URIs, there is no script, and its content security policy
forbids anything else. It names cases by number, those adapted to A1, A2, ... and those evaluated E1, E2, ...;
what looks like a path or an address is withheld (`privacy`).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from monai_sfda.catalog import TASKS
from monai_sfda.errors import DataError, SettingError, nearest
from monai_sfda.evaluation.case_chart import case_chart
from monai_sfda.evaluation.cases import WORSE_BY, StructureChanges, case_changes
from monai_sfda.evaluation.comparison import (
    ADAPTED,
    BOUND,
    METRIC_DISPLAY,
    UNADAPTED,
    disagreements,
    metric_table,
    metrics_in,
    order_results,
    protocol_sentences,
    undefined_rows,
    with_minus_sign,
)
from monai_sfda.evaluation.figures import bars, curves
from monai_sfda.evaluation.moments import AFTER, BEFORE, PUBLISHED, moment_titles
from monai_sfda.evaluation.privacy import presentable_settings, withhold_locations
from monai_sfda.evaluation.report_content import VERDICTS, ReportContent
from monai_sfda.evaluation.report_warnings import counted, oracle_settings, warnings_of
from monai_sfda.evaluation.volume_table import volume_table
from monai_sfda.files import write_atomically

__all__ = ["VERDICTS", "ReportContent", "render_report", "write_report"]

_OPEN_CASES = 12
_WIDE_PIXELS = 800


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report as one HTML file.

    Raises:
        SettingError: when the verdict is unknown.
        DataError: when an overlay is not a PNG image, or the scores before and after are of other cases.
        OutputError: when the file cannot be written.
    """
    write_atomically(path, render_report(content).encode("utf-8"))


def render_report(content: ReportContent) -> str:
    """The HTML text of the report.

    Raises:
        SettingError: when the verdict is unknown.
        DataError: when an overlay is not a PNG image, or the scores before and after are of other cases.
    """
    verdict = content.verdict or "none"
    if verdict not in VERDICTS:
        raise SettingError(
            f"verdict '{verdict}' is unknown", remedy=f"use one of {', '.join(nearest(verdict, VERDICTS))}"
        )
    task = TASKS.get(content.task)
    structures = content.structures or (task.structures if task is not None else ())
    results = order_results({withhold_locations(name): summary for name, summary in content.results.items()})
    history = [(step, withhold_locations(name), value) for step, name, value in content.history]
    labels_read = [*map(withhold_locations, content.target_labels_read), *oracle_settings(content.settings)]
    scan = "picture" if content.pictures else "scan"
    source_read = f"{scan}s" if content.source_data_read else None
    found = warnings_of(content.verdict, results, labels_read, source_read=source_read)
    changes = _changes(content, results)
    titles = moment_titles(content.chosen)
    shown = [moment for moment in titles if moment in content.signals]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monai_sfda.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=withhold_locations(content.title),
        task=withhold_locations(content.task if task is None else task.title),
        method=withhold_locations(content.method),
        split=withhold_locations(content.split),
        phantom=content.phantom,
        pictures=content.pictures,
        scan=scan,
        verdict=verdict,
        verdict_title=VERDICTS[verdict][0],
        verdict_meaning=VERDICTS[verdict][1],
        guard=content.guard,
        guard_figure=None if content.guard is None else _embed(content.guard.figure),
        reasons=[withhold_locations(reason) for reason in content.reasons],
        warnings=[*map(withhold_locations, content.warnings), *found],
        headline=_headline(results, titles),
        worse=_worse(changes),
        results=results,
        tables=[metric_table(results, metric) for metric in metrics_in(results)] if results else [],
        protocols=[withhold_locations(sentence) for sentence in protocol_sentences(results)],
        published={m.key for m in metrics_in(results)} - {m.key for m in METRIC_DISPLAY}
        if results
        else set(),
        undefined=undefined_rows(results),
        bars=_embed(_dice_bars(results)) if results else None,
        changes=changes,
        change_chart=_embed(case_chart(changes)) if any(change.compared for change in changes) else None,
        worse_by=WORSE_BY,
        open_cases=_OPEN_CASES,
        overlays=[(withhold_locations(caption), _embed(image)) for caption, image in content.overlays],
        legend=[(s.name.replace("_", " "), f"rgb{s.color}") for s in structures],
        embedding=None
        if content.embedding is None
        else (withhold_locations(content.embedding[0]), _embed(content.embedding[1])),
        curves=_embed(curves(history)) if history else None,
        curve_names=list(dict.fromkeys(name for _, name, _ in history)),
        entropy=[(titles[moment], f"{content.signals[moment]['entropy']:.4f}") for moment in shown],
        class_ratios=_class_ratios([content.signals[moment] for moment in shown]),
        volumes=volume_table(content.volumes, titles),
        volumes_cut=[f"A{case}" for case in content.volumes_cut],
        settings=presentable_settings(content.settings),
        versions=presentable_settings(content.versions),
        notes=[withhold_locations(note) for note in content.notes],
        labels_read=labels_read,
        source_data_read=content.source_data_read,
    )


_RESULTS = {BEFORE: UNADAPTED, PUBLISHED: PUBLISHED, AFTER: ADAPTED}
"""Moment to the result that scores it."""


def _headline(results: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> dict[str, Any] | None:
    """The figures at the top of the report; None without a result before and after that may be compared.

    Args:
        results: name to summary.
        titles: of the moments, which say what is published.
    """
    if UNADAPTED not in results or ADAPTED not in results or disagreements(results):
        return None
    means = {name: results[name]["dice"]["mean"] for name in results}
    if means[UNADAPTED] is None or means[ADAPTED] is None:
        return None
    row = metric_table(results, METRIC_DISPLAY[0]).rows[-1]
    other_cases = "the means may be over different cases" if row.uncertain else ""
    tiles = [
        (f"Mean Dice {title}", f"{means[_RESULTS[moment]]:.3f}", "")
        for moment, title in titles.items()
        if means.get(_RESULTS[moment]) is not None
    ]
    changed = [moment for moment in (PUBLISHED, AFTER) if means.get(_RESULTS[moment]) is not None]
    for moment in changed:
        change = means[_RESULTS[moment]] - means[UNADAPTED]
        title = "Change in mean Dice" + (f", {titles[moment]}" if len(changed) > 1 else "")
        tiles.append((title, with_minus_sign(f"{change:+.3f}"), ""))
    if means.get(BOUND) is not None:
        title = f"Gap to the bound ({means[BOUND]:.3f}) closed" + (", after" if len(changed) > 1 else "")
        why_no_gap = other_cases if row.withheld is None else row.withheld.short
        tiles.append((title, row.gap, why_no_gap))
    return {
        "tiles": tiles,
        "cases": str(results[ADAPTED]["cases"]),
        "evaluated": f"{results[ADAPTED]['domain']} {results[ADAPTED]['split']}",
        "protocol": str(results[ADAPTED]["protocol"]["name"]),
    }


def _changes(
    content: ReportContent, results: Mapping[str, Mapping[str, Any]]
) -> tuple[StructureChanges, ...]:
    """Every case before and after; empty where the two may not be compared or have no scores of cases."""
    if UNADAPTED not in content.scores or ADAPTED not in content.scores or disagreements(results):
        return ()
    return case_changes(content.scores[UNADAPTED], content.scores[ADAPTED])


def _worse(changes: Sequence[StructureChanges]) -> str:
    """How many cases lost, for the top of the report."""
    if not changes:
        return ""
    cases = {case.case for change in changes for case in change.cases if case.is_worse}
    total = len({case.case for change in changes for case in change.cases})
    parts = [f"{c.structure.replace('_', ' ')} in {c.worse} of {c.compared}" for c in changes if c.worse]
    if not cases:
        return f"No structure of the {counted(total, 'evaluated case')} lost more than {WORSE_BY} Dice."
    return (
        f"In {len(cases)} of the {counted(total, 'evaluated case')} some structure lost more than {WORSE_BY} "
        f"Dice through the adaptation: {', '.join(parts)}."
    )


def _class_ratios(signals: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """(class, its share in percent at each moment)."""
    names = dict.fromkeys(name for signal in signals for name in signal["class_ratio"])
    return [
        (
            withhold_locations(name.replace("_", " ")),
            [f"{100 * signal['class_ratio'].get(name, 0.0):.2f}" for signal in signals],
        )
        for name in names
    ]


def _dice_bars(results: Mapping[str, Mapping[str, Any]]) -> bytes:
    return bars(
        {
            name: {structure: entry["mean"] for structure, entry in summary["dice"]["per_class"].items()}
            for name, summary in results.items()
        },
        quantity="mean Dice",
    )


@dataclass(frozen=True)
class _Embedded:
    """An image inside the page; a wide one is shown over the full width."""

    uri: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        return self.width > _WIDE_PIXELS


def _embed(image: bytes) -> _Embedded:
    if image[:8] != b"\x89PNG\r\n\x1a\n" or len(image) < 24:
        raise DataError(
            "an image of the report is not PNG", remedy="give what the functions of figures return"
        )
    width, height = struct.unpack(">II", image[16:24])
    return _Embedded(f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}", width, height)

"""The report of a run: one self-contained HTML file for a clinician and an engineer.

The file needs nothing but itself: images are data URIs, there is no script, and its content security policy
forbids anything else. It names cases by number; what looks like a path or an address is withheld (`privacy`).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from monai_sfda.catalog import TASKS, Structure
from monai_sfda.errors import DataError, SettingError, nearest
from monai_sfda.evaluation.comparison import (
    ADAPTED,
    BOUND,
    CENTRE_BLOB,
    METRIC_DISPLAY,
    UNADAPTED,
    disagreements,
    gap_closed,
    metric_table,
    order_results,
    undefined_rows,
    with_minus_sign,
)
from monai_sfda.evaluation.figures import bars, curves
from monai_sfda.evaluation.privacy import presentable_settings, withhold_locations
from monai_sfda.files import write_atomically

_FEW_CASES = 10
_WIDE_PIXELS = 800

VERDICTS: dict[str, tuple[str, str]] = {
    "accept": ("Accepted", "The label-free guard found the adapted model better than the unadapted one."),
    "reject": (
        "Rejected",
        "The label-free guard did not find the adapted model safe: the unadapted model stays in use.",
    ),
    "unsure": (
        "Unsure",
        "The label-free guard could not tell. The adapted model is kept as a candidate, not in use.",
    ),
    "none": (
        "Not judged",
        "No guard has judged this run. Do not put the adapted model into use on this report alone.",
    ),
}
"""Verdict of the guard to its title and meaning; `none` where no guard has judged."""


@dataclass
class ReportContent:
    """What a report says.

    Attributes:
        title: of the report.
        task: a task's name in the catalog, or any title of a task.
        method: name of the adaptation method.
        verdict: `accept`, `reject`, `unsure`, or None where no guard has judged.
        reasons: of the verdict, in words.
        results: result name to its summary (`summarise`); `unadapted`, `adapted`, `supervised bound` and
            `centre blob` are recognised and compared. Empty where no case has a reference.
        overlays: (caption, PNG image), e.g. of `figures.overlay_grid`.
        history: (step, name, value) of every recorded loss.
        settings: every setting of the run; nested mappings are written with dots, locations are withheld.
        versions: package to version.
        split: how the cases were chosen, and where the split comes from.
        notes: further remarks.
        volumes: case number to structure to predicted volume in ml, of the adapted model.
        phantom: whether the scans are simulated; the report then says so at its head.
        structures: names and colours for the legend; empty takes those of the catalog's task.
        target_labels_read: what labels of the target the adaptation used (an oracle setting, image-level
            tags), in words; empty means none, which the report then states. Settings named `oracle` are found
            without being told.
        source_data_read: whether the adaptation used scans of the source, as prior matching does.
    """

    title: str
    task: str
    method: str
    verdict: str | None = None
    reasons: Sequence[str] = ()
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    overlays: Sequence[tuple[str, bytes]] = ()
    history: Sequence[tuple[int, str, float]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    notes: Sequence[str] = ()
    volumes: Mapping[int, Mapping[str, float | None]] = field(default_factory=dict)
    phantom: bool = False
    structures: Sequence[Structure] = ()
    target_labels_read: Sequence[str] = ()
    source_data_read: bool = False


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report as one HTML file.

    Raises:
        SettingError: when the verdict is unknown.
        DataError: when an overlay is not a PNG image.
        OutputError: when the file cannot be written.
    """
    write_atomically(path, render_report(content).encode("utf-8"))


def render_report(content: ReportContent) -> str:
    """The HTML text of the report.

    Raises:
        SettingError: when the verdict is unknown.
        DataError: when an overlay is not a PNG image.
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
    labels_read = [*map(withhold_locations, content.target_labels_read), *_oracle_settings(content.settings)]
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
        verdict=verdict,
        verdict_title=VERDICTS[verdict][0],
        verdict_meaning=VERDICTS[verdict][1],
        reasons=[withhold_locations(reason) for reason in content.reasons],
        warnings=_warnings(content.verdict, results, labels_read, source_data_read=content.source_data_read),
        headline=_headline(results),
        results=results,
        tables=[metric_table(results, metric) for metric in METRIC_DISPLAY] if results else [],
        undefined=undefined_rows(results),
        bars=_embed(_dice_bars(results)) if results else None,
        overlays=[(withhold_locations(caption), _embed(image)) for caption, image in content.overlays],
        legend=[(s.name.replace("_", " "), f"rgb{s.color}") for s in structures],
        curves=_embed(curves(history)) if history else None,
        curve_names=list(dict.fromkeys(name for _, name, _ in history)),
        volume_columns=list(dict.fromkeys(name for case in content.volumes.values() for name in case)),
        volumes=dict(sorted(content.volumes.items())),
        settings=presentable_settings(content.settings),
        versions=presentable_settings(content.versions),
        notes=[withhold_locations(note) for note in content.notes],
        labels_read=labels_read,
        source_data_read=content.source_data_read,
    )


def _headline(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    """The figures at the top of the report; None without a result before and after that may be compared."""
    if UNADAPTED not in results or ADAPTED not in results or disagreements(results):
        return None
    before, after = (results[name]["dice"]["mean"] for name in (UNADAPTED, ADAPTED))
    if before is None or after is None:
        return None
    bound = results[BOUND]["dice"]["mean"] if BOUND in results else None
    share = gap_closed(before, after, bound, higher=True)
    return {
        "before": f"{before:.3f}",
        "after": f"{after:.3f}",
        "change": with_minus_sign(f"{after - before:+.3f}"),
        "gap": "" if share is None else with_minus_sign(f"{share:.0%}"),
        "bound": "" if bound is None else f"{bound:.3f}",
        "cases": str(results[ADAPTED]["cases"]),
        "evaluated": f"{results[ADAPTED]['domain']} {results[ADAPTED]['split']}",
    }


def _warnings(
    verdict: str | None,
    results: Mapping[str, Mapping[str, Any]],
    labels_read: Sequence[str],
    *,
    source_data_read: bool,
) -> list[str]:
    """What a reader must know before believing the numbers."""
    warnings = []
    if labels_read:
        warnings.append(
            f"This adaptation used labels of the target ({'; '.join(labels_read)}). "
            "It is a benchmark, not a label-free result."
        )
    if source_data_read:
        warnings.append("This adaptation used scans of the source. It is not source-free.")
    differing = disagreements(results)
    if differing:
        warnings.append(
            f"The results were not obtained in one way and are not compared: {'; '.join(differing)}."
        )
    means = {name: summary["dice"]["mean"] for name, summary in results.items()}
    before, after, blob = means.get(UNADAPTED), means.get(ADAPTED), means.get(CENTRE_BLOB)
    if before is not None and after is not None and not differing:
        if verdict == "accept" and after < before:
            warnings.append(
                "The guard accepted this model, but its mean Dice on labelled cases is lower than before."
            )
        if verdict == "reject" and after > before:
            warnings.append(
                "The guard rejected this model, but its mean Dice on labelled cases is higher than before."
            )
    if after is not None and blob is not None and after <= blob:
        warnings.append(
            "The adapted model does not beat the centre blob, which looks at no image. "
            "Its scores show how the scans were cropped, not that it finds the lesion."
        )
    fewest = min((int(summary["cases"]) for summary in results.values()), default=_FEW_CASES)
    if fewest < _FEW_CASES:
        noun = "case" if fewest == 1 else "cases"
        warnings.append(
            f"With {fewest} {noun}, a single patient can move every mean. Read the spread with the mean."
        )
    return warnings


def _oracle_settings(settings: Mapping[str, object], prefix: str = "") -> list[str]:
    """The settings that say by their value that they read target labels: `oracle`."""
    found = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.extend(_oracle_settings(value, f"{name}."))
        elif isinstance(value, str) and value.strip().lower() == "oracle":
            found.append(f"setting {name} = {value}")
    return found


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

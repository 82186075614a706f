"""Named results side by side: tables of a metric, change through adaptation, share of the gap closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_sfda.evaluation.gap import Withheld, gap_closed, why_withheld

UNADAPTED = "unadapted"
ADAPTED = "adapted"
BOUND = "supervised bound"
CENTRE_BLOB = "centre blob"
RESULT_NAMES = (UNADAPTED, ADAPTED, BOUND, CENTRE_BLOB)
"""Results that are compared; any other is shown beside them."""
MEAN_ROW = "mean of structures"
NOTHING = "\N{EN DASH}"
_SAME_PROTOCOL = ("name", "largest_component")

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """How a metric of `summary.json` is shown."""

    key: str
    title: str
    unit: str
    decimals: int
    higher_is_better: bool


METRIC_DISPLAY: tuple[Metric, ...] = (
    Metric("dice", "Dice", "", 3, True),
    Metric("assd_mm", "Average symmetric surface distance (ASSD)", "mm", 2, False),
    Metric("hd95_mm", "95% Hausdorff distance (HD95)", "mm", 1, False),
    Metric("hd_mm", "Hausdorff distance (HD)", "mm", 1, False),
    Metric("iou", "Intersection over union (IoU)", "", 3, True),
)
PUBLISHED_DISPLAY: tuple[Metric, ...] = (
    Metric("assd_voxel", "ASSD as published, directions averaged", "voxels", 2, False),
    Metric("hd_slice_pixel", "Hausdorff distance of slices", "pixels", 2, False),
    Metric("hd_row_pixel", "Hausdorff distance of rows, as in published code", "pixels", 2, False),
)
"""Distances that a published protocol adds."""


@dataclass(frozen=True)
class Row:
    """One structure or region of one metric.

    Attributes:
        title: of the structure or region.
        cells: a result each, the mean and its detail (spread and number of cases).
        change: adapted - unadapted.
        direction: `better`, `worse`, `same`, or empty without a change.
        gap: share of the gap closed.
        uncertain: whether the change may compare means over different cases.
        withheld: why there is no share, where the bound does not allow one.
    """

    title: str
    cells: tuple[tuple[str, str], ...]
    change: str
    direction: str
    gap: str
    uncertain: bool
    withheld: Withheld | None = None


@dataclass(frozen=True)
class MetricTable:
    """One metric of all results.

    Attributes:
        metric: what is shown.
        columns: names of the results.
        has_change, has_gap: whether the change and the gap closed are shown.
        rows: one a structure, then one a region, the mean of the structures last.
    """

    metric: Metric
    columns: tuple[str, ...]
    has_change: bool
    has_gap: bool
    rows: tuple[Row, ...]

    @property
    def uncertain(self) -> bool:
        """Whether some change may compare means over different cases."""
        return any(row.uncertain for row in self.rows)

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """Why rows have no share of the gap, each reason once."""
        return tuple(dict.fromkeys(row.withheld for row in self.rows if row.withheld is not None))


def result_name(given: str) -> str:
    """The name that a report uses for a result: `bound` and `centre_blob` are understood.

    >>> result_name("bound")
    'supervised bound'
    """
    name = given.replace("_", " ")
    return BOUND if name == "bound" else name if name in RESULT_NAMES else given


def order_results(results: Mapping[str, Summary]) -> dict[str, Summary]:
    """The results in the order of reading: before, after, bound, then the others as given."""
    first = [name for name in (UNADAPTED, ADAPTED, BOUND) if name in results]
    return {name: results[name] for name in (*first, *(n for n in results if n not in first))}


def scored(metric: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What one metric of a summary was measured of: (`per_class` or `per_region`, name, title)."""
    return [
        (group, name, name.replace("_", " ") + note)
        for group, note in (("per_class", ""), ("per_region", " (region)"))
        for name in metric.get(group, {})
    ]


def metrics_in(results: Mapping[str, Summary]) -> tuple[Metric, ...]:
    """The metrics to show: every usual one, and the published ones that all results have."""
    more = (m for m in PUBLISHED_DISPLAY if all(m.key in summary for summary in results.values()))
    return (*METRIC_DISPLAY, *more)


def mean_title(summaries: Iterable[Summary]) -> str:
    """What the means of summaries are over, in words."""
    for summary in summaries:
        names = summary.get("protocol", {}).get("mean_of")
        if names:
            return "mean of " + ", ".join(name.replace("_", " ") for name in names)
    return MEAN_ROW


def protocol_sentences(results: Mapping[str, Summary]) -> list[str]:
    """By which protocol, and on which split of what origin, results were evaluated; each once.

    >>> summary = {"domain": "target", "split": "test", "protocol": {"name": "whole_volume"}}
    >>> protocol_sentences({"adapted": summary, "unadapted": summary})
    ['Adapted, unadapted: evaluation protocol whole_volume; target test split.']
    """
    found: dict[str, list[str]] = {}
    for result, summary in results.items():
        protocol = summary.get("protocol", {})
        whose = f" of {protocol['paper']}" if "paper" in protocol else ""
        whose += ", which looks at the evaluated labels" if protocol.get("looks_at_labels") else ""
        source = f" ({protocol['split_source']})" if protocol.get("split_source") else ""
        evaluated = (
            f"evaluation protocol {protocol.get('name', 'not recorded')}{whose}; "
            f"{summary.get('domain')} {summary.get('split')} split{source}"
        )
        found.setdefault(evaluated, []).append(result)
    listed = [(", ".join(names), evaluated) for evaluated, names in found.items()]
    return [f"{names[:1].upper()}{names[1:]}: {evaluated}." for names, evaluated in listed]


def disagreements(results: Mapping[str, Summary]) -> list[str]:
    """What keeps unadapted, adapted and bound from being compared, in words; none when they agree."""
    compared = [name for name in (UNADAPTED, ADAPTED, BOUND) if name in results]
    found = []
    for what, values in (
        *(
            (key, [results[name].get(key) for name in compared])
            for key in ("task", "domain", "split", "cases")
        ),
        *(
            (f"protocol {key}", [results[name].get("protocol", {}).get(key) for name in compared])
            for key in _SAME_PROTOCOL
        ),
    ):
        if any(value != values[0] for value in values):
            pairs = ", ".join(f"{name}: {value}" for name, value in zip(compared, values, strict=True))
            found.append(f"{what} differs ({pairs})")
    return found


def metric_table(results: Mapping[str, Summary], metric: Metric) -> MetricTable:
    """The table of one metric; changes and gaps only where the results may be compared.

    Args:
        results: result names to summaries (`summarise`), in the order of the columns.
        metric: which one.
    """
    comparable = not disagreements(results)
    has_change = comparable and UNADAPTED in results and ADAPTED in results
    has_gap = has_change and BOUND in results
    measured = list(dict.fromkeys(s for summary in results.values() for s in scored(summary[metric.key])))
    compared = [results[name] for name in (UNADAPTED, ADAPTED, BOUND) if name in results]
    same_cases = {(group, name): _same_cases(compared, metric, group, name) for group, name, _ in measured}
    rows = [
        _row(
            title,
            {result: _entry(summary, metric, group, name) for result, summary in results.items()},
            metric,
            has_change=has_change,
            has_gap=has_gap,
            same_cases=same_cases[group, name],
        )
        for group, name, title in measured
    ]
    means = {name: {"mean": summary[metric.key]["mean"]} for name, summary in results.items()}
    averaged = next((s["protocol"].get("mean_of") for s in results.values() if "protocol" in s), None)
    all_same = all(
        same
        for (group, name), same in same_cases.items()
        if (name in averaged if averaged else group == "per_class")
    )
    title = mean_title(results.values())
    mean_row = _row(title, means, metric, has_change=has_change, has_gap=has_gap, same_cases=all_same)
    return MetricTable(metric, tuple(results), has_change, has_gap, (*rows, mean_row))


def _entry(summary: Summary, metric: Metric, group: str, name: str) -> Mapping[str, Any]:
    """Mean, deviation and number of cases of a structure or region; empty where it was not scored."""
    entry: Mapping[str, Any] = summary[metric.key].get(group, {}).get(name, {})
    return entry


def _same_cases(summaries: Sequence[Summary], metric: Metric, group: str, name: str) -> bool:
    """Whether the means of a structure or region are surely over the same cases.

    They are when no case is left out, and also when every case left out lacks the structure in both, because
    then those are the cases whose reference lacks it.
    """
    complete = all(_entry(summary, metric, group, name).get("n") == summary["cases"] for summary in summaries)
    return complete or all(
        summary["undefined"].get(name, {"one_empty": 1})["one_empty"] == 0 for summary in summaries
    )


def _row(
    title: str,
    entries: Mapping[str, Mapping[str, Any]],
    metric: Metric,
    *,
    has_change: bool,
    has_gap: bool,
    same_cases: bool,
) -> Row:
    values = {name: entry.get("mean") for name, entry in entries.items()}
    before, after = values.get(UNADAPTED), values.get(ADAPTED)
    change, direction, gap, withheld = NOTHING, "", NOTHING, None
    if has_change and before is not None and after is not None:
        change, direction = _change(after - before, metric)
    if has_gap and same_cases:
        bound, higher = values[BOUND], metric.higher_is_better
        withheld = why_withheld(before, bound, values.get(CENTRE_BLOB), higher)
        share = gap_closed(before, after, bound, higher)
        if withheld is None and share is not None:
            gap = with_minus_sign(f"{share:.0%}")
    return Row(
        title=title,
        cells=tuple(_cell(entry, metric) for entry in entries.values()),
        change=change,
        direction=direction if same_cases else "",
        gap=gap,
        uncertain=not same_cases and change != NOTHING,
        withheld=withheld,
    )


def _cell(entry: Mapping[str, Any], metric: Metric) -> tuple[str, str]:
    mean, std, n = entry.get("mean"), entry.get("std"), entry.get("n")
    value = NOTHING if mean is None else f"{mean:.{metric.decimals}f}"
    spread = "" if std is None else f"± {std:.{metric.decimals}f}"
    count = "" if n is None else f"n {n}"
    return value, ", ".join(part for part in (spread, count) if part)


def _change(difference: float, metric: Metric) -> tuple[str, str]:
    text = with_minus_sign(f"{difference:+.{metric.decimals}f}")
    if float(f"{difference:.{metric.decimals}f}") == 0:
        return f"{0:.{metric.decimals}f}", "same"
    return text, "better" if (difference > 0) == metric.higher_is_better else "worse"


def with_minus_sign(number: str) -> str:
    """The number with a typographic minus for its hyphen, which screen readers read as one."""
    return number.replace("-", "\N{MINUS SIGN}")


def undefined_rows(results: Mapping[str, Summary]) -> list[tuple[str, str, str, str, str]]:
    """List (result, structure, cases with both empty, missed, invented) where there is such a case.

    A summary of an earlier version does not tell missed from invented; it then says so in words.
    """
    rows = []
    for name, summary in results.items():
        for structure, counts in summary["undefined"].items():
            both, one = int(counts["both_empty"]), int(counts["one_empty"])
            if not both and not one:
                continue
            split = summary.get("one_empty", {}).get(structure)
            missed, invented = (
                (f"{one} missed or invented", NOTHING)
                if split is None and one
                else ("0", "0")
                if split is None
                else (str(split["missed"]), str(split["invented"]))
            )
            rows.append((name, structure.replace("_", " "), str(both), missed, invented))
    return rows

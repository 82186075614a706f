"""What `monai-sfda check` prints: a table of what is there, and for every job what keeps it from starting."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from monai_sfda.catalog import Task
from monai_sfda.data.inspection import CaseSummary
from monai_sfda.errors import SfdaError
from monai_sfda.workflow.check import DataCheck, SplitCheck

_FILES_NAMED = 10
_HEADINGS = ("", "subjects", "scans", "voxels; their size; where the axes point")


def check_page(result: DataCheck, task: Task, width: int) -> str:
    """The page as plain text.

    Args:
        result: of the check.
        task: that was checked.
        width: characters a line.
    """
    lines = [*_wrapped(f"{task.title}: what is there and will be used", width, "", ""), ""]
    if result.splits:
        lines += [*_table(result.splits, width), ""]
        lines += [*_facts(result.splits, task, width), ""]
    for jobs, faults in _by_jobs(result):
        lines.append(f"{', '.join(jobs)}: {'not ready' if faults else 'ready'}")
        lines += _grouped(faults, width)
    if result.doubts:
        lines += ["", "to look at, though it keeps no job from starting:", *_grouped(result.doubts, width)]
    return "\n".join(lines)


def _by_jobs(result: DataCheck) -> list[tuple[list[str], Sequence[SfdaError]]]:
    """The jobs and their faults, the same ones together; of unusual jobs those with faults."""
    groups: list[tuple[list[str], Sequence[SfdaError]]] = []
    for job, faults in result.faults.items():
        same = next(
            (j for j, others in groups if faults and [*map(str, others)] == [*map(str, faults)]), None
        )
        if same is not None:
            same.append(job)
        elif faults or job in result.jobs:
            groups.append(([job], faults))
    return groups


def _table(splits: Sequence[SplitCheck], width: int) -> Iterator[str]:
    rows = [_HEADINGS, *(_row(check) for check in splits)]
    sizes = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        start = "  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=False)) + "  "
        yield from _wrapped(row[3], width, start, " " * len(start))


def _row(check: SplitCheck) -> tuple[str, str, str, str]:
    expected = "" if check.expected is None else f" of {check.expected}"
    grid = geometry_of(check.summaries)
    if check.seen_before:
        grid = "the same scans as above"
    good = sum(i.error is None for i in check.inspections)
    bad = len(check.inspections) - good + len(check.found.faults)
    scans = f"{len(check.found.list.cases)}" + (f", {bad} bad" if bad else "")
    return f"{check.domain} {check.split}", f"{check.subjects}{expected}", scans, grid


def _facts(splits: Sequence[SplitCheck], task: Task, width: int) -> Iterator[str]:
    """Labels and missing ids of every split, and where the splits come from."""
    for check in splits:
        if check.summaries and not check.seen_before:
            structures = classes_of(check.summaries, task) if check.labelled else "no labels"
            yield from _wrapped(structures, width, f"{check.domain} {check.split}: ", "  ")
    for check in splits:
        known = (*check.found.list.overlaps, *(check.found.list.warnings if check.missing else ()))
        for warning in check.found.list.warnings:
            if warning not in known:
                yield from _wrapped(warning, width, f"{check.domain} {check.split}: ", "  ")
        if check.missing:
            yield from _wrapped(", ".join(check.missing), width, f"{check.domain} {check.split} lacks ", "  ")
    sources = {(check.domain, check.split_source): None for check in splits}
    for domain, words in sources:
        yield from _wrapped(words, width, f"{domain} split: ", "  ")


def _grouped(faults: Sequence[SfdaError], width: int) -> Iterator[str]:
    """Faults of one kind together: what is wrong and what to do, then the files."""
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for fault in faults:
        groups.setdefault((fault.what, fault.remedy), {})[fault.where() or ""] = None
    for (what, remedy), places in groups.items():
        named = [place for place in places if place]
        yield from _wrapped(f"{what}: {remedy}", width, "  - ", "    ")
        for place in named[:_FILES_NAMED]:
            yield f"      {place}"
        if len(named) > _FILES_NAMED:
            yield f"      and {len(named) - _FILES_NAMED} more"


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    """Lines of a text; a word that is longer than a line, such as a path, stays whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def geometry_of(summaries: Sequence[CaseSummary]) -> str:
    """Ranges of shape and spacing, and the orientations, in words; of pictures, the shape."""
    if not summaries:
        return "-"

    def span(values: Sequence[float], unit: str = "") -> str:
        low, high = min(values), max(values)
        return f"{low:g}{unit}" if low == high else f"{low:g} to {high:g}{unit}"

    shape = " x ".join(span([s.shape[axis] for s in summaries]) for axis in range(3))
    spacings = [s.spacing_mm for s in summaries if s.spacing_mm is not None]
    if not spacings:
        return f"{shape} pixels"
    spacing = " x ".join(span([round(s[axis], 2) for s in spacings]) for axis in range(3))
    return f"{shape} voxels; {spacing} mm; {', '.join(sorted({s.orientation for s in summaries}))}"


def classes_of(summaries: Sequence[CaseSummary], task: Task) -> str:
    """In how many scans each structure was found, in words; of the scans whose labels are good."""
    summaries = [c for c in summaries if c.classes is not None]
    if not summaries:
        return "no good label"
    if all(set(c.classes or ()) == {s.index for s in task.structures} for c in summaries):
        return "every structure in every scan"
    counts = {s.name: sum(s.index in (c.classes or ()) for c in summaries) for s in task.structures}
    listed = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
    return f"scans with {listed}"

"""`monai-sfda check`: what is found, missing or wrong in a download, before a long run starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_sfda.catalog import SeededSplit, Task
from monai_sfda.data.listing import CaseList, list_cases
from monai_sfda.data.reading import CaseSummary, inspect_cases
from monai_sfda.errors import DataError, NoScansError
from monai_sfda.release import MINIMUM_SUBJECTS

SPLITS = ("train", "val", "test")
BOUND = "train --domain target"
JOBS = ("train", "adapt", "evaluate", BOUND)


@dataclass(frozen=True)
class SplitCheck:
    """What was found of one split of one domain.

    Attributes:
        domain, split: which.
        expected: subjects of the official split; None where there is none.
        subjects: found.
        missing: official subject ids that are not there.
        labelled: whether labels were found and checked.
        summaries: of the good scans.
        errors: of the bad ones.
        split_source: where the split comes from.
        overlaps: lists of the domain that share subjects with this one, in words.
        label_errors: of target scans whose image is good: the bound needs the label, adaptation does not.
    """

    domain: str
    split: str
    expected: int | None
    subjects: int
    missing: tuple[str, ...]
    labelled: bool
    summaries: tuple[CaseSummary, ...]
    errors: tuple[DataError, ...]
    split_source: str
    overlaps: tuple[str, ...] = ()
    label_errors: tuple[DataError, ...] = ()


@dataclass
class DataCheck:
    """The whole result.

    Attributes:
        splits: one entry a split that has scans.
        problems: what keeps a job from starting or its result from meaning anything, by job (`JOBS`).
    """

    splits: list[SplitCheck] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)


def check_data(
    task: Task,
    dataset_dir: Path,
    *,
    datalist: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> DataCheck:
    """Lists and reads everything that the bundles' jobs would use.

    Args:
        task: of the catalog.
        dataset_dir: folder with the unpacked downloads.
        datalist: JSON that replaces the official layouts.
        progress: called with (what is read, done, in all).
    """
    result = DataCheck(problems={job: [] for job in JOBS})
    for domain in ("source", "target"):
        seen: set[tuple[Path, ...]] = set()
        for split in SPLITS:
            checked = _check_split(task, domain, split, dataset_dir, datalist, seen, progress, result)
            if checked is not None:
                result.splits.append(checked)
    _judge(result)
    result.problems = {job: list(dict.fromkeys(problems)) for job, problems in result.problems.items()}
    return result


def _check_split(
    task: Task,
    domain: str,
    split: str,
    dataset_dir: Path,
    datalist: Path | None,
    seen: set[tuple[Path, ...]],
    progress: Callable[[str, int, int], None] | None,
    result: DataCheck,
) -> SplitCheck | None:
    def listed(labels: bool) -> CaseList:
        return list_cases(task, domain, split, dataset_dir, datalist=datalist, labels=labels)

    try:
        cases = listed(labels=False)
    except NoScansError:
        return None
    except DataError as error:
        result.problems["train" if domain == "source" else "adapt"].append(str(error))
        return None
    labelled, label_error = True, []
    try:
        cases = listed(labels=True)
    except DataError as error:
        labelled, label_error = False, [error]
    fresh = [case for case in cases.cases if case.image not in seen]
    seen.update(case.image for case in fresh)

    def advance(done: int, total: int) -> None:
        if progress is not None:
            progress(f"{domain} {split}", done, total)

    summaries, errors = inspect_cases(fresh, task, domain, labelled, advance, threads=2)
    label_errors: list[DataError] = []
    if domain == "target" and split != "test" and labelled and errors:
        _, image_errors = inspect_cases(fresh, task, domain, False, advance, threads=2)
        bad_images = {str(error) for error in image_errors}
        label_errors = [error for error in errors if str(error) not in bad_images]
        errors = image_errors
    rule = task.domain(domain).splits
    official = None if datalist is not None or isinstance(rule, SeededSplit) else len(rule.get(split, ()))
    # A target scan needs no label to be adapted to; elsewhere a missing one is an error.
    needed = domain == "source" or split == "test"
    return SplitCheck(
        domain,
        split,
        official,
        len({case.subject for case in cases.cases}),
        cases.missing,
        labelled,
        tuple(summaries),
        tuple(errors + (label_error if needed else [])),
        cases.split_source,
        cases.overlaps,
        tuple(label_errors),
    )


def _judge(result: DataCheck) -> None:
    """Which jobs could not start, and why."""
    found = {(s.domain, s.split): s for s in result.splits}
    uses = {
        "train": [("source", "train"), ("source", "val")],
        "adapt": [("target", "train")],
        "evaluate": [("target", "test")],
    }
    for job, splits in uses.items():
        for name in splits:
            check = found.get(name)
            if check is None:
                if name[1] != "val":
                    result.problems[job].append(f"no {name[0]} scans for the {name[1]} split")
                continue
            result.problems[job] += [str(error) for error in check.errors]
            result.problems[BOUND] += [str(error) for error in check.label_errors]
            if job == "evaluate":
                result.problems[job] += check.overlaps
    source = found.get(("source", "train"))
    if source is not None and source.subjects < MINIMUM_SUBJECTS:
        result.problems["train"].append(
            f"{source.subjects} source subjects; a release must rest on at least {MINIMUM_SUBJECTS}"
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
    """In how many scans each structure was found."""
    counts = {s.name: sum(s.index in (c.classes or ()) for c in summaries) for s in task.structures}
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())

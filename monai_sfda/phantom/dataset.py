"""Whole phantom data sets: which subjects, in which layout, and how an interrupted run is taken up."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_sfda.catalog import Domain, find_task
from monai_sfda.errors import OutputError, SettingError, nearest
from monai_sfda.phantom.anatomy import make_abdomen
from monai_sfda.phantom.brain_anatomy import make_brain
from monai_sfda.phantom.brain_mr import draw_brain_scanner
from monai_sfda.phantom.brain_tissues import Grade
from monai_sfda.phantom.brats import (
    FULL_MATRIX,
    ROOT,
    brats_grid,
    brats_subjects,
    find_brats_subject,
    time_points,
    write_brats_case,
)
from monai_sfda.phantom.btcv import btcv_files, write_btcv_subject
from monai_sfda.phantom.chaos import write_chaos_subject
from monai_sfda.phantom.ct import draw_ct_scanner
from monai_sfda.phantom.manifest import claim_folder, describe, mark_complete
from monai_sfda.phantom.mr import draw_mr_scanner
from monai_sfda.phantom.sampling import check_matrix, ct_grid, mr_grid

#: What there are phantoms of, and the default number of pixels across a slice. The brain's bundles are tasks
#: of their own on one data set, so its phantoms are named after the organ.
PHANTOM_TASKS = {"abdomen": 256, "brain": FULL_MATRIX}


@dataclass(frozen=True)
class SubjectSeeds:
    """Independent seeds of one subject: of anatomy, sampling grid, scanner, and of chance in imaging."""

    anatomy: np.random.SeedSequence
    grid: np.random.SeedSequence
    scanner: np.random.SeedSequence
    imaging: np.random.SeedSequence

    @classmethod
    def of(cls, seed: int, group: str, subject: str) -> SubjectSeeds:
        """They depend on the data set's seed and the subject alone, not on how many subjects there are."""
        key = zlib.crc32(f"{group}/{subject}".encode())
        return cls(*np.random.SeedSequence([seed, key]).spawn(4))


@dataclass(frozen=True)
class Group:
    """Subjects that are written alike: a domain of the abdomen's task, a grade of tumour of the brain.

    Attributes:
        name: `source`, `target`; `HGG`, `LGG`.
        dataset: whose layout they have.
        ids: of the subjects.
    """

    name: str
    dataset: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    out: Path
    group: str
    dataset: str
    subject: str
    seed: int
    matrix: int
    t1dual: bool


def write_phantoms(
    task: str,
    out: Path,
    subjects: int,
    seed: int,
    *,
    matrix: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    t1dual: bool = False,
) -> None:
    """Write phantom subjects in the official layouts of a task's data sets.

    `abdomen`: source (CHAOS) and target (BTCV) subjects, who have different anatomies; ids are official ones,
    of training and test subjects in about the official proportion (see `choose_subjects`). `brain`: high-
    and low-grade gliomas in the layout of BraTS 2018. A folder that an interrupted call with the same
    settings left is completed; `phantom.json` in it says what it holds.

    Args:
        task: one of `PHANTOM_TASKS`.
        out: folder to write to; absent, empty, or a phantom with the same settings.
        subjects: subjects per domain or grade.
        seed: of everything; the files depend on it and on `matrix` and `t1dual` alone.
        matrix: pixels across a slice; None for that of `PHANTOM_TASKS`. The field of view is the same for
            all.
        workers: processes; 1 for none but this one.
        progress: called with the number of finished and of all subjects.
        t1dual: write the two-point gradient echo of the abdomen's MR subjects too.

    Raises:
        SettingError: on a task without phantoms, or impossible numbers.
        OutputError: when the folder holds something else or cannot be written.
    """
    if task not in PHANTOM_TASKS:
        raise SettingError(
            f"there are no phantoms of task '{task}'",
            remedy=f"use one of {', '.join(nearest(task, PHANTOM_TASKS))}",
        )
    size = PHANTOM_TASKS[task] if matrix is None else matrix
    groups = _brain_groups(subjects, size) if task == "brain" else _domain_groups(task, subjects, size)
    if t1dual and task != "abdomen":
        raise SettingError(f"task '{task}' has no two-point gradient echo", remedy="leave t1dual out")
    if seed < 0:
        raise SettingError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    if workers < 1:
        raise SettingError(f"{workers} workers cannot work", remedy="give 1 or more")
    manifest = describe(task, seed, size, t1dual, {g.name: (g.dataset, list(g.ids)) for g in groups})
    claim_folder(out, manifest)
    jobs = [_Job(out, g.name, g.dataset, subject, seed, size, t1dual) for g in groups for subject in g.ids]
    for done, _ in enumerate(_run(jobs, workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    mark_complete(out, manifest)


def _domain_groups(task: str, subjects: int, matrix: int) -> list[Group]:
    check_matrix(matrix)
    definition = find_task(task)
    return [
        Group(name, domain.dataset, tuple(choose_subjects(domain, subjects)))
        for name, domain in (("source", definition.source), ("target", definition.target))
    ]


def _brain_groups(subjects: int, matrix: int) -> list[Group]:
    brats_grid(matrix)
    grades: tuple[Grade, Grade] = ("HGG", "LGG")
    return [Group(grade, "brats", tuple(s.id for s in brats_subjects(grade, subjects))) for grade in grades]


def choose_subjects(domain: Domain, count: int) -> list[str]:
    """`count` official ids in the order of the official list; a larger choice contains every smaller one.

    About the official share of them are test subjects: at least 1 of 2, and at least 3 of 10.

    Raises:
        SettingError: when there are fewer official ids, or less than one is asked for.
    """
    test = list(dict.fromkeys(domain.splits["test"]))
    train = [s for s in dict.fromkeys((*domain.splits["train"], *domain.splits["val"])) if s not in test]
    total = len(train) + len(test)
    if not 1 <= count <= total:
        raise SettingError(
            f"{count} subjects per domain are not possible",
            remedy=f"give 1 to {total}, as {domain.title} has {total} subjects",
        )
    minimum = 3 if count >= 10 else 1 if count >= 2 else 0
    tests = min(max(round(count * len(test) / total), minimum, count - len(train)), len(test))
    return sorted(train[: count - tests] + test[:tests], key=lambda subject: (len(subject), subject))


def _write_chaos(job: _Job, seeds: SubjectSeeds) -> None:
    final = job.out / "Train_Sets" / "MR" / job.subject
    if final.exists():
        return
    with _temporary_folder(job) as folder:
        write_chaos_subject(
            folder / job.subject,
            job.subject,
            make_abdomen(seeds.anatomy),
            mr_grid(seeds.grid, job.matrix),
            draw_mr_scanner(seeds.scanner),
            seeds.imaging,
            t1dual=job.t1dual,
        )
        final.parent.mkdir(parents=True, exist_ok=True)
        (folder / job.subject).replace(final)


def _write_btcv(job: _Job, seeds: SubjectSeeds) -> None:
    files = btcv_files(job.out, job.subject)
    if all(file.exists() for file in files):
        return
    with _temporary_folder(job) as folder:
        temporary = folder / files[0].name, folder / files[1].name
        grid = ct_grid(seeds.grid, job.matrix)
        write_btcv_subject(
            *temporary, make_abdomen(seeds.anatomy), grid, draw_ct_scanner(seeds.scanner), seeds.imaging
        )
        for source, final in zip(temporary, files, strict=True):
            final.parent.mkdir(parents=True, exist_ok=True)
            source.replace(final)


def _write_brats(job: _Job, seeds: SubjectSeeds) -> None:
    grade: Grade = "HGG" if job.group == "HGG" else "LGG"
    subject = find_brats_subject(grade, job.subject)
    brain = make_brain(seeds.anatomy, grade)
    for case, now in time_points(brain, subject):
        final = job.out / ROOT / grade / case
        if final.exists():
            continue
        chance = SubjectSeeds.of(job.seed, grade, case)
        with _temporary_folder(job) as folder:
            scanner = draw_brain_scanner(chance.scanner)
            write_brats_case(folder / case, now, job.matrix, scanner, chance.imaging, subject.slope)
            final.parent.mkdir(parents=True, exist_ok=True)
            (folder / case).replace(final)


_WRITERS: dict[str, Callable[[_Job, SubjectSeeds], None]] = {
    "chaos": _write_chaos,
    "btcv": _write_btcv,
    "brats": _write_brats,
}


def _write_subject(job: _Job) -> None:
    try:
        _WRITERS[job.dataset](job, SubjectSeeds.of(job.seed, job.group, job.subject))
    except OSError as error:
        raise OutputError(
            f"subject {job.subject} of {job.dataset} cannot be written ({error.strerror})",
            remedy="free some space or choose another folder",
        ) from error


def _run(jobs: list[_Job], workers: int) -> Iterator[None]:
    """Do all jobs, yielding after each; the first error stops the rest."""
    if workers == 1 or len(jobs) == 1:
        yield from map(_write_subject, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs))) as pool:
        futures: list[Future[None]] = [pool.submit(_write_subject, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _temporary_folder(job: _Job) -> Iterator[Path]:
    """A folder beside the final place, gone afterwards; what an interrupted run left is removed first."""
    folder = job.out / f".{job.group}-{job.subject}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

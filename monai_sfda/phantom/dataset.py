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
from monai_sfda.errors import OutputError, SettingError
from monai_sfda.phantom.anatomy import make_abdomen
from monai_sfda.phantom.btcv import btcv_files, write_btcv_subject
from monai_sfda.phantom.chaos import write_chaos_subject
from monai_sfda.phantom.ct import draw_ct_scanner
from monai_sfda.phantom.manifest import claim_folder, describe, mark_complete
from monai_sfda.phantom.mr import draw_mr_scanner
from monai_sfda.phantom.sampling import check_matrix, ct_grid, mr_grid

DEFAULT_MATRIX = 256


@dataclass(frozen=True)
class SubjectSeeds:
    """Independent seeds of one subject: of anatomy, sampling grid, scanner, and of chance in imaging."""

    anatomy: np.random.SeedSequence
    grid: np.random.SeedSequence
    scanner: np.random.SeedSequence
    imaging: np.random.SeedSequence

    @classmethod
    def of(cls, seed: int, domain: str, subject: str) -> SubjectSeeds:
        """They depend on the data set's seed and the subject alone, not on how many subjects there are."""
        key = zlib.crc32(f"{domain}/{subject}".encode())
        return cls(*np.random.SeedSequence([seed, key]).spawn(4))


@dataclass(frozen=True)
class _Job:
    out: Path
    domain: str
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
    """Write phantom subjects of both domains of a task in their official layouts.

    Source and target subjects have different anatomies. Ids are official ones, of training and test subjects
    in about the official proportion (see `choose_subjects`). A folder that an interrupted call with the same
    settings left is completed; `phantom.json` in it says what it holds.

    Args:
        task: name of a task of the catalog.
        out: folder to write to; absent, empty, or a phantom with the same settings.
        subjects: subjects per domain.
        seed: of everything; the files depend on it and on `matrix` and `t1dual` alone.
        matrix: pixels across a slice; None for 256. The field of view is the same for all.
        workers: processes; 1 for none but this one.
        progress: called with the number of finished and of all subjects.
        t1dual: write the MR subjects' two-point gradient echo too.

    Raises:
        SettingError: on an unknown task, one without phantoms, or impossible numbers.
        OutputError: when the folder holds something else or cannot be written.
    """
    definition = find_task(task)
    size = check_matrix(DEFAULT_MATRIX if matrix is None else matrix)
    if seed < 0:
        raise SettingError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    if workers < 1:
        raise SettingError(f"{workers} workers cannot work", remedy="give 1 or more")
    domains = {"source": definition.source, "target": definition.target}
    for domain in domains.values():
        if domain.dataset not in _WRITERS:
            raise SettingError(
                f"there are no phantoms of the data set '{domain.dataset}' of task '{task}'",
                remedy="use the task 'abdomen'",
            )
    chosen = {name: choose_subjects(domain, subjects) for name, domain in domains.items()}
    ids = {name: (domains[name].dataset, chosen[name]) for name in domains}
    manifest = describe(task, seed, size, t1dual, ids)
    claim_folder(out, manifest)
    jobs = [
        _Job(out, name, domains[name].dataset, subject, seed, size, t1dual)
        for name, ids in chosen.items()
        for subject in ids
    ]
    for done, _ in enumerate(_run(jobs, workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    mark_complete(out, manifest)


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


_WRITERS: dict[str, Callable[[_Job, SubjectSeeds], None]] = {"chaos": _write_chaos, "btcv": _write_btcv}


def _write_subject(job: _Job) -> None:
    try:
        _WRITERS[job.dataset](job, SubjectSeeds.of(job.seed, job.domain, job.subject))
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
    folder = job.out / f".{job.domain}-{job.subject}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

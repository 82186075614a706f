"""Whole phantom data sets: which there are, and how an interrupted run is taken up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from monai_sfda.catalog import TASKS
from monai_sfda.errors import OutputError, SettingError, nearest
from monai_sfda.phantom.abdomen_dataset import ABDOMEN_PHANTOMS
from monai_sfda.phantom.brain_dataset import BRAIN_PHANTOMS
from monai_sfda.phantom.heart_dataset import HEART_PHANTOMS
from monai_sfda.phantom.jobs import Job, PhantomTask, SubjectSeeds
from monai_sfda.phantom.manifest import claim_folder, describe, mark_complete
from monai_sfda.phantom.spine_dataset import SPINE_PHANTOMS
from monai_sfda.phantom.street_dataset import STREET_PHANTOMS

#: What there are phantoms of. The brain's bundles are tasks of their own on one data set, so its phantoms are
#: named after the organ.
PHANTOM_TASKS: dict[str, PhantomTask] = {
    "abdomen": ABDOMEN_PHANTOMS,
    "cardiac": HEART_PHANTOMS,
    "brain": BRAIN_PHANTOMS,
    "spine": SPINE_PHANTOMS,
    "street": STREET_PHANTOMS,
}
Writer = Callable[[Job, SubjectSeeds], None]


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
    of training and test subjects in about the official proportion (see `choose_subjects`). `cardiac`: source
    and target subjects of MMWHS (MR and CT), chosen in the same way. `brain`: high- and low-grade gliomas in
    the layout of BraTS 2018. `spine`: subjects at two times in the layout of IVDM3Seg. `street`: drives of 16
    scenes, drawn as a game (GTA5, SYNTHIA) and as a camera sees them (Cityscapes, by city). A folder that an
    interrupted call with the same
    settings left is completed; `phantom.json` in it says what it holds.

    Args:
        task: one of `PHANTOM_TASKS`, or a task of the catalog, whose data set is written.
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
    task = TASKS[task].phantom_name if task in TASKS else task
    if task not in PHANTOM_TASKS:
        raise SettingError(
            f"there are no phantoms of task '{task}'",
            remedy=f"use one of {', '.join(nearest(task, PHANTOM_TASKS))}",
        )
    made = PHANTOM_TASKS[task]
    size = made.matrix if matrix is None else matrix
    groups = made.groups(subjects, size)
    if t1dual and not made.t1dual:
        raise SettingError(f"task '{task}' has no two-point gradient echo", remedy="leave t1dual out")
    if seed < 0:
        raise SettingError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    if workers < 1:
        raise SettingError(f"{workers} workers cannot work", remedy="give 1 or more")
    ids = {group.name: (group.dataset, list(group.ids)) for group in groups}
    manifest = describe(task, made.version, seed, size, t1dual, ids)
    claim_folder(out, manifest)
    if made.describe is not None:
        made.describe(out, groups)
    jobs = [Job(out, g.name, g.dataset, subject, seed, size, t1dual) for g in groups for subject in g.ids]
    for done, _ in enumerate(_run(made.write, jobs, workers), start=1):
        if progress is not None:
            progress(done, len(jobs))
    mark_complete(out, manifest)


def _write_subject(write: Writer, job: Job) -> None:
    try:
        write(job, SubjectSeeds.of(job.seed, job.group, job.subject))
    except OSError as error:
        raise OutputError(
            f"subject {job.subject} of {job.dataset} cannot be written ({error.strerror})",
            remedy="free some space or choose another folder",
        ) from error


def _run(write: Writer, jobs: list[Job], workers: int) -> Iterator[None]:
    """Do all jobs, yielding after each; the first error stops the rest."""
    if workers == 1 or len(jobs) == 1:
        yield from map(partial(_write_subject, write), jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs))) as pool:
        futures: list[Future[None]] = [pool.submit(_write_subject, write, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

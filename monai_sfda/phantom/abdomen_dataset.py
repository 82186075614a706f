"""Phantoms of the abdomen's task: CHAOS MR as the source, BTCV CT as the target, of different subjects."""

from __future__ import annotations

from monai_sfda.catalog import ABDOMEN
from monai_sfda.phantom.anatomy import make_abdomen
from monai_sfda.phantom.btcv import btcv_files, write_btcv_subject
from monai_sfda.phantom.chaos import write_chaos_subject
from monai_sfda.phantom.ct import draw_ct_scanner
from monai_sfda.phantom.jobs import Group, Job, PhantomTask, SubjectSeeds, choose_subjects, temporary_folder
from monai_sfda.phantom.mr import draw_mr_scanner
from monai_sfda.phantom.sampling import check_matrix, ct_grid, mr_grid


def _groups(subjects: int, matrix: int) -> list[Group]:
    check_matrix(matrix)
    return [
        Group(name, domain.dataset, tuple(choose_subjects(domain, subjects)))
        for name, domain in (("source", ABDOMEN.source), ("target", ABDOMEN.target))
    ]


def _write(job: Job, seeds: SubjectSeeds) -> None:
    if job.dataset == "chaos":
        _write_chaos(job, seeds)
    else:
        _write_btcv(job, seeds)


def _write_chaos(job: Job, seeds: SubjectSeeds) -> None:
    final = job.out / "Train_Sets" / "MR" / job.subject
    if final.exists():
        return
    with temporary_folder(job) as folder:
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


def _write_btcv(job: Job, seeds: SubjectSeeds) -> None:
    files = btcv_files(job.out, job.subject)
    if all(file.exists() for file in files):
        return
    with temporary_folder(job) as folder:
        temporary = folder / files[0].name, folder / files[1].name
        grid = ct_grid(seeds.grid, job.matrix)
        write_btcv_subject(
            *temporary, make_abdomen(seeds.anatomy), grid, draw_ct_scanner(seeds.scanner), seeds.imaging
        )
        for source, final in zip(temporary, files, strict=True):
            final.parent.mkdir(parents=True, exist_ok=True)
            source.replace(final)


ABDOMEN_PHANTOMS = PhantomTask(256, _groups, _write, t1dual=True)

"""Phantoms of the cardiac task: MMWHS MR as the source, MMWHS CT as the target, of different subjects."""

from __future__ import annotations

from monai_sfda.catalog import CARDIAC
from monai_sfda.phantom.ct import CtImage
from monai_sfda.phantom.heart_anatomy import make_thorax
from monai_sfda.phantom.heart_ct import draw_angiography, image_heart_ct
from monai_sfda.phantom.heart_grids import heart_ct_grid, heart_mr_grid
from monai_sfda.phantom.heart_mr import HeartMrImage, draw_heart_mr_scanner, image_heart_mr
from monai_sfda.phantom.jobs import Group, Job, PhantomTask, SubjectSeeds, choose_subjects, temporary_folder
from monai_sfda.phantom.mmwhs import Modality, mmwhs_files, write_mmwhs_subject
from monai_sfda.phantom.sampling import check_matrix


def _groups(subjects: int, matrix: int) -> list[Group]:
    check_matrix(matrix)
    return [
        Group(name, domain.dataset, tuple(choose_subjects(domain, subjects)))
        for name, domain in (("source", CARDIAC.source), ("target", CARDIAC.target))
    ]


def _write(job: Job, seeds: SubjectSeeds) -> None:
    modality: Modality = "mr" if job.group == "source" else "ct"
    files = mmwhs_files(job.out, modality, job.subject)
    if all(file.exists() for file in files):
        return
    thorax = make_thorax(seeds.anatomy)
    image: HeartMrImage | CtImage
    if modality == "mr":
        grid = heart_mr_grid(seeds.grid, job.matrix)
        image = image_heart_mr(thorax, grid, draw_heart_mr_scanner(seeds.scanner), seeds.imaging)
    else:
        grid = heart_ct_grid(seeds.grid, job.matrix)
        image = image_heart_ct(thorax, grid, draw_angiography(seeds.scanner), seeds.imaging)
    with temporary_folder(job) as folder:
        image_file, label_file = (folder / file.name for file in files)
        write_mmwhs_subject(image_file, label_file, image, modality, job.subject)
        for source, final in zip((image_file, label_file), files, strict=True):
            final.parent.mkdir(parents=True, exist_ok=True)
            source.replace(final)


HEART_PHANTOMS = PhantomTask(192, _groups, _write)

"""Phantoms of the brain: high- and low-grade gliomas in the layout of BraTS 2018."""

from __future__ import annotations

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
from monai_sfda.phantom.jobs import Group, Job, PhantomTask, SubjectSeeds, temporary_folder


def _groups(subjects: int, matrix: int) -> list[Group]:
    brats_grid(matrix)
    grades: tuple[Grade, Grade] = ("HGG", "LGG")
    return [Group(grade, "brats", tuple(s.id for s in brats_subjects(grade, subjects))) for grade in grades]


def _write(job: Job, seeds: SubjectSeeds) -> None:
    grade: Grade = "HGG" if job.group == "HGG" else "LGG"
    subject = find_brats_subject(grade, job.subject)
    brain = make_brain(seeds.anatomy, grade)
    for case, now in time_points(brain, subject):
        final = job.out / ROOT / grade / case
        if final.exists():
            continue
        chance = SubjectSeeds.of(job.seed, grade, case)
        with temporary_folder(job) as folder:
            scanner = draw_brain_scanner(chance.scanner, subject.older)
            write_brats_case(folder / case, now, job.matrix, scanner, chance.imaging, subject.slope)
            final.parent.mkdir(parents=True, exist_ok=True)
            (folder / case).replace(final)


BRAIN_PHANTOMS = PhantomTask(FULL_MATRIX, _groups, _write, version=3)

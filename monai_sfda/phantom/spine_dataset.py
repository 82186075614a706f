"""Phantoms of the spine: subjects examined twice, in the layout of IVDM3Seg."""

from __future__ import annotations

from pathlib import Path

from monai_sfda.errors import SettingError
from monai_sfda.files import write_json
from monai_sfda.phantom.ivdm3seg import (
    FULL_MATRIX,
    SUBJECTS_FILE,
    ivdm3seg_grid,
    set_files,
    write_ivdm3seg_set,
)
from monai_sfda.phantom.jobs import Group, Job, PhantomTask, SubjectSeeds, temporary_folder
from monai_sfda.phantom.sampling import check_matrix
from monai_sfda.phantom.spine_anatomy import make_spine
from monai_sfda.phantom.spine_mr import draw_spine_scanner

_MOST_SUBJECTS = 49  # two digits number the sets
_SWELLING = 1.08  # of the discs in bed


def _groups(subjects: int, matrix: int) -> list[Group]:
    check_matrix(matrix)
    if not 1 <= subjects <= _MOST_SUBJECTS:
        raise SettingError(f"{subjects} subjects are not possible", remedy=f"give 1 to {_MOST_SUBJECTS}")
    return [Group("subjects", "ivdm3seg", tuple(f"S{n:02d}" for n in range(1, subjects + 1)))]


def _write(job: Job, seeds: SubjectSeeds) -> None:
    """Both examinations of a subject: sets 2 n - 1 and 2 n of subject n."""
    spine = make_spine(seeds.anatomy)
    subject = int(job.subject[1:])
    for time, now in enumerate((spine, spine.later(_SWELLING))):
        number = f"{2 * subject - 1 + time:02d}"
        images, mask = set_files(job.out, number)
        if images.exists() and mask.exists():
            continue
        chance = SubjectSeeds.of(job.seed, job.group, f"{job.subject}/{time}")
        with temporary_folder(job) as folder:
            grid, scanner = ivdm3seg_grid(chance.grid, job.matrix), draw_spine_scanner(chance.scanner)
            temporary = folder / number, folder / mask.name
            write_ivdm3seg_set(*temporary, number, now, grid, scanner, chance.imaging)
            mask.parent.mkdir(parents=True, exist_ok=True)
            temporary[1].replace(mask)
            if not images.exists():
                temporary[0].replace(images)


def _describe(out: Path, groups: list[Group]) -> None:
    """`subjects.json`: whose the sets are, which the original does not say."""
    numbers = {subject: 2 * int(subject[1:]) for group in groups for subject in group.ids}
    whose = {f"{n + time:02d}": subject for subject, n in numbers.items() for time in (-1, 0)}
    write_json(out / SUBJECTS_FILE, whose)


SPINE_PHANTOMS = PhantomTask(FULL_MATRIX, _groups, _write, describe=_describe)

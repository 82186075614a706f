"""Phantoms of the street tasks: drawn scenes, as a game in the layouts of GTA5 and SYNTHIA, and as a camera
sees them in that of Cityscapes. A subject is a drive of `PICTURES` scenes; no scene is in two data sets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_sfda.catalog import STREET
from monai_sfda.errors import SettingError
from monai_sfda.phantom.jobs import Group, Job, PhantomTask, SubjectSeeds, choose_subjects, temporary_folder
from monai_sfda.phantom.street_layouts import (
    cityscapes_files,
    gta5_files,
    synthia_files,
    write_ids,
    write_palette,
    write_picture,
    write_synthia_label,
)
from monai_sfda.phantom.street_rendering import draw_drive, render_camera, render_game
from monai_sfda.phantom.street_scene import CITY_HABITS, GAME_HABITS, draw_scene

#: Scenes of a drive.
PICTURES = 16


def _groups(subjects: int, matrix: int) -> list[Group]:
    if not 64 <= matrix <= 2048 or matrix % 2:
        raise SettingError(f"matrix {matrix} is not possible", remedy="use an even number from 64 to 2048")
    cities = tuple(choose_subjects(STREET.target, subjects))
    drives = tuple(str(number) for number in range(1, subjects + 1))
    return [
        Group("source", "gta5", drives),
        Group("target", "cityscapes", cities),
        Group("source_synthia", "synthia", drives),
    ]


def _write(job: Job, seeds: SubjectSeeds) -> None:
    drive = draw_drive(np.random.default_rng(seeds.scanner))
    scenes, chances = seeds.anatomy.spawn(PICTURES), seeds.imaging.spawn(PICTURES)
    habits = CITY_HABITS if job.dataset == "cityscapes" else GAME_HABITS
    for number, (scene_seed, chance_seed) in enumerate(zip(scenes, chances, strict=True)):
        files = _files(job, number)
        if all(file.exists() for file in files):
            continue
        scene = draw_scene(habits, job.matrix, np.random.default_rng(scene_seed))
        chance = np.random.default_rng(chance_seed)
        with temporary_folder(job) as folder:
            picture, label = folder / "picture.png", folder / "label.png"
            if job.dataset == "cityscapes":
                write_picture(picture, render_camera(scene, drive, chance))
                write_ids(label, scene.label)
            else:
                write_picture(picture, render_game(scene, chance))
                if job.dataset == "gta5":
                    write_palette(label, scene.label)
                else:
                    write_synthia_label(label, scene.label, scene.thing)
            for written, final in zip((picture, label), files, strict=True):
                final.parent.mkdir(parents=True, exist_ok=True)
                written.replace(final)


def _files(job: Job, number: int) -> tuple[Path, Path]:
    if job.dataset == "cityscapes":
        return cityscapes_files(job.out, job.subject, number)
    place = (int(job.subject) - 1) * PICTURES + number
    return gta5_files(job.out, place + 1) if job.dataset == "gta5" else synthia_files(job.out, place)


STREET_PHANTOMS = PhantomTask(1024, _groups, _write)

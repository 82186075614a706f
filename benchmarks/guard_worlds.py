"""Worlds of the guard's calibration: phantoms of a task, a source model trained on them, its target scans.

A world is made once and kept: `phantoms/` (small matrices, the whole field of view), `worlds/<task>_<seed>/`
with `train/release` (the package's own training and release, at 64 pixels), `scans.pt` (the target's volumes
as the package reads them, without labels) and `labels.pt` (those of the test subjects, which
`guard_truth` alone opens).

Worlds of odd seeds have a source model trained without augmentation of intensities, so that more is lost on
the target and more can be gained.

The held-out half has other anatomies and other scanners (seeds), another matrix, and a change of contrast,
blur, field and noise that the development half never has (`guard_stacks.other_imaging`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import guard_stacks as stacks
from benchmarks.guard_plan import ABSENT, HALVES
from monai_sfda.catalog import IGNORED, Task, find_task, without_background
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.case import Case
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.source_statistics import class_ratio, fit_atlas
from monai_sfda.errors import DataError
from monai_sfda.files import tensor_file, write_atomically, write_json
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import Release
from monai_sfda.workflow.bundle_commands import BundleCommands
from monai_sfda.workflow.refit import network_of

SUBJECTS, TEST_SUBJECTS, ADAPTATION_SUBJECTS = 16, 6, 10
SCANS, LABELS = "scans.pt", "labels.pt"
_PICTURES = 8  # of a drive's 16


@dataclass(frozen=True)
class Sampling:
    """How a task's phantoms are made and read.

    Attributes:
        matrix: of the development half's phantoms, and of the held-out half's.
        image_size: of the stacks; the whole field of view, in about 64 x 64 pixels or fewer.
        pixel_size_mm: None for pictures.
    """

    matrix: tuple[int, int]
    image_size: tuple[int, int]
    pixel_size_mm: float | None


SAMPLING = {
    "abdomen": Sampling((96, 88), (64, 64), 6.4),
    "cardiac": Sampling((96, 88), (64, 64), 3.9),
    "brain_modality": Sampling((64, 72), (64, 64), 3.75),
    "brain_grade": Sampling((64, 72), (64, 64), 3.75),
    "spine": Sampling((88, 80), (24, 104), 3.12),
    "street": Sampling((128, 112), (48, 96), None),
}


@dataclass(frozen=True)
class World:
    """A world in memory. No label of the target is in it.

    Attributes:
        task: of the catalog.
        seed: of the phantoms.
        folder: where it lies.
        release: of the source model.
        adaptation, test: the target's volumes, and `source` those of the source, as they were read.
        absent_adaptation, absent_test: the same without one structure; empty for a task of one.
        windows: of each adaptation volume, the slices that show least and most of the structures.
        shown: of each adaptation volume, the share of the pixels that shows structures.
    """

    task: Task
    seed: int
    folder: Path
    release: Release
    adaptation: Sequence[CachedVolume]
    test: Sequence[CachedVolume]
    source: Sequence[CachedVolume]
    absent_adaptation: Sequence[CachedVolume]
    absent_test: Sequence[CachedVolume]
    windows: Sequence[tuple[tuple[int, int], tuple[int, int]]]
    shown: Sequence[float]

    @property
    def stack_slices(self) -> int:
        """Slices a stack."""
        return self.release.preprocessing["target"].stack_slices

    @cached_property
    def _built(self) -> SegmentationNetwork:
        return network_of(self.release)

    def network(self) -> SegmentationNetwork:
        """The unadapted network, a new copy, in evaluation mode."""
        return copy.deepcopy(self._built)


def world_folder(out: Path, task: str, seed: int) -> Path:
    """Where a world lies."""
    return out / "worlds" / f"{task}_{seed}"


def is_made(out: Path, task: str, seed: int) -> bool:
    """Whether a world is whole."""
    folder = world_folder(out, task, seed)
    return (folder / SCANS).is_file() and (folder / "train" / "release" / "release.json").is_file()


@cache
def open_world(out: Path, task: str, seed: int) -> World:
    """Reads a world that `make_world` made."""
    folder = world_folder(out, task, seed)
    content = torch.load(folder / SCANS, weights_only=False)  # our own file
    return World(find_task(task), seed, folder, Release.read(folder / "train" / "release"), **content)


def make_world(out: Path, task: str, seed: int) -> None:
    """Makes a world, or what is missing of it."""
    folder = world_folder(out, task, seed)
    if is_made(out, task, seed):
        return
    if not (folder / SCANS).is_file():
        _write_scans(find_task(task), _phantoms(out, find_task(task), seed), folder, seed)
    _train(find_task(task), _phantoms(out, find_task(task), seed), folder, seed)


def renew_release(out: Path, task: str, seed: int) -> None:
    """Makes a release's statistics of the source again, for a version of the package that makes more or other
    ones; weights and prototypes stay, and with them the runs.
    """
    folder = world_folder(out, task, seed) / "train" / "release"
    release = Release.read(folder)
    preprocessing = release.preprocessing["source"]
    dataset = StackDataset(
        find_task(task),
        "source",
        release.training["split"],
        _phantoms(out, find_task(task), seed),
        image_size=release.image_size,
        pixel_size_mm=preprocessing.pixel_size_mm,
        stack_slices=preprocessing.stack_slices,
        slice_axis=preprocessing.slice_axis,
        threads=1,
    )
    ratio = class_ratio(dataset, release.prototypes.num_classes)
    replace(release, atlas=fit_atlas(dataset), class_ratio=ratio).write(folder)


def _phantoms(out: Path, task: Task, seed: int) -> Path:
    folder = out / "phantoms" / f"{task.phantom_name}_{seed}"
    matrix = SAMPLING[task.name].matrix[_held_out(seed)]
    write_phantoms(task.phantom_name, folder, SUBJECTS, seed, matrix=matrix, workers=1)
    return folder


def _held_out(seed: int) -> bool:
    return seed >= HALVES["held_out"]


def _train(task: Task, data: Path, folder: Path, seed: int) -> None:
    """Trains and releases the source model with the task's own commands, smaller than `small.json`."""
    commands = BundleCommands(
        task.name,
        data,
        folder,
        seed=seed,
        bundles=None,
        configs=("small.json",),
        common={},
        announce=lambda title, seconds: None,
        lock=None,
    )
    sampling = SAMPLING[task.name]
    definition = commands.configured("network_def")
    definition["backbone"] |= {"channels": [16, 32, 64, 64], "strides": [2, 2, 2], "out_channels": 16}
    smaller: dict[str, Any] = {
        "image_size": list(sampling.image_size),
        "batch_size": 8,
        "training": commands.configured("training") | {"max_epochs": 5, "epoch_length": 100},
        "network_def": definition | {"embedding_channels": 16},
    }
    if seed % 2:
        smaller["augmentation"] = commands.configured("augmentation") | {"gamma": 0.0, "noise": 0.0}
    if sampling.pixel_size_mm is not None:
        smaller["pixel_size_mm"] = sampling.pixel_size_mm
    config = (folder / "smaller.json").resolve()
    write_json(config, smaller)
    commands.run(
        "train on the source",
        ("train.json", "small.json", str(config)),
        folder / "train" / "release" / "release.json",
        output_dir=folder / "train",
    )


def _write_scans(task: Task, data: Path, folder: Path, seed: int) -> None:
    """Reads the phantoms as the package does, and writes images and test labels apart."""
    n = _dataset(task, "target", "train", data).preprocessing.stack_slices
    target, source = _volumes(task, "target", data), _volumes(task, "source", data)
    subjects = list(dict.fromkeys(volume.case.subject for volume in target))
    if len(subjects) < TEST_SUBJECTS + ADAPTATION_SUBJECTS:
        raise DataError(
            f"{len(subjects)} target subjects", path=data, remedy="raise SUBJECTS of the calibration"
        )
    tested = set(subjects[:TEST_SUBJECTS])
    if _held_out(seed):
        target = [
            _relabelled(
                volume,
                stacks.other_imaging(
                    volume, n, np.random.default_rng(seed), np.random.default_rng([seed, number])
                ),
            )
            for number, volume in enumerate(target)
        ]
    test = [volume for volume in target if volume.case.subject in tested]
    kept = subjects[TEST_SUBJECTS : TEST_SUBJECTS + ADAPTATION_SUBJECTS]
    adaptation = [volume for volume in target if volume.case.subject in kept]
    absent_test, absent_adaptation = [], []
    if task.name in ABSENT:
        index = task.labels[ABSENT[task.name]]
        absent_test, absent_adaptation = (
            [
                stacks.without_organ(volume, index, n, np.random.default_rng([seed, number]))
                for number, volume in enumerate(volumes)
            ]
            for volumes in (test, adaptation)
        )
    shown = list(without_background(task.labels).values())
    if task.pictures:  # every pixel has a class: what is on the road
        shown = [task.labels[name] for name in ("car", "person", "truck", "bus") if name in task.labels]
    labels = {
        name: [volume.label for volume in volumes]
        for name, volumes in (("test", test), ("absent_test", absent_test))
    }
    content = {
        "adaptation": _bare(adaptation),
        "test": _bare(test),
        "source": _bare(source),
        "absent_adaptation": _bare(absent_adaptation),
        "absent_test": _bare(absent_test),
        "windows": [stacks.windows(_share(volume.label, shown)) for volume in adaptation],
        "shown": [float(_share(volume.label, shown).mean()) for volume in adaptation],
    }
    write_atomically(folder / LABELS, tensor_file(labels))
    write_atomically(folder / SCANS, tensor_file(content))


def _dataset(task: Task, domain: str, split: str, data: Path) -> StackDataset:
    sampling = SAMPLING[task.name]
    small = BundleCommands(
        task.name, data, data, 0, None, ("small.json",), {}, lambda title, seconds: None, None
    )
    return StackDataset(
        task,
        domain,
        split,
        data,
        image_size=sampling.image_size,
        pixel_size_mm=sampling.pixel_size_mm,
        stack_slices=small.configured("stack_slices"),
        threads=1,
    )


def _volumes(task: Task, domain: str, data: Path) -> list[CachedVolume]:
    """A domain's labelled volumes, those of the official test first; one scan a subject, some pictures."""
    found: list[CachedVolume] = []
    for split in ("test", "val", "train"):
        try:
            volumes = _dataset(task, domain, split, data).volumes
        except DataError:  # a split without subjects among the phantoms
            continue
        subjects = dict.fromkeys(volume.case.subject for volume in volumes)
        of_subject = {s: [v for v in volumes if v.case.subject == s] for s in subjects}
        for mine in of_subject.values():
            step = max(1, len(mine) // _PICTURES)
            found += mine[::step][:_PICTURES] if task.pictures else mine[:1]
    return found


def _relabelled(labelled: CachedVolume, volume: CachedVolume) -> CachedVolume:
    return replace(volume, label=labelled.label)


def _bare(volumes: Sequence[CachedVolume]) -> list[CachedVolume]:
    """The volumes without labels, and without the names of their files."""
    return [
        replace(
            volume,
            label=None,
            case=Case(number, volume.case.subject, (Path("phantom"),), None, "calibration"),
        )
        for number, volume in enumerate(volumes, start=1)
    ]


def _share(label: Tensor | None, shown: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(S,) share of some classes in each slice."""
    assert label is not None
    seen = torch.isin(label, torch.tensor(shown, dtype=label.dtype)) & (label != IGNORED)
    return seen.flatten(1).double().mean(1).numpy()


def read_test_labels(folder: Path) -> dict[str, list[Tensor]]:
    """Labels of the test volumes, by list; for `guard_truth` alone."""
    return dict(torch.load(folder / LABELS, weights_only=True))

"""One run of the guard's calibration: the target scans that it has, and its adaptation. No label is read."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import guard_stacks as stacks
from benchmarks.guard_plan import GUARD_SHARE, OTHER_PART, Run
from benchmarks.guard_worlds import World
from monai_sfda.candidate_names import LAST, candidate_name
from monai_sfda.checkpoints import load_weights
from monai_sfda.data.cache import CachedVolume
from monai_sfda.engines import AdaptationTrainer
from monai_sfda.errors import SettingError
from monai_sfda.guard.split import split_by_subject
from monai_sfda.methods import Method, create_method

CANDIDATES = 4


@dataclass(frozen=True)
class TargetScans:
    """The target scans of a run.

    Attributes:
        adaptation: what is adapted to.
        guard: what the guard looks at; the same with fewer than three subjects.
    """

    adaptation: stacks.CachedStacks
    guard: stacks.CachedStacks


def target_scans(run: Run, world: World, other: Callable[[str], World]) -> TargetScans:
    """The scans of a run, split by subject.

    Args:
        run: of the plan.
        world: its own.
        other: gives the world of another task, for scans of another body part.
    """
    pool = list(world.absent_adaptation if run.kind == "absent" else world.adaptation)
    if run.kind == "source_scans":
        pool = list(world.source)
    rng = np.random.default_rng([run.world, run.draw, run.subjects])
    subjects = list(dict.fromkeys(volume.case.subject for volume in pool))
    chosen = [subjects[i] for i in rng.permutation(len(subjects))[: run.subjects]]
    of_subject = {
        subject: [volume for volume in pool if volume.case.subject == subject] for subject in chosen
    }
    befallen = _befall(run, world, other, of_subject, rng)
    volumes = [
        replace(volume, case=replace(volume.case, number=number))
        for number, volume in enumerate(itertools.chain(*befallen.values()), start=1)
    ]
    split = split_by_subject([volume.case for volume in volumes], GUARD_SHARE, run.seed)
    preprocessing = world.release.preprocessing["target"]
    adaptation, guard = (
        stacks.CachedStacks(world.task, [v for v in volumes if v.case.number in numbers], preprocessing)
        for numbers in (split.adaptation, split.guard)
    )
    return TargetScans(adaptation, guard)


def _befall(
    run: Run,
    world: World,
    other: Callable[[str], World],
    of_subject: Mapping[str, list[CachedVolume]],
    rng: np.random.Generator,
) -> dict[str, list[CachedVolume]]:
    """The subjects' volumes after what the run's kind does to them."""
    n, kind = world.stack_slices, run.kind
    if kind == "body_part":
        strangers = other(OTHER_PART[run.task])
        donors = strangers.adaptation
        number = 0
        changed: dict[str, list[CachedVolume]] = {}
        for subject, volumes in of_subject.items():
            changed[subject] = []
            for volume in volumes:
                donor = donors[number % len(donors)]
                fitted = stacks.fitted(donor, strangers.stack_slices, volume, n)
                if world.task.pictures:  # a picture is one slice
                    middle = fitted.num_slices // 2
                    fitted = stacks.cut(fitted, (middle, middle + 1), n)
                changed[subject].append(fitted)
                number += 1
        return changed
    broken = rng.choice(list(of_subject)) if kind == "corrupted" else None
    change: Callable[[CachedVolume], CachedVolume]
    if kind == "inverted":
        change = stacks.inverted
    elif kind == "constant":
        change = lambda volume: stacks.constant(volume, float(volume.image.mean()))  # noqa: E731
    elif kind == "empty":
        change = lambda volume: stacks.constant(volume, float(volume.image.amin()))  # noqa: E731
    elif kind == "corrupted":
        change = lambda volume: (  # noqa: E731
            stacks.corrupted(volume, n, rng) if volume.case.subject == broken else volume
        )
    elif kind in ("rare", "common"):
        return {
            subject: _some_slices(volumes, world, first=kind == "rare")
            for subject, volumes in of_subject.items()
        }
    else:
        return dict(of_subject)
    return {subject: [change(volume) for volume in volumes] for subject, volumes in of_subject.items()}


def _some_slices(volumes: list[CachedVolume], world: World, first: bool) -> list[CachedVolume]:
    """The slices, or the pictures, of a subject that show least, or most, of the structures."""
    place = 0 if first else 1
    if world.task.pictures:
        ranked = sorted(volumes, key=lambda volume: world.shown[volume.case.number - 1])
        part = max(1, len(ranked) // 3)
        return ranked[:part] if first else ranked[-part:]
    return [
        stacks.cut(volume, world.windows[volume.case.number - 1][place], world.stack_slices)
        for volume in volumes
    ]


def climb(method: Method[Any]) -> None:
    """Turns a method's losses round: it maximises what it should minimise."""
    step = method.step

    def wrong(batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return {name: -loss for name, loss in step(batch, generator).items()}

    method.step = wrong  # type: ignore[method-assign]


def adapt(run: Run, world: World, scans: stacks.CachedStacks) -> dict[str, dict[str, Tensor]]:
    """The weights of the run's candidates, by name and in the order of the run; the last is `last`.

    Raises:
        SettingError: when the run fails, as it would for a user: a loss or a weight is not finite.
    """
    method = create_method(run.method, run.method_settings)
    network = world.network()
    if run.kind == "wrong_sign":
        climb(method)
    epochs = CANDIDATES if method.takes_steps else 1
    folder = Path(tempfile.mkdtemp(prefix="guard_run_"))
    try:
        trainer = AdaptationTrainer(
            network,
            scans,
            method=method,
            release=world.release,
            device="cpu",
            max_epochs=epochs,
            epoch_length=run.steps // epochs,
            batch_size=8,
            seed=run.seed,
            output_dir=folder,
            augmentation={},
            candidates=CANDIDATES,
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            trainer.run()
        kept = {candidate_name(epoch): load_weights(path) for epoch, path in trainer.candidates().items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    candidates = kept | {LAST: network.state_dict()}
    for name, weights in candidates.items():
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise SettingError(f"weights of '{name}' are not finite", remedy="lower learning_rate")
    return candidates


def be_quiet() -> None:
    """Leaves only what is wrong in the output of a thousand runs."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("monai_sfda").setLevel(logging.ERROR)

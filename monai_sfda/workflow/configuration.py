"""The configuration that MONAI is running: its raw text, and a check that no key was mistyped."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_sfda import processes
from monai_sfda.catalog import Task, find_task
from monai_sfda.errors import SettingError, nearest

# Every top-level key that a bundle's configurations have, and that a command line may override.
TOP_LEVEL_KEYS: dict[str, str] = {
    "bundle_root": "the bundle's folder",
    "task": "name of the task in the catalog",
    "source_modality": "for a data set with several modalities: the source's; null: the task's own",
    "target_modality": "likewise the target's",
    "dataset_dir": "folder with the unpacked downloads; for inference, the scans",
    "output_dir": "the run folder, where everything is written",
    "device": "where to compute: cpu, cuda, cuda:1 ...; by default a GPU when there is one",
    "seed": "of everything random",
    "domain": "source or target: which modality's preprocessing, and whose labels train.json learns",
    "batch_size": "slices a batch",
    "image_size": "side of a training slice, pixels",
    "pixel_size_mm": "in-plane pixel size, mm",
    "slice_axis": "0 sagittal, 1 coronal, 2 axial; null: the task's own",
    "stack_slices": "neighbouring slices that make one input; null: the task's own",
    "network_def": "the network",
    "training": "settings of supervised training",
    "adaptation": "length and batch of adaptation, defaults of the methods",
    "uda": "lengths, batch and early stopping of prior matching's two stages",
    "uda_network_def": "the network of prior matching: from an image over the latent map to its classes",
    "uda_augmentation": "strengths of the augmentation in both stages of prior matching",
    "augmentation": "strengths of the augmentation in training",
    "adaptation_augmentation": "strengths of the augmentation in adaptation",
    "datalist": "JSON that replaces the official layout",
    "split": "train, val or test",
    "protocol": "evaluate: the task's own protocol, or one of a paper's",
    "max_epochs": "epochs of training or adaptation",
    "learning_rate": "null: the method's own",
    "amp": "mixed precision: bfloat16 where the device has it, else float16 with loss scaling",
    "accumulate": "parts that a batch is computed in, when it does not fit the memory at once",
    "checkpoint": "weights to start from, to evaluate or to run",
    "largest_component": "keep only the largest connected component of each structure",
    "dicom_seg": "inference: also a DICOM segmentation of each DICOM series, written by dcmqi",
    "uncertainty": "inference: also the entropy of every voxel, as a map beside the mask",
    "imagenet_weights": "torchvision's VGG16 weights, for a network with that encoder",
    "release": "folder of the source release",
    "release_public_key": "file of the source site's public key: only a release signed by it; null: any",
    "method": "method of adaptation",
    "method_settings": "the method's settings",
    "class_proportions": "of SFS's pseudo-samples; null: as in method_settings",
    "stage": "of prior matching: both, or source for the source model alone",
    "source_model": "folder of a finished source model of prior matching; null trains it",
    "target_scan": "n, the n-th target scan in an order drawn by the seed, or all; null: the method's own",
    "target_slices": "so many consecutive slices of that scan; null: all",
    "target_images": "plain folder of unlabelled scans that replaces dataset_dir",
    "guard": "the label-free guard: scans it keeps for itself, candidates it chooses from",
}
_SHARED = tuple(TOP_LEVEL_KEYS)[: tuple(TOP_LEVEL_KEYS).index("datalist")]
_TRAIN = (
    *_SHARED,
    *("datalist", "split", "max_epochs", "learning_rate", "amp", "accumulate"),
    *("checkpoint", "largest_component", "imagenet_weights"),
)
# What each job reads. small.json, which is stacked on all of them, has shared keys alone.
JOB_KEYS: dict[str, tuple[str, ...]] = {
    "train": _TRAIN,
    "evaluate": (*_TRAIN, "protocol"),
    "adapt": (
        *_SHARED,
        "release_public_key",
        *("datalist", "split", "max_epochs", "learning_rate", "amp", "accumulate"),
        *("release", "method", "method_settings", "class_proportions", "target_images", "guard"),
    ),
    "uda": (
        *_SHARED,
        *("datalist", "split", "max_epochs", "learning_rate", "amp", "accumulate", "method"),
        *("method_settings", "release", "stage", "source_model", "target_scan", "target_slices"),
        *("target_images", "guard"),
    ),
    "inference": (*_SHARED, "checkpoint", "largest_component", "dicom_seg", "uncertainty"),
}
SECTIONS = (
    *("task_definition", "imports", "initialize", "run", "finalize", "network", "train", "adapt", "evaluate"),
    *("evaluator", "dataset", "inferer", "preprocessing", "scans", "section", "_meta_"),
)
_NULLABLE = (
    "release_public_key",
    *("datalist", "checkpoint", "imagenet_weights", "release", "target_images"),
    *("source_model", "class_proportions", "learning_rate", "source_modality", "target_modality"),
)
_NULLABLE_NUMBERS = ("slice_axis", "stack_slices", "pixel_size_mm", "target_scan", "target_slices")
_CHOICES = {
    "domain": ("source", "target"),
    "split": ("train", "val", "test"),
    "stage": ("both", "source"),
}


def current_parser() -> ConfigParser:
    """The parser of the bundle that is being run, found on the call stack.

    MONAI gives expressions no access to the configuration they stand in; its parser is a few frames up.

    Raises:
        SettingError: when called outside a bundle run.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return parser
        frame = frame.f_back
    raise SettingError(
        "no bundle configuration is being run", remedy="call this from a bundle's configuration"
    )


def current_configuration() -> dict[str, Any]:
    """A copy of the merged, unresolved configuration that is being run; a `SettingError` outside a run."""
    return copy.deepcopy(dict(current_parser().get()))


def public_key_of(configuration: Mapping[str, Any]) -> Path | None:
    """The key whose signature a release must have; None where none is asked for.

    Raises:
        SettingError: for what is no path: a key that was asked for is never passed over.
    """
    given = check_value("release_public_key", configuration.get("release_public_key"))
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise SettingError(
            f"release_public_key cannot be {given!r}", remedy="give the file of the source site's public key"
        )
    return Path(given)


def check_keys(configuration: Mapping[str, Any], job: str) -> None:
    """Refuses top-level keys that the job does not read, which MONAI would ignore in silence.

    Keys that start with an underscore are the user's own.

    Raises:
        SettingError: naming the nearest key.
    """
    known = JOB_KEYS[job]
    for key in configuration:
        if key in ("source_modality", "target_modality") and "task_definition" not in configuration:
            raise SettingError(f"the bundle's task has no choice of {key}", remedy="leave it out")
        if key in known or key in SECTIONS or key.startswith("_"):
            continue
        if key in TOP_LEVEL_KEYS:
            raise SettingError(f"{job} has no use for setting '{key}'", remedy="leave it out")
        raise SettingError(
            f"setting '{key}' is unknown", remedy=f"did you mean {', '.join(nearest(key, known))}?"
        )


def check_value(key: str, value: Any) -> Any:
    """A top-level value as its job reads it: `true`, `false` and `null` as the command line spells them.

    Expressions and references are left alone: what they come to is checked where it is used.

    Raises:
        SettingError: naming the key and the value.
    """
    if isinstance(value, str) and value.startswith(("$", "@")):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if key in (*_NULLABLE, *_NULLABLE_NUMBERS) and (value is None or word in ("null", "none")):
        return None
    if key in ("largest_component", "amp", "dicom_seg", "uncertainty"):
        if word in ("true", "false"):
            return word == "true"
        return _require(isinstance(value, bool), key, value, "use true or false")
    if key in _CHOICES:
        return _require(value in _CHOICES[key], key, value, f"use {', '.join(_CHOICES[key])}")
    if key == "target_scan":
        good = value == "all" or (_is_whole(value) and value >= 1)
        return _require(good, key, value, "use a whole number from 1, or all")
    if key in ("max_epochs", "batch_size", "accumulate", "target_slices"):
        return _require(_is_whole(value) and value >= 1, key, value, "use a whole number from 1")
    if key == "seed":
        return _require(_is_whole(value) and 0 <= value < 2**63, key, value, "use a whole number from 0")
    if key == "slice_axis":
        return _require(_is_whole(value) and value in (0, 1, 2), key, value, "use 0, 1, 2 or null")
    if key == "stack_slices":
        return _require(_is_whole(value) and value % 2 == 1, key, value, "use an odd number: 1, 3, 5 ...")
    if key == "image_size":
        sides = value if isinstance(value, list | tuple) else [value]
        good = len(sides) in (1, 2) and all(_is_whole(side) and side >= 1 for side in sides)
        return _require(good, key, value, "use a whole number of pixels, or two")
    if key in ("pixel_size_mm", "learning_rate"):
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        return _require(good, key, value, "use a number above 0")
    if key == "device":
        check_device(value)
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(good: bool, key: str, value: Any, remedy: str) -> Any:
    if not good:
        raise SettingError(f"{key} cannot be {value!r}", remedy=remedy)
    return value


def start(job: str) -> None:
    """First step of every run: checks every top-level setting, and seeds what is random.

    The network's first weights are drawn when MONAI instantiates it, after this.

    Args:
        job: `train`, `adapt`, `uda`, `evaluate` or `inference`: which keys are read.

    Raises:
        SettingError: naming the key.
    """
    if processes.launched() > processes.count():
        raise SettingError(
            f"{processes.launched()} processes were started for a job of one",
            remedy=f"stack multi_gpu_{job}.json on {job}.json"
            if job in ("train", "adapt")
            else "start it without torchrun",
        )
    parser = current_parser()
    configuration = dict(parser.get())
    check_keys(configuration, job)
    if "task" not in configuration:
        raise SettingError(
            f"{job}.json is read by itself",
            remedy="stack it: --config_file \"['train.json','evaluate.json']\"",
        )
    for key in JOB_KEYS[job]:
        if key in configuration:
            value = check_value(key, configuration[key])
            if value is not configuration[key]:
                # MONAI has made an item of the old value already; the section as a whole is resolved from
                # these.
                parser.get()[key] = value
                item = parser.ref_resolver.get_item(key)
                if item is not None:
                    item.update_config(value)
    torch.manual_seed(int(configuration.get("seed", 0)))


def choose_task(name: str, source_modality: str | None = None, target_modality: str | None = None) -> Task:
    """The task of that name between the modalities given; None: the task's own.

    Raises:
        SettingError: when there is no such task or modality.
    """
    return find_task(name).with_modalities(source_modality, target_modality)


def check_device(device: object) -> None:
    """Refuses a device that this machine or this build of torch does not have.

    Raises:
        SettingError: naming the device.
    """
    try:
        torch.empty(0, device=device)  # type: ignore[call-overload]
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise SettingError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0]})",
            remedy="use cpu, or cuda on a GPU machine",
        ) from error

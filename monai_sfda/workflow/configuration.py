"""The configuration that MONAI is running: its raw text, and a check that no key was mistyped."""

from __future__ import annotations

import copy
import sys
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_sfda.errors import SettingError, nearest

# Every top-level key that a bundle's configurations have, and that a command line may override.
TOP_LEVEL_KEYS: dict[str, str] = {
    "bundle_root": "the bundle's folder",
    "task": "name of the task in the catalog",
    "dataset_dir": "folder with the unpacked downloads; for inference, the scans",
    "output_dir": "the run folder, where everything is written",
    "device": "where to compute: cpu, cuda, cuda:1 ...; by default a GPU when there is one",
    "seed": "of everything random",
    "max_epochs": "epochs of training or adaptation",
    "batch_size": "slices a batch",
    "learning_rate": "null: the method's own",
    "datalist": "JSON that replaces the official layout",
    "domain": "source or target: which modality's preprocessing, and whose labels train.json learns",
    "split": "train, val or test",
    "checkpoint": "weights to evaluate or to run",
    "largest_component": "keep only the largest connected component of each structure",
    "release": "folder of the source release",
    "method": "method of adaptation",
    "method_settings": "the method's settings",
    "class_proportions": "of SFS's pseudo-samples; null: as in method_settings",
    "target_images": "plain folder of unlabelled scans that replaces dataset_dir",
    "image_size": "side of a training slice, pixels",
    "pixel_size_mm": "in-plane pixel size, mm",
    "training": "settings of supervised training",
    "adaptation": "length and batch of adaptation",
    "augmentation": "strengths of the augmentation in training",
    "adaptation_augmentation": "strengths of the augmentation in adaptation",
    "network_def": "the network",
}
SECTIONS = {
    "imports",
    "initialize",
    "run",
    "finalize",
    "network",
    "train",
    "adapt",
    "evaluate",
    "evaluator",
    "dataset",
    "inferer",
    "preprocessing",
    "_meta_",
}


def current_configuration() -> dict[str, Any]:
    """The merged, unresolved configuration of the bundle that is being run, found on the call stack.

    MONAI gives expressions no access to the configuration they stand in; its parser is a few frames up.

    Raises:
        SettingError: when called outside a bundle run.
    """
    frame = sys._getframe()
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return copy.deepcopy(dict(parser.get()))
        frame = frame.f_back  # type: ignore[assignment]
    raise SettingError(
        "no bundle configuration is being run", remedy="call this from a bundle's configuration"
    )


def check_keys(configuration: dict[str, Any]) -> None:
    """Refuses top-level keys that nothing reads, which MONAI would ignore in silence.

    Keys that start with an underscore are the user's own.

    Raises:
        SettingError: naming the nearest key.
    """
    for key in configuration:
        if key not in TOP_LEVEL_KEYS and key not in SECTIONS and not key.startswith("_"):
            options = sorted(k for k in TOP_LEVEL_KEYS if k in configuration)
            raise SettingError(
                f"setting '{key}' is unknown", remedy=f"did you mean {', '.join(nearest(key, options))}?"
            )


def start() -> None:
    """First step of every run: refuses mistyped keys and impossible devices, and seeds what is random.

    The network's first weights are drawn when MONAI instantiates it, after this.

    Raises:
        SettingError: naming the key.
    """
    configuration = current_configuration()
    check_keys(configuration)
    check_device(configuration.get("device", "cpu"))
    seed = configuration.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise SettingError(f"seed cannot be {seed!r}", remedy="use a whole number from 0")
    torch.manual_seed(seed)


def check_device(device: object) -> None:
    """Refuses a device that this machine or this build of torch does not have.

    Raises:
        SettingError: naming the device.
    """
    if not isinstance(device, str) or device.startswith("$"):
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(
            f"device '{device}' cannot be used ({str(error).splitlines()[0]})",
            remedy="use cpu, or cuda on a GPU machine",
        ) from error

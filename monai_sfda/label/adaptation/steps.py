"""What a job runs: steps of a bundle's own configurations, each a process with a product.

All arguments are made here from typed options and this server's own folders, and go to MONAI in a file:
nothing is parsed from a command line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_sfda.errors import StoreError
from monai_sfda.files import write_json
from monai_sfda.label.adaptation.job_process import python
from monai_sfda.label.adaptation.options import AdaptOptions, FineTuneOptions, JobOptions, default_method
from monai_sfda.label.adaptation.private_data import DATALIST, SCANS
from monai_sfda.store import ModelStore, Version

RUN, TRAINED, CHECKPOINT, RECORD = "run", "trained", "checkpoint.pt", "adaptation.json"
FINISH = "finish.json"
_SHARES = {"quick": 1 / 8, "standard": 1.0, "long": 2.0}
_TUNING_EPOCHS = {"quick": 5, "standard": 20, "long": 60}
_TUNING_RATE = 0.2
"""Of the training's learning rate: corrected labels are few, and the weights know most already."""


@dataclass(frozen=True)
class Step:
    """A process of a job.

    Attributes:
        name: of its arguments' file.
        words: that start it.
        products: files that are there when it has ended well.
        unfinished: a file that is there while it has not.
    """

    name: str
    words: tuple[str, ...]
    products: tuple[Path, ...]
    unfinished: Path | None = None

    @property
    def is_done(self) -> bool:
        """Whether it need not be run again."""
        return all(p.is_file() for p in self.products) and not (self.unfinished and self.unfinished.exists())


def source_of(store: ModelStore, version: Version) -> Version:
    """The source model that a version comes from, whose release adaptations start from.

    Raises:
        StoreError: when it is not in the store any more.
    """
    seen = {version.number}
    while not version.is_source:
        if version.parent is None or version.parent in seen:
            raise StoreError(
                f"version {version.number} of '{version.model}' has no source model in the store",
                remedy="publish the source model's bundle again",
            )
        version = store.version(version.model, version.parent)
        seen.add(version.number)
    return version


def epochs_of_adaptation(bundle: Path, options: JobOptions) -> int:
    """The length of an adaptation: as asked for, or the budget's share of what the bundle says."""
    if options.epochs:
        return options.epochs
    configuration = _configuration(bundle, "adapt")
    own = configuration.get("max_epochs")
    if isinstance(own, bool) or not isinstance(own, int):
        own = int(configuration.get("adaptation", {}).get("max_epochs", 100))
    return max(1, round(_SHARES[options.budget] * own))


def epochs_of_tuning(options: JobOptions) -> int:
    """The length of a fine-tuning: as asked for, or the budget's."""
    return options.epochs or _TUNING_EPOCHS[options.budget]


def adaptation_steps(private: Path, source: Version, options: AdaptOptions, device: str) -> list[Step]:
    """`adapt.json` of the source version's own bundle, from its release.

    Args:
        private: folder of the job.
        source: version whose bundle and release are used.
        options: of the job.
        device: where to compute.
    """
    out = private / RUN
    arguments = _common(private, source.bundle, options, device, out) | {
        "config_file": [str(source.bundle / "configs" / "adapt.json")],
        "release": str(source.bundle / "models"),
        "method": options.method or default_method(source.bundle),
        "max_epochs": epochs_of_adaptation(source.bundle, options),
    }
    words = _bundle_run(private, "adapt", arguments)
    return [Step("adapt", words, (out / RECORD, out / "report.html"), out / CHECKPOINT)]


def tuning_steps(private: Path, parent: Version, options: FineTuneOptions, device: str) -> list[Step]:
    """`train.json` of the version's own bundle on the site's labels from the version's weights, then the
    comparison with it on held-out subjects.

    Args:
        private: folder of the job.
        parent: version that is tuned.
        options: of the job.
        device: where to compute.
    """
    trained, out = private / TRAINED, private / RUN
    rate = _configuration(parent.bundle, "train").get("training", {}).get("learning_rate", 1e-4)
    arguments = _common(private, parent.bundle, options, device, trained) | {
        "config_file": [str(parent.bundle / "configs" / "train.json")],
        "checkpoint": str(parent.bundle / "models" / "model.pt"),
        "max_epochs": epochs_of_tuning(options),
        "learning_rate": _TUNING_RATE * float(rate),
    }
    words = _bundle_run(private, "train", arguments)
    finish = {
        "bundle": str(parent.bundle),
        "parent": parent.number,
        "weights": str(trained / "release" / "model.pt"),
        "reference": str(trained / "release" / "reference_scans.json"),
        "arguments": arguments,
        "out": str(out),
        "device": device,
    }
    write_json(private / FINISH, finish)
    finishing = python("monai_sfda.label.adaptation.finish_fine_tuning", str(private / FINISH))
    return [
        Step("train", words, (trained / "release" / "release.json",), trained / CHECKPOINT),
        Step("compare", tuple(finishing), (out / RECORD, out / "report.html")),
    ]


def _common(private: Path, bundle: Path, options: JobOptions, device: str, out: Path) -> dict[str, Any]:
    return {
        "bundle_root": str(bundle),
        "dataset_dir": str(private / SCANS),
        "datalist": str(private / DATALIST),
        "domain": "target",
        "split": "train",
        "output_dir": str(out),
        "device": device,
        "seed": options.seed,
    }


def _bundle_run(private: Path, name: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    path = private / f"{name}_arguments.json"
    write_json(path, arguments)
    return tuple(python("monai.bundle", "run", "--args_file", str(path)))


def _configuration(bundle: Path, name: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(
            (bundle / "configs" / f"{name}.json").read_text(encoding="utf-8")
        )
        return content
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the version's bundle has no {name}.json that can be read",
            remedy="publish a bundle that train.json or adapt.json of this package wrote",
        ) from error

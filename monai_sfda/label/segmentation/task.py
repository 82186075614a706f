"""The infer task of a model: a study in, its labelmap and what is known of it out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_sfda.errors import DataError, SfdaError
from monai_sfda.guard import Familiarity
from monai_sfda.label.models import InstalledModel, LoadedModel, Models
from monai_sfda.label.segmentation.devices import chosen_device, offered_devices
from monai_sfda.label.segmentation.maps import UncertaintyMaps
from monai_sfda.label.segmentation.options import ACTIVE, SegmentationOptions
from monai_sfda.label.segmentation.result import INTENDED_USE, parameters, write_result
from monai_sfda.label.stock import prepare
from monai_sfda.label.values import read_options
from monai_sfda.store import Version

prepare()

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType  # noqa: E402

logger = logging.getLogger(__name__)
_MOST_VERSIONS = 50
"""Offered in the panel: the newest ones."""


@dataclass(frozen=True)
class Result:
    """Of one request.

    Attributes:
        file: the labelmap; whoever sends it takes it away.
        parameters: JSON-ready, for the client.
        loaded: the version that made it.
        familiarity: of the scan.
    """

    file: str
    parameters: dict[str, Any]
    loaded: LoadedModel
    familiarity: Familiarity | None


class SegmentationTask(InferTask):
    """Segments a study by the active version of a model, or by another one that the client asks for.

    Args:
        models: that the app serves.
        name: of the model, and of the task.
        maps: where uncertainty maps are kept for the client.
    """

    def __init__(self, models: Models, name: str, maps: UncertaintyMaps) -> None:
        self.models, self.name, self.maps = models, name, maps
        installed = models[name]
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=installed.labels,
            dimension=3,
            description=f"{installed.task.title}; {INTENDED_USE}",
        )

    @property
    def installed(self) -> InstalledModel:
        """The model of the store."""
        return self.models[self.name]

    def info(self) -> dict[str, Any]:
        """As `/info` shows it; which version is active is read at each call."""
        installed = self.installed
        versions = installed.versions()
        active = installed.active()
        return {
            "type": self.type,
            "labels": self.labels,
            "dimension": self.dimension,
            "description": describe(installed, active),
            "config": self._config_of(versions),
            "sfda": {
                "task": installed.task.name,
                "modality": installed.modality,
                "active_version": active.number,
                "verdict": active.verdict,
                "versions": [_entry(version, active) for version in versions[-_MOST_VERSIONS:]],
                "intended_use": INTENDED_USE,
            },
        }

    def config(self) -> dict[str, Any]:
        """What the client's panel offers; the first of a list is what it shows at first."""
        return self._config_of(self.installed.versions())

    def _config_of(self, versions: list[Version]) -> dict[str, Any]:
        return {
            "version": [ACTIVE, *(str(v.number) for v in reversed(versions[-_MOST_VERSIONS:]))],
            "largest_component": False,
            "uncertainty": False,
            "device": offered_devices(self.models.device),
        }

    def is_valid(self) -> bool:
        """Whether the model's active version can be looked up now."""
        try:
            self.installed.active()
            self.installed.versions()
        except SfdaError as error:
            logger.error("model '%s' cannot be served: %s", self.name, error.what)
            return False
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The labelmap's file and the parameters of the result; see `run`."""
        result = self.run(request)
        return result.file, result.parameters

    def run(self, request: Mapping[str, Any]) -> Result:
        """Segments the study of a request.

        Args:
            request: `image` is a path that the server has looked up: a file, or a folder with one DICOM
                series; of the rest the fields of `SegmentationOptions` are read.

        Raises:
            SettingError: for an option that cannot be had.
            DataError: when the study cannot be read or segmented.
            StoreError: when the version asked for is not there or damaged.
        """
        begin = time.perf_counter()
        options = read_options(SegmentationOptions, request)
        device = chosen_device(options.device, self.models.device)
        loaded = self.models.load(self.name, options.version, device=device)
        started = time.perf_counter()
        scan = loaded.read(image_path(request))
        read = time.perf_counter()
        found = loaded.segment(scan, largest_component=options.largest_component, entropy=options.uncertainty)
        segmented = time.perf_counter()
        said = parameters(
            loaded,
            scan,
            found.prediction.classes,
            found.prediction.confidence,
            familiarity=found.familiarity,
            volumes=found.volumes_ml,
            warnings=() if found.doubt is None else (found.doubt,),
        )
        if found.prediction.entropy is not None:
            inside = found.prediction.entropy[found.prediction.classes > 0]
            said["uncertainty"] = {
                "map": self.maps.keep(found.prediction.entropy, scan),
                "unit": "nat",
                "mean_in_structures": round(float(inside.mean()), 4) if inside.size else None,
            }
        file = write_result(found.prediction.classes, scan, options)
        written = time.perf_counter()
        said["latencies"] = {
            "load": round(started - begin, 3),
            "read": round(read - started, 3),
            "infer": round(segmented - read, 3),
            "write": round(written - segmented, 3),
            "total": round(written - begin, 3),
        }
        logger.info(
            "model '%s' version %d segmented a scan of %d voxels in %.2f s",
            self.name,
            loaded.version.number,
            found.prediction.classes.size,
            written - begin,
        )
        return Result(file, said, loaded, found.familiarity)


def image_path(request: Mapping[str, Any]) -> Path:
    """The path of a request's study.

    Raises:
        DataError: when the request names none.
    """
    image = request.get("image")
    if not isinstance(image, (str, Path)) or not str(image):
        raise DataError("the request names no study", remedy="give the id of an image of the datastore")
    return Path(image)


def describe(installed: InstalledModel, version: Version) -> str:
    """A model and its active version in a line, for the clients' lists."""
    about = "source model" if version.is_source else f"{version.manifest['title']}"
    verdict = "" if version.verdict is None else f", guard: {version.verdict}"
    return (
        f"{installed.task.title} ({installed.modality}), version {version.number}: {about}{verdict}; "
        f"{INTENDED_USE}"
    )


def _entry(version: Version, active: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "kind": version.kind,
        "method": version.manifest.get("method"),
        "verdict": version.verdict,
        "active": version.number == active.number,
    }

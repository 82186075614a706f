"""What the correction tasks have in common: the model, the scan, the answer."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.engines.volumes import volumes_ml
from monai_sfda.errors import SettingError
from monai_sfda.label.correction.known import Known, KnownScans
from monai_sfda.label.correction.requests import CorrectionOptions
from monai_sfda.label.models import LoadedModel, Models
from monai_sfda.label.stock import prepare

prepare()

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType  # noqa: E402

logger = logging.getLogger(__name__)

INTENDED_USE = "research; not for diagnosis"
KNOWN_SCANS = KnownScans()
"""Shared by all tasks of a process: scribbles and clicks on one scan run the network once."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """A corrected segmentation.

    Attributes:
        classes: (X, Y, Z) uint8, the model's indices.
        before: as it was.
        structures: those that were corrected, by name.
        first: the structure that is value 1 of the answer, as panels that read value 1 alone want it; None
            for the model's own order.
    """

    classes: NDArray[np.uint8]
    before: NDArray[np.uint8]
    structures: list[str]
    first: str | None


class CorrectionTask(InferTask):
    """A task of MONAI Label that corrects a model's segmentation.

    Args:
        models: that the app serves.
        name: of the model.
        type: of MONAI Label's tasks, by which clients show it in their panels.
        description: what it does, in words for a radiologist.
        reach_mm: how far a mark acts where the request does not say.
        known: the scans that are being corrected.
    """

    def __init__(
        self,
        models: Models,
        name: str,
        type: InferType,
        description: str,
        reach_mm: float,
        known: KnownScans = KNOWN_SCANS,
    ) -> None:
        self.models, self.name, self.reach_mm, self.known = models, name, reach_mm, known
        super().__init__(type, models[name].labels, 3, description)

    def is_valid(self) -> bool:
        """Whether the model is served."""
        return self.name in self.models

    def config(self) -> dict[str, Any]:
        """What the client's option table offers; of a list the first entry is the default."""
        versions = [str(version.number) for version in self.models[self.name].versions()]
        return {"version": ["active", *versions], "reach_mm": self.reach_mm, "smoothness": 1.0}

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The corrected segmentation: a file on the scan's own grid, and what is in it.

        Args:
            request: `image` is a path of the datastore; the rest is as the client sent it.

        Raises:
            SettingError: when the request is not understood.
            DataError: when scan or label map cannot be used.
            StoreError: when there is no such version.
        """
        from monai_sfda.label.correction.answer import write_answer

        start = time.monotonic()
        image = request.get("image")
        if not isinstance(image, (str, Path)):
            raise SettingError("no image is named", remedy="name an image of the datastore")
        options = self.read(request)
        loaded = self.models.load(self.name, options.version)
        known = self.known(loaded, Path(image))
        corrected = self.correct(request, options, known)
        file = write_answer(corrected, known.scan, loaded.installed.labels, request)
        logger.info("corrected a scan with %s in %.1f s", self.name, time.monotonic() - start)
        return str(file), self.parameters(corrected, known, loaded)

    @abstractmethod
    def read(self, request: Mapping[str, Any]) -> CorrectionOptions:
        """The request's options.

        Raises:
            SettingError: when they cannot be used.
        """

    @abstractmethod
    def correct(self, request: Mapping[str, Any], options: Any, known: Known) -> Corrected:
        """The correction itself.

        Args:
            request: as the client sent it.
            options: as `read` made them of it.
            known: the scan and what the model says of it.
        """

    def parameters(self, corrected: Corrected, known: Known, loaded: LoadedModel) -> dict[str, Any]:
        """What stands beside the answer's file."""
        labels, ml = loaded.installed.labels, float(abs(np.linalg.det(known.scan.affine[:3, :3]))) / 1000
        changes = {}
        for name in corrected.structures:
            now, before = corrected.classes == labels[name], corrected.before == labels[name]
            changes[name] = {
                "added_ml": round(float((now & ~before).sum()) * ml, 3),
                "removed_ml": round(float((before & ~now).sum()) * ml, 3),
            }
        return {
            "label_names": answer_labels(labels, corrected.first),
            "volumes_ml": volumes_ml(corrected.classes, known.scan, loaded.installed.task),
            "corrected": changes,
            "model": self.name,
            "model_version": loaded.version.number,
            "verdict": loaded.version.verdict,
            "intended_use": INTENDED_USE,
        }


def answer_labels(labels: Mapping[str, int], first: str | None) -> dict[str, int]:
    """The indices 1..K of the answer: the model's own, or `first` before all others.

    >>> answer_labels({"liver": 1, "spleen": 2}, "spleen")
    {'spleen': 1, 'liver': 2}
    """
    names = sorted(labels, key=lambda name: (name != first, labels[name]))
    return {name: index for index, name in enumerate(names, start=1)}

"""What the correction tasks have in common: the model, the scan, the answer."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import SfdaError
from monai_sfda.label.correction.known import Known, KnownScans
from monai_sfda.label.correction.requests import CorrectionOptions
from monai_sfda.label.models import LoadedModel, Models
from monai_sfda.label.segmentation.devices import chosen_device, offered_devices
from monai_sfda.label.segmentation.options import ACTIVE
from monai_sfda.label.segmentation.result import parameters, write_result
from monai_sfda.label.segmentation.task import image_path
from monai_sfda.label.stock import prepare

prepare()

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType  # noqa: E402

logger = logging.getLogger(__name__)

_MOST_VERSIONS = 50
"""Offered in the panel: the newest ones."""
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
        type: str,
        description: str,
        reach_mm: float,
        known: KnownScans = KNOWN_SCANS,
    ) -> None:
        self.models, self.name, self.reach_mm, self.known = models, name, reach_mm, known
        super().__init__(InferType(type), models[name].labels, 3, description)

    def is_valid(self) -> bool:
        """Whether the model can be looked up now."""
        try:
            self.config()
            self.models[self.name].active()
        except SfdaError as error:
            logger.error("corrections of model '%s' cannot be served: %s", self.name, error.what)
            return False
        return True

    def config(self) -> dict[str, Any]:
        """What the client's option table offers; of a list the first entry is the default."""
        versions = reversed(self.models[self.name].versions()[-_MOST_VERSIONS:])
        return {
            "version": [ACTIVE, *(str(version.number) for version in versions)],
            "reach_mm": self.reach_mm,
            "smoothness": CorrectionOptions().smoothness,
            "device": offered_devices(self.models.device),
        }

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The corrected segmentation: a file on the scan's own grid, and what is in it.

        Args:
            request: `image` is a path that the server has looked up; the rest is as the client sent it.

        Raises:
            SettingError: when the request is not understood.
            DataError: when scan or label map cannot be used.
            StoreError: when there is no such version.
            OutputError: when the answer cannot be written.
        """
        start = time.perf_counter()
        options = self.read(request)
        device = chosen_device(options.device, self.models.device)
        loaded = self.models.load(self.name, options.version, device=device)
        known = self.known(loaded, image_path(request))
        ready = time.perf_counter()
        corrected = self.correct(request, options, known)
        refined = time.perf_counter()
        file = write_result(self._answer(corrected, loaded), known.scan, options)
        said = self.parameters(corrected, known, loaded)
        end = time.perf_counter()
        said["latencies"] = {
            "infer": round(ready - start, 3),
            "correct": round(refined - ready, 3),
            "write": round(end - refined, 3),
            "total": round(end - start, 3),
        }
        logger.info("model '%s' corrected a scan in %.2f s", self.name, end - start)
        return file, said

    @staticmethod
    def _answer(corrected: Corrected, loaded: LoadedModel) -> NDArray[np.uint8]:
        """(X, Y, Z) with the answer's own indices."""
        if corrected.first is None:
            return corrected.classes
        labels = loaded.installed.labels
        wanted = answer_labels(labels, corrected.first)
        table = np.zeros(256, np.uint8)
        for name, index in labels.items():
            table[index] = wanted[name]
        return np.asarray(table[corrected.classes], np.uint8)

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
        changed = corrected.classes != corrected.before
        now, before = corrected.classes[changed], corrected.before[changed]
        changes = {
            name: {
                "added_ml": round(float((now == labels[name]).sum()) * ml, 3),
                "removed_ml": round(float((before == labels[name]).sum()) * ml, 3),
            }
            for name in corrected.structures
        }
        said = parameters(loaded, known.scan, corrected.classes)
        said["label_names"] = answer_labels(labels, corrected.first)
        said["corrected"] = changes
        return said


def answer_labels(labels: Mapping[str, int], first: str | None) -> dict[str, int]:
    """The indices 1..K of the answer: the model's own, or `first` before all others.

    >>> answer_labels({"liver": 1, "spleen": 2}, "spleen")
    {'spleen': 1, 'liver': 2}
    """
    names = sorted(labels, key=lambda name: (name != first, labels[name]))
    return {name: index for index, name in enumerate(names, start=1)}

"""The domain-shift score of a scan: how far it is from those that a model knows, without a mask."""

from __future__ import annotations

import torch

from monai_sfda.catalog import Task
from monai_sfda.data.scan import Scan
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.engines.reference_scans import profile_scan
from monai_sfda.guard import Familiarity, Reference, compare
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import Preprocessing


class ShiftScorer:
    """Scores scans against what a model knows. Touches no file.

    Args:
        network: the model, in evaluation mode, on `device`.
        reference: of the scans that it knows.
        task: of the model.
        preprocessing: of the scans' modality.
        inferer: slices to logits, as in inference.
        device: where the network lies.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        reference: Reference,
        task: Task,
        preprocessing: Preprocessing,
        inferer: SliceStackInferer,
        device: torch.device,
    ) -> None:
        self.network, self.reference, self.task = network, reference, task
        self._preprocessing, self._inferer, self._device = preprocessing, inferer, device

    def __call__(self, scan: Scan) -> Familiarity:
        """The same score as in `inference.json`."""
        profile = profile_scan(
            scan,
            self.network,
            self._preprocessing,
            self._inferer,
            self._device,
            pictures=self.task.pictures,
        )
        return compare(profile, self.reference, self.task.labels, pictures=self.task.pictures)

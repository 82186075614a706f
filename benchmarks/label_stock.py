"""MONAI Label's own inference task on a network of this package, to compare with ours.

The transforms are those of its radiology app's segmentation (orientation, spacing, intensities; spacing and
orientation inverted on the logits, softmax and the most probable class), which give a right result on the
scan's grid; its smoothing and its centroids are left out, as ours does neither. The slices go through the
network in the same batches as in ours, by the same inferer. One defect is worked round: MONAI's spacing takes
MONAI Label's `image_path`, a text, for an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)
from torch import Tensor, nn

from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.label.stock import prepare
from monai_sfda.transforms import Preprocessing

prepare()
from monailabel.interfaces.tasks.infer_v2 import InferType  # noqa: E402
from monailabel.tasks.infer.basic_infer import BasicInferTask  # noqa: E402
from monailabel.transform.post import Restored  # noqa: E402


class AxialSlices(Inferer):
    """A volume (1, C, X, Y, Z) in R, A, S order through a network of axial slices."""

    def __init__(self, slices: SliceStackInferer) -> None:
        super().__init__()
        self._slices = slices

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Logits (1, K, X, Y, Z)."""
        with torch.inference_mode():
            logits = self._slices(inputs.permute(0, 1, 4, 2, 3), network, *args, **kwargs)
        return logits.permute(0, 1, 3, 4, 2)


class StockSegmentation(BasicInferTask):
    """The stock task with a network of this package.

    Args:
        weights: bare state dict.
        network: instance that they are loaded into.
        preprocessing: of the scans, CT: a window, then the volume's own mean and deviation.
        inferer: of slices.
        labels: names to indices.
    """

    def __init__(
        self,
        weights: Path,
        network: nn.Module,
        preprocessing: Preprocessing,
        inferer: SliceStackInferer,
        labels: dict[str, int],
    ) -> None:
        super().__init__(str(weights), network, InferType.SEGMENTATION, labels, 3, "stock")
        self._preprocessing, self._slices = preprocessing, inferer

    def pre_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        pixel, intensity = self._preprocessing.pixel_size_mm, self._preprocessing.intensity
        if intensity.window is None or intensity.percentiles is not None or intensity.fixed is not None:
            raise SystemExit("the stock task is made for CT with a window here")
        low, high = intensity.window
        return [
            LoadImaged(keys="image"),
            EnsureTyped(keys="image", device=data.get("device") if data else None),
            EnsureChannelFirstd(keys="image"),
            Orientationd(keys="image", axcodes="RAS"),
            Spacingd(keys="image", pixdim=(pixel, pixel, -1.0), allow_missing_keys=True),
            ScaleIntensityRanged(keys="image", a_min=low, a_max=high, b_min=low, b_max=high, clip=True),
            NormalizeIntensityd(keys="image"),
        ]

    def run_pre_transforms(self, data: dict[str, Any], transforms: Any) -> Any:
        path = data.pop("image_path", None)
        return {**super().run_pre_transforms(data, transforms), "image_path": path}

    def inferer(self, data: Any = None) -> Inferer:
        return AxialSlices(self._slices)

    def inverse_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        return []

    def post_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        return [
            EnsureTyped(keys="image", device=data.get("device") if data else None),
            Activationsd(keys="pred", softmax=True),
            AsDiscreted(keys="pred", argmax=True),
            Restored(keys="pred", ref_image="image"),
        ]

"""Segmentation by the store's models, as tasks of MONAI Label's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_sfda.label.segmentation.maps import UncertaintyMaps
from monai_sfda.label.segmentation.options import ResultOptions, SegmentationOptions
from monai_sfda.label.segmentation.result import parameters, write_result

if TYPE_CHECKING:
    from monai_sfda.label.models import Models
    from monai_sfda.label.segmentation.task import SegmentationTask

__all__ = [
    "ResultOptions",
    "SegmentationOptions",
    "UncertaintyMaps",
    "parameters",
    "segmentation_tasks",
    "write_result",
]


def segmentation_tasks(models: Models, maps: UncertaintyMaps) -> dict[str, SegmentationTask]:
    """One task a served model, by the model's name.

    Args:
        models: that are served.
        maps: where uncertainty maps are kept for those who asked for them.
    """
    from monai_sfda.label.segmentation.task import SegmentationTask

    return {name: SegmentationTask(models, name, maps) for name in models}

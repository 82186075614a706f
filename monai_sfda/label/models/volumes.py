"""Volumes of a segmentation's structures, for somebody who waits for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import Task, without_background
from monai_sfda.data.scan import Scan


def volumes_ml(segmentation: NDArray[np.uint8], scan: Scan, task: Task) -> dict[str, float]:
    """Volume of each structure and region in ml, as `monai_sfda.engines.volumes.volumes_ml` has it.

    A comparison a structure is ten times as fast as a histogram, which widens every voxel to eight bytes.

    Args:
        segmentation: (X, Y, Z), contiguous classes.
        scan: on whose grid it lies.
        task: whose structures they are.
    """
    voxel_ml = float(abs(np.linalg.det(scan.affine[:3, :3]))) / 1000
    volumes = {
        name: np.count_nonzero(segmentation == index) * voxel_ml
        for name, index in without_background(task.labels).items()
    }
    return {name: round(volume, 3) for name, volume in task.with_regions(volumes).items()}

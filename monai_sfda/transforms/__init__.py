"""From a scan to network input: geometry, intensities, 2.5D stacks, augmentation."""

from monai_sfda.transforms.augmentation import AUGMENTATION_OFF, Augmentation, augment
from monai_sfda.transforms.geometry import SliceGrid, SlicePlanesd, resample_plane, slice_grid
from monai_sfda.transforms.intensity import NormaliseIntensityd, normalise
from monai_sfda.transforms.preprocessing import Preprocessing, preprocessing_for, task_preprocessing
from monai_sfda.transforms.stacking import AdjacentSlicesd, all_stacks, clamp_edges, pad_plane, stack_view

__all__ = [
    "AUGMENTATION_OFF",
    "AdjacentSlicesd",
    "Augmentation",
    "NormaliseIntensityd",
    "Preprocessing",
    "SliceGrid",
    "SlicePlanesd",
    "all_stacks",
    "augment",
    "clamp_edges",
    "normalise",
    "pad_plane",
    "preprocessing_for",
    "resample_plane",
    "slice_grid",
    "stack_view",
    "task_preprocessing",
]

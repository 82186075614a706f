"""What happens to a scan before the network sees it, as one value that travels with the release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor

from monai_sfda.catalog import Domain, Intensity, Task, find_task
from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.transforms.geometry import SliceGrid, SlicePlanesd, slice_grid
from monai_sfda.transforms.intensity import NormaliseIntensityd


@dataclass(frozen=True)
class Preprocessing:
    """Orientation, in-plane sampling and intensities of one modality.

    Attributes:
        slice_axis: 0 sagittal, 1 coronal, 2 axial, after turning the axes to R, A, S.
        pixel_size_mm: in-plane pixel size; None keeps the scan's own.
        stack_slices: neighbouring slices that make one input (odd).
        intensity: window or percentiles, then zero mean and unit variance over the volume, then the clip.
        plane_size: (H, W) that every slice is resampled to, in place of a pixel size: pictures; None: scans.
    """

    slice_axis: int
    pixel_size_mm: float | None
    stack_slices: int
    intensity: Intensity
    plane_size: tuple[int, int] | None = None

    def image(self, array: NDArray[np.float32], affine: NDArray[np.float64]) -> tuple[Tensor, SliceGrid]:
        """A scan (C, X, Y, Z) as normalised slices (S, C, H', W') float32, and where they lie."""
        out = self.transform()({"image": array, "affine": affine})
        return out["image"], out["grid"]

    def planes(self, array: NDArray[np.float32], affine: NDArray[np.float64]) -> tuple[Tensor, SliceGrid]:
        """As `image`, before the intensities are normalised."""
        slices = SlicePlanesd("image", (), self.slice_axis, self.pixel_size_mm, self.plane_size)
        out = slices({"image": array, "affine": affine})
        return out["image"], out["grid"]

    def normalise(self, slices: Tensor) -> Tensor:
        """Slices (S, C, H', W') with the modality's intensities: what `image` does after `planes`."""
        normalised: Tensor = NormaliseIntensityd("image", self.intensity)({"image": slices})["image"]
        return normalised

    def transform(self, keys: KeysCollection = "image", label_keys: KeysCollection = ()) -> Compose:
        """The same as dictionary transforms, for a dictionary that has the scan's `affine` too."""
        slices = SlicePlanesd(keys, label_keys, self.slice_axis, self.pixel_size_mm, self.plane_size)
        return Compose([slices, NormaliseIntensityd(keys, self.intensity)])

    def label(self, array: NDArray[np.uint8], grid: SliceGrid) -> Tensor:
        """A label (X, Y, Z) as slices (S, 1, H', W') uint8 on the image's grid."""
        return grid.resample_labels(grid.to_slices(array[None]))

    def grid(self, shape: tuple[int, ...], affine: NDArray[np.float64]) -> SliceGrid:
        """The slice grid of a scan of that shape and affine."""
        x, y, z = shape
        return slice_grid(
            (x, y, z),
            affine,
            slice_axis=self.slice_axis,
            pixel_size_mm=self.pixel_size_mm,
            plane_size=self.plane_size,
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in `release.json`."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Preprocessing:
        """Reads `to_json`'s form; a `ReleaseError` for anything else."""
        try:
            intensity: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in data["intensity"].items()
            }
            size = data.get("plane_size")
            return replace(
                Preprocessing(**(data | {"intensity": Intensity()})),
                intensity=Intensity(**intensity),
                plane_size=None if size is None else (int(size[0]), int(size[1])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ReleaseError(
                f"preprocessing cannot be read ({error})", remedy="ask the source site for the release again"
            ) from error


def preprocessing_for(
    task: Task,
    domain: Domain,
    *,
    pixel_size_mm: float | None,
    stack_slices: int | None = None,
    slice_axis: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> Preprocessing:
    """A domain's preprocessing: the task's geometry with the modality's intensities.

    Args:
        task, domain: whose.
        pixel_size_mm, stack_slices, slice_axis: see `Preprocessing`; None for the scan's or the task's own.
        image_size: (H, W) that pictures are resampled to; scans keep their pixel size.

    Raises:
        SettingError: for pictures without a size.
    """
    if task.pictures and image_size is None:
        raise SettingError(
            f"the pictures of task '{task.name}' have no size to be resampled to", remedy="give image_size"
        )
    return Preprocessing(
        slice_axis=task.slice_axis if slice_axis is None else slice_axis,
        pixel_size_mm=None if task.pictures else pixel_size_mm,
        stack_slices=task.stack_slices if stack_slices is None else stack_slices,
        intensity=domain.intensity,
        plane_size=image_size if task.pictures else None,
    )


def task_preprocessing(
    task: str | Task,
    domain: str,
    pixel_size_mm: float | None = None,
    stack_slices: int | None = None,
    slice_axis: int | None = None,
    image_size: Sequence[int] | None = None,
) -> Preprocessing:
    """`preprocessing_for` by names, for configurations."""
    found = find_task(task)
    return preprocessing_for(
        found,
        found.domain(domain),
        pixel_size_mm=pixel_size_mm,
        stack_slices=stack_slices,
        slice_axis=slice_axis,
        image_size=None if image_size is None else (image_size[0], image_size[1]),
    )

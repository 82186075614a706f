"""Changes of a scan that should change nothing in its segmentation, and the way back.

Each is small beside what scans of one protocol differ in. Where a change has a sign it alternates from slice
to slice, so that one forward pass a slice tries both. A change depends on the slice's number in its scan
alone, whatever the batches.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from monai_sfda.catalog import Task
from monai_sfda.transforms import Preprocessing

ROTATION_DEGREES = 10.0
ZOOM, SHIFT = 1.1, 0.03
GAIN, OFFSET, GAMMA = 1.2, 0.1, 0.85
NOISE = 0.2
RAMP = 0.25


class Change(ABC):
    """A change of network inputs, and what it does to the probabilities predicted for them.

    Attributes:
        signal: name of the agreement signal that it gives.
    """

    signal: str

    @abstractmethod
    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """Changed inputs.

        Args:
            image: (B, C, H, W), normalised.
            slices: number of each in its scan.
        """

    def undo(self, probabilities: Tensor, slices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Probabilities (B, K, H, W) of changed inputs, as they are for the unchanged, and where they are
        known, (B, H, W); None for everywhere.
        """
        return probabilities, None


class Mirror(Change):
    """The scan with left and right exchanged, sides in the names of structures with them.

    Args:
        classes: (K,) each class's mirror image.
        slice_axis: of the slices, in R, A, S. Left and right are rows of axial and coronal slices; of
            sagittal slices the order within the stack is reversed.
        stack_slices: n, slices a stack.
        pictures: whether left and right are columns, as in a picture.
    """

    signal = "agreement_mirror"

    def __init__(self, classes: Sequence[int], slice_axis: int, stack_slices: int, *, pictures: bool) -> None:
        self._classes = list(classes)
        self._axis = -1 if pictures else None if slice_axis == 0 else -2
        self._stack_slices = stack_slices

    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """The mirrored stacks."""
        if self._axis is not None:
            return image.flip(self._axis)
        channels, n = image.shape[1], self._stack_slices
        return image.reshape(len(image), channels // n, n, *image.shape[2:]).flip(2).reshape(image.shape)

    def undo(self, probabilities: Tensor, slices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Mirrored back."""
        p = probabilities if self._axis is None else probabilities.flip(self._axis)
        return p[:, self._classes], None


class Warp(Change):
    """A rotation, enlargement and shift of every slice in its plane.

    Args:
        signal: name of the agreement.
        degrees: of the rotation; the other way in every other slice.
        zoom: factor; its inverse in every other slice.
        shift: along rows and columns, as a share of the sides; the other way in every other slice.
    """

    def __init__(self, signal: str, *, degrees: float = 0.0, zoom: float = 1.0, shift: float = 0.0) -> None:
        self.signal = signal
        self._degrees, self._zoom, self._shift = degrees, zoom, shift

    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """The warped stacks, bilinear; what comes from outside repeats the border."""
        points = functional.affine_grid(self._maps(image, slices), list(image.shape), align_corners=False)
        return functional.grid_sample(image, points, padding_mode="border", align_corners=False)

    def undo(self, probabilities: Tensor, slices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Warped back, bilinear; known where the warped slice shows the place."""
        maps = self._maps(probabilities, slices).double()
        inverse = torch.linalg.inv(maps[:, :, :2])
        back = torch.cat([inverse, -inverse @ maps[:, :, 2:]], dim=2).to(probabilities)
        points = functional.affine_grid(back, list(probabilities.shape), align_corners=False)
        known = points.abs().amax(-1) <= 1
        return functional.grid_sample(
            probabilities, points, padding_mode="border", align_corners=False
        ), known

    def _maps(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """(B, 2, 3) from places (x, y) in a warped slice to places in the slice, in [-1, 1]."""
        height, width = image.shape[-2:]
        rows = []
        for i in slices:
            sign = 1 if i % 2 == 0 else -1
            angle, scale = sign * math.radians(self._degrees), self._zoom**-sign
            cos, sin, shift = math.cos(angle) * scale, math.sin(angle) * scale, sign * 2 * self._shift
            rows.append([[cos, -sin * height / width, shift], [sin * width / height, cos, shift]])
        return torch.tensor(rows, dtype=image.dtype, device=image.device)


class Contrast(Change):
    """Another gain, offset and gamma: y = g (l + (h - l) ((x - l) / (h - l))^gamma) + o, with l and h the
    lowest and highest value of the stack; 1/g, -o and 1/gamma in every other slice.
    """

    signal = "agreement_contrast"

    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """The changed stacks."""
        low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        sign = torch.tensor([1.0 if i % 2 == 0 else -1.0 for i in slices]).to(image)[:, None, None, None]
        extent = (high - low).clamp_min(1e-6)
        curved = low + extent * ((image - low) / extent).clamp(0, 1).pow(GAMMA**sign)
        return curved * GAIN**sign + OFFSET * sign


class Noise(Change):
    """Gaussian noise added, of standard deviation `NOISE` in units of the normalised scan.

    Args:
        seed: of the noise.
    """

    signal = "agreement_noise"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """The noisy stacks; drawn on the CPU, the same on every device."""
        noise = [torch.randn(image.shape[1:], generator=self._generator(i)) for i in slices]
        return image + NOISE * torch.stack(noise).to(image)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed((self._seed * 1_000_003 + number) % 2**63)


class Ramp(Change):
    """An intensity that rises across the slice, as near a receive coil: y = l + (x - l) (1 + `RAMP` r), r
    from -1 to 1 along rows or columns, l the lowest value of the stack; a quarter turn further each slice.
    """

    signal = "agreement_ramp"

    def apply(self, image: Tensor, slices: Sequence[int]) -> Tensor:
        """The changed stacks."""
        height, width = image.shape[-2:]
        rows = torch.linspace(-1, 1, height)[:, None].expand(height, width)
        columns = torch.linspace(-1, 1, width).expand(height, width)
        turns = (rows, columns, -rows, -columns)
        ramp = torch.stack([turns[i % 4] for i in slices]).to(image)[:, None]
        low = image.amin((1, 2, 3), keepdim=True)
        return low + (image - low) * (1 + RAMP * ramp)


def changes_for(task: Task, preprocessing: Preprocessing, seed: int) -> tuple[Change, ...]:
    """The changes that a task's scans are tried with: five, and a mirror where the task allows one.

    A mirrored abdomen or heart is no valid one, and is not tried. Of single sagittal slices the mirror is
    the slice itself, and says nothing.

    Args:
        task: of the scans.
        preprocessing: of the scans.
        seed: of the noise.
    """
    changes: list[Change] = [
        Warp("agreement_rotation", degrees=ROTATION_DEGREES),
        Warp("agreement_zoom", zoom=ZOOM, shift=SHIFT),
        Contrast(),
        Noise(seed),
        Ramp(),
    ]
    classes, axis, n = task.mirrored_classes, preprocessing.slice_axis, preprocessing.stack_slices
    if classes is not None and (task.pictures or axis != 0 or n > 1):
        changes.append(Mirror(classes, axis, n, pictures=task.pictures))
    return tuple(changes)

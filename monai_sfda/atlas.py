"""The atlas of a release: where in the body each structure lies, as a coarse mean label map of many subjects.

Its cells lie in `body_coordinates`: 16 x 16 over the body box and a margin of a tenth, and 20 mm from foot to
head. Every cell holds the mean over subjects of the share of each class, blurred.

From foot to head, where fields of view differ most, 0 is not the middle of what is seen but the mean place of
the labelled structures of the normal anatomy (`anchored`). A user of the atlas has to find it in a scan: by
the shift that fits a segmentation best (`guard.atlas_agreement`). Structures of a disease may be anywhere;
without others 0 is the middle of the body box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from monai_sfda.body_coordinates import BodyCoordinates
from monai_sfda.catalog import IGNORED
from monai_sfda.disclosure import LARGEST_SHARE, MINIMUM_SUBJECTS
from monai_sfda.errors import ReleaseError

CELLS, MARGIN = 16, 0.1
"""Cells along left to right and along back to front, and how far they reach beyond the body box."""
STEP_MM = 20.0
REACH_MM = 500.0
"""Size of a cell from foot to head, and how far from 0 labels are looked at."""
REACH = 1.5
"""Extent of the atlas from foot to head, in mean extents of the structures, or of the body box."""
BLUR = 0.5
"""Standard deviation, cells. With the cells themselves and the interpolation between them, the labels are
blurred by about 20 mm in the plane of an adult's body."""
_LEVELS = 255
_MOST_HEADS = 2 * round(REACH_MM / STEP_MM) + 1


@dataclass(frozen=True)
class Atlas:
    """Where the structures lie. No value of a single subject.

    Attributes:
        probabilities: (K, 16, 16, N) along R, A and S, summing to 1 over the classes; in steps of 1/255.
        subjects: (K,) number of subjects behind each class; 0 for a class that has no place, because too few
            subjects show it.
        anchored: whether 0 along S is the middle of the structures; otherwise that of the body box.
        warnings: what is left out, in words.
    """

    probabilities: Tensor
    subjects: Tensor
    anchored: bool
    warnings: tuple[str, ...] = ()

    @property
    def reach_mm(self) -> float:
        """How far it reaches along S, either way."""
        return self.probabilities.shape[3] * STEP_MM / 2

    def at(self, right: Tensor, front: Tensor, head: Tensor) -> Tensor:
        """Probabilities on a grid of places, linear between the middles of the cells.

        Beyond the outermost middles they are those of the outermost cells.

        Args:
            right, front: (X,), (Y,) shares of the body box.
            head: (Z,) mm from the atlas's 0.

        Returns:
            (K, X, Y, Z) float64.
        """
        p, cells = self.probabilities.double(), self.probabilities.shape[3]
        for dim, position in (
            (1, plane_position(right)),
            (2, plane_position(front)),
            (3, head / STEP_MM + cells / 2),
        ):
            p = torch.tensordot(p, _between(position - 0.5, p.shape[dim]), dims=([dim], [1])).movedim(-1, dim)
        return p

    def to_json(self) -> dict[str, Any]:
        """What `release.json` says of it."""
        return {
            "cells": list(self.probabilities.shape[1:]),
            "step_mm": STEP_MM,
            "anchored": self.anchored,
            "subjects": [int(n) for n in self.subjects],
            "warnings": list(self.warnings),
        }

    def save(self, path: Path) -> None:
        """Writes a safetensors file of a few kB."""
        tensors = {
            "probabilities": (self.probabilities * _LEVELS).round().to(torch.uint8).contiguous(),
            "subjects": self.subjects.to(torch.int64),
        }
        metadata = {"anchored": str(self.anchored), "warnings": "\n".join(self.warnings)}
        path.write_bytes(save(tensors, metadata=metadata))

    @staticmethod
    def load(path: Path) -> Atlas:
        """Reads what `save` wrote.

        Raises:
            ReleaseError: when the file is damaged or of another kind.
        """
        try:
            tensors = load_file(path)
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            probabilities, subjects = tensors["probabilities"], tensors["subjects"]
            classes = len(subjects)
            if probabilities.dtype != torch.uint8 or probabilities.shape[:3] != (classes, CELLS, CELLS):
                raise ValueError(f"cells {tuple(probabilities.shape)} of {classes} classes")
            warnings = tuple(line for line in metadata["warnings"].split("\n") if line)
            return Atlas(probabilities / _LEVELS, subjects, metadata["anchored"] == "True", warnings)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ReleaseError(
                f"the atlas cannot be read ({type(error).__name__})",
                path=path,
                remedy="ask the source site for the release again",
            ) from error


def plane_position(share: Tensor, cells: int = CELLS) -> Tensor:
    """Places in shares of the body box as positions in cells, 0 and `cells` at the atlas's edges."""
    return (share + MARGIN) / (1 + 2 * MARGIN) * cells


def count_in_cells(
    classes: Tensor, coordinates: BodyCoordinates, num_classes: int, cells: int, head_cell: Tensor, heads: int
) -> Tensor:
    """Pixels of each class in cells of body coordinates.

    What is beyond the edges from left to right or back to front is in the outermost cells. Ignored pixels do
    not count.

    Args:
        classes: (S, H, W) integers.
        coordinates: of these slices.
        num_classes: K.
        cells: in-plane.
        head_cell: for each place along S its cell; one that is none of 0 to `heads` - 1 does not count.
        heads: cells along S.

    Returns:
        (K, cells, cells, heads) float64.
    """
    right, front = (
        plane_position(place, cells).floor().long().clamp(0, cells - 1) for place in coordinates.places[:2]
    )
    volume = coordinates.from_slices(classes).long()
    here = (head_cell >= 0) & (head_cell < heads)
    volume, head = volume[:, :, here], head_cell[here].long()
    cell = (right[:, None, None] * cells + front[:, None]) * heads + head
    known = volume != IGNORED
    index = volume[known] * cells * cells * heads + cell.expand(volume.shape)[known]
    size = num_classes * cells * cells * heads
    return torch.bincount(index, minlength=size).reshape(num_classes, cells, cells, heads).double()


class AtlasFit:
    """Gathers the atlas, subject by subject; memory independent of their number.

    Args:
        num_classes: K, background included.
        structures: the classes without background.
        anchors: those of them of the normal anatomy, by which subjects are aligned from foot to head.
        mirrored: (K,) each class's mirror image, where what is on the left of one subject may as well be on
            the right of another: each then counts with its mirror image too. None where sides differ.
        pictures: whether nothing has a size in mm, and left to right is the second axis.
    """

    def __init__(
        self,
        num_classes: int,
        structures: Sequence[int],
        anchors: Sequence[int] = (),
        *,
        mirrored: Sequence[int] | None = None,
        pictures: bool = False,
    ) -> None:
        self.num_classes, self._structures, self._anchors = num_classes, list(structures), list(anchors)
        self._mirrored, self._side = None if mirrored is None else list(mirrored), 2 if pictures else 1
        self._heads = 1 if pictures else _MOST_HEADS
        shape = (num_classes, CELLS, CELLS, self._heads)
        self._sum, self._largest, self._shown = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
        self._covered = torch.zeros(shape[1:], dtype=torch.float64)
        self._subjects, self._mass = 0, torch.zeros(3, num_classes, dtype=torch.float64)
        self._extents: list[float] = []

    def add_subject(self, scans: Sequence[tuple[Tensor, BodyCoordinates]]) -> None:
        """Adds all scans of one subject.

        Args:
            scans: labels (S, H, W) with their coordinates.
        """
        counts = torch.zeros_like(self._sum)
        extents = []
        for label, coordinates in scans:
            zero, extent = self._anchor(label, coordinates)
            extents += [extent] if extent > 0 else []
            head = ((coordinates.places[2] - zero) / STEP_MM + self._heads / 2).floor()
            counts += count_in_cells(label, coordinates, self.num_classes, CELLS, head, self._heads)
        if self._mirrored is not None:
            counts = counts + counts[self._mirrored].flip(self._side)
        covered = counts.sum(0) > 0
        blurred = _blurred(counts)
        share = blurred / blurred.sum(0).clamp_min(1e-12) * covered
        self._sum += share
        self._largest = self._largest.maximum(share)
        self._shown += share > 0
        self._covered += covered
        mass = share.sum((1, 2, 3))
        self._mass += torch.stack([mass, mass > 0, torch.zeros_like(mass)])
        self._mass[2] = self._mass[2].maximum(mass)
        self._subjects += 1
        self._extents += [sum(extents) / len(extents)] if extents else []

    def finish(self, names: Sequence[str]) -> Atlas | None:
        """The atlas of all subjects; None with fewer than `MINIMUM_SUBJECTS`.

        A class that too few subjects show has no place. Cells that too few subjects show, and of a class
        those where too few have it, or one has nearly all of it, count as background (without a background,
        as any class alike), so that nothing says what one of them has.

        Args:
            names: of the K classes, for the warnings.
        """
        if self._subjects < MINIMUM_SUBJECTS:
            return None
        total, shown, largest = self._mass
        known = (shown >= MINIMUM_SUBJECTS) & (largest <= LARGEST_SHARE * total)
        warnings = tuple(
            f"class {k} ({names[k]}): too few subjects show it: it has no place in the atlas"
            for k in range(self.num_classes)
            if not bool(known[k])
        )
        enough = (self._shown >= MINIMUM_SUBJECTS) & (self._largest <= LARGEST_SHARE * self._sum)
        enough &= (self._covered >= MINIMUM_SUBJECTS) & known[:, None, None, None]
        p = self._sum / self._covered.clamp_min(1) * enough
        background = [k for k in range(self.num_classes) if k not in self._structures]
        if background:
            p[background[0]] = (1 - p[self._structures].sum(0)).clamp_min(0)
        else:
            nothing = p.sum(0) == 0
            p = torch.where(nothing, torch.full_like(p, 1 / self.num_classes), p / p.sum(0).clamp_min(1e-12))
        half = self._half_cells()
        middle = self._heads // 2
        p = p[..., middle - half : middle + half + 1]
        levels = (p * _LEVELS).round() / _LEVELS
        subjects = torch.where(known, shown, 0).long()
        return Atlas(levels.float(), subjects, bool(self._anchors), warnings)

    def _half_cells(self) -> int:
        """Cells on either side of the middle one, from the mean extent over subjects."""
        half_mm = REACH * sum(self._extents) / max(len(self._extents), 1) / 2
        return min(max(0, math.ceil(half_mm / STEP_MM - 0.5)), self._heads // 2)

    def _anchor(self, label: Tensor, coordinates: BodyCoordinates) -> tuple[float, float]:
        """The place along S that becomes 0, and the extent of what the atlas is about, mm."""
        if not self._anchors:
            return 0.0, coordinates.box_mm
        heads = coordinates.places[2]
        volume = coordinates.from_slices(label)
        middles, shown = [], torch.zeros(len(heads), dtype=torch.bool)
        for k in self._anchors:
            along = (volume == k).sum((0, 1)).double()
            if bool(along.any()):
                middles.append(float((along * heads).sum() / along.sum()))
                shown |= along > 0
        if not middles:
            return 0.0, 0.0
        seen = heads[shown]
        return sum(middles) / len(middles), float(seen.max() - seen.min())


def _between(position: Tensor, cells: int) -> Tensor:
    """(P, cells) weights of linear interpolation at positions counted in middles of cells."""
    position = position.double().clamp(0, cells - 1)
    return (1 - (position[:, None] - torch.arange(cells)).abs()).clamp_min(0)


def _blurred(counts: Tensor) -> Tensor:
    """Counts (K, X, Y, Z) blurred by a Gaussian along each axis."""
    for dim in (1, 2, 3):
        n = counts.shape[dim]
        away = torch.arange(n)[:, None] - torch.arange(n)
        kernel = torch.exp(-0.5 * (away / BLUR) ** 2) * (away.abs() <= math.ceil(3 * BLUR))
        counts = torch.tensordot(counts, kernel.double(), dims=([dim], [1])).movedim(-1, dim)
    return counts

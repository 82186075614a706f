"""The brain of one subject with a glioma, under a smooth random deformation of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.brain_fields import BrainFields, interhemispheric, sulcus, sylvian
from monai_sfda.phantom.brain_interior import BrainInterior
from monai_sfda.phantom.brain_shape import BrainShape
from monai_sfda.phantom.brain_tissues import BrainTissue, Grade, TumourLabel
from monai_sfda.phantom.cerebellum import folia
from monai_sfda.phantom.draws import Point, Seed, generators, normal, uniform
from monai_sfda.phantom.folding import Folding
from monai_sfda.phantom.geometry import BodyCoordinates, Float32, Grid, Region, smooth_intersection
from monai_sfda.phantom.glioma import Glioma
from monai_sfda.phantom.interpolation import interpolate_separably, linear_weights
from monai_sfda.phantom.layers import TissueLayer, paint
from monai_sfda.phantom.warp import Warp

_NODE_MM = 2.0  # distance of the nodes between which the smooth fields are interpolated
_DEEP_MM = 14.0  # so far below the surface the brain gives way to a tumour freely


@dataclass(frozen=True)
class Brain:
    """One subject. Brain coordinates as in `brain_shape`.

    Attributes:
        scale: size of the subject relative to the reference brain, per axis.
        warp: deformation of the reference brain.
        shape, interior: the parts.
        folding: sulci of the cerebrum.
        cortex_mm: thickness of the cortex.
        sulcus_mm: half the width of the sulci; grows with age.
        reach_mm: mean depth of the sulci.
        depth_waves: how that varies over the brain.
        tumour: None for a healthy brain.
    """

    scale: Point
    warp: Warp
    shape: BrainShape
    interior: BrainInterior
    folding: Folding
    cortex_mm: float
    sulcus_mm: float
    reach_mm: float
    depth_waves: Warp
    tumour: Glioma | None

    def later(self, growth: float) -> Brain:
        """The same subject after the tumour has grown `growth` times as wide."""
        return self if self.tumour is None else replace(self, tumour=self.tumour.grown(growth))

    def stripped_at(self, points: NDArray[np.float64]) -> Float32:
        """Signed distance (approximate) to the surface along which the skull was stripped, (...,) in mm, at
        points (..., 3) of the patient in mm.
        """
        at = _region(self._reference(points))
        hulls = (self.shape.cerebrum(at), self.shape.cerebellum(at), self.shape.stem(at))
        return self.shape.stripped(at, *hulls)

    def _reference(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 3) of the patient in the reference brain before a tumour grew, mm."""
        shrunk = points / np.asarray(self.scale)
        moved: NDArray[np.float64] = shrunk + self.warp.displacement(shrunk)
        if self.tumour is None:
            return moved
        depth = np.clip(-self.shape.cerebrum(_region(moved)) / _DEEP_MM, 0.0, 1.0)
        return self.tumour.displaced(moved, np.asarray(depth, np.float64))

    def fields(self, grid: Grid) -> BrainFields:
        """Coordinates and surfaces at the voxels of a grid.

        What is smooth is evaluated at nodes some 2 mm apart and interpolated linearly between them.
        """
        counts = [
            min(n, max(2, int(np.ceil((n - 1) * s / _NODE_MM)) + 1))
            for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
        ]
        axes = [np.linspace(0.0, n - 1.0, c) for n, c in zip(grid.shape, counts, strict=True)]
        patient = grid.world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        points = self._reference(patient)
        nodes = _region(points)
        cerebrum, cerebellum, stem = (
            surface(nodes) for surface in (self.shape.cerebrum, self.shape.cerebellum, self.shape.stem)
        )
        vary = self.depth_waves.displacement(points)[..., 0]
        smooth = (
            nodes.x,
            nodes.y,
            nodes.z,
            self.shape.stripped(nodes, cerebrum, cerebellum, stem),
            cerebrum,
            cerebellum,
            stem,
            self.folding.sheet_distance(points),
            np.asarray(self.reach_mm * np.clip(1.0 + vary, 0.65, 1.5), np.float32),
        )
        weights = [linear_weights(n, c) for n, c in zip(grid.shape, counts, strict=True)]
        x, y, z, stripped, cerebrum, cerebellum, stem, sulci, depth = (
            interpolate_separably(field, weights) for field in smooth
        )
        reach = float(np.abs(points * np.asarray(self.scale) - patient).max())
        body = BodyCoordinates(grid, x, y, z, self.scale, reach)
        white, hemispheres, wall = np.zeros((3, *grid.shape), np.float32)
        return BrainFields(body, stripped, cerebrum, cerebellum, stem, sulci, depth, white, hemispheres, wall)

    def layers(self, fields: BrainFields) -> Iterator[TissueLayer[BrainTissue]]:
        """The subject as layers of tissue; what comes later lies in front of or inside what came before."""
        whole = fields.body.whole()
        inside = np.asarray(fields.stripped < 0, np.float32)
        box = whole.box
        background = TumourLabel.BACKGROUND
        yield TissueLayer(BrainTissue.CEREBROSPINAL_FLUID, box, inside, background)

        yield from folia(fields, whole)
        pial = self._pial_depth(fields, whole)
        cortex = fields.body.coverage(-pial)
        yield TissueLayer(BrainTissue.CORTEX, box, cortex, background)
        white = fields.body.coverage(self.cortex_mm - pial)
        yield TissueLayer(BrainTissue.WHITE_MATTER, box, white, background)
        fields.white[...] = white
        hemispheres = np.maximum(fields.cerebrum + 1.0, -self._fissure(fields, whole))
        fields.hemispheres[...] = fields.body.coverage(hemispheres) * inside
        fields.wall[...] = fields.hemispheres
        stem = smooth_intersection(fields.stem, whole.z - 2.0, 6.0)
        yield fields.layer(BrainTissue.BRAIN_STEM, whole, stem)
        yield from self.interior.layers(fields)
        yield from self.interior.vessel_layers(fields)
        if self.tumour is not None:
            yield from self.tumour.layers(fields)
        # the skull stripping leaves nothing outside
        yield TissueLayer(BrainTissue.OUTSIDE, box, 1.0 - inside, background)

    def paint(
        self, grid: Grid, values: Mapping[BrainTissue, Sequence[float]]
    ) -> tuple[Float32, NDArray[np.uint8]]:
        """Averages of tissue values, (C, X, Y, Z), and `TumourLabel`s, (X, Y, Z); see `layers.paint`."""
        return paint(self.layers(self.fields(grid)), grid.shape, values, BrainTissue.OUTSIDE)

    def _pial_depth(self, fields: BrainFields, at: Region) -> Float32:
        """Depth below the cerebrum's surface, sulci and fissures counted as surface, mm."""
        surface = np.minimum(-fields.cerebrum, self._fissure(fields, at))
        surface = np.minimum(surface, sylvian(at, self.sulcus_mm + 0.4, 0.5 * fields.sulci))
        return np.minimum(surface, sulcus(at, fields.sulci, surface, fields.sulcal_depth, self.sulcus_mm))

    def _fissure(self, fields: BrainFields, at: Region) -> Float32:
        """Signed distance to the fissure between the hemispheres, wider near the surface, mm."""
        near = np.clip(1.0 + fields.cerebrum / 8.0, 0.0, 1.0)
        return interhemispheric(at, self.sulcus_mm + 0.2 + near)


def make_brain(seed: Seed, grade: Grade | None) -> Brain:
    """The brain of one subject with a glioma of that grade, or None; the same seed gives the same subject.

    Subjects differ in size, proportions, folding, width of sulci and ventricles, and tumour.
    """
    streams = generators(seed, 8)
    size = normal(streams[0], 1.0, 0.03)
    scale = (
        size * normal(streams[0], 1.0, 0.02),
        size * normal(streams[0], 1.0, 0.02),
        size * normal(streams[0], 1.0, 0.02),
    )
    shape = BrainShape.draw(streams[2])
    return Brain(
        scale=scale,
        warp=Warp.draw(streams[1], 1.8),
        shape=shape,
        interior=BrainInterior.draw(streams[3]),
        folding=Folding.draw(streams[4], shape.cerebrum_mm, uniform(streams[4], 18.5, 22.0)),
        cortex_mm=normal(streams[5], 2.0, 0.1),
        sulcus_mm=uniform(streams[5], 0.15, 0.65),
        reach_mm=uniform(streams[5], 13.0, 16.5),
        depth_waves=Warp.draw(streams[6], 0.3, 30.0, 120.0),
        tumour=None if grade is None else Glioma.draw(streams[7], grade),
    )


def _region(points: NDArray[np.float64]) -> Region:
    x, y, z = np.moveaxis(points.astype(np.float32), -1, 0)
    return Region((slice(None), slice(None), slice(None)), x, y, z)

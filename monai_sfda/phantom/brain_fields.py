"""The fields on a grid from which a brain is painted: surfaces, fissures, cortex and white matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.brain_tissues import BrainTissue, TumourLabel
from monai_sfda.phantom.geometry import BodyCoordinates, Float32, Region, ellipsoid
from monai_sfda.phantom.layers import TissueLayer


@dataclass
class BrainFields:
    """What the parts of a brain share while they are painted on one grid; all fields (X, Y, Z) float32.

    Attributes:
        body: coordinates in the reference brain.
        stripped: signed distance to the surface along which the skull was stripped, mm.
        cerebrum, cerebellum, stem: signed distances to the hulls, mm.
        sulci: signed distance to the nearest sheet of the cerebrum's folding, mm.
        sulcal_depth: how deep the folding reaches, mm.
        white: the fraction of white matter in each voxel; parts that displace it take it away.
        hemispheres: the fraction of each voxel inside the hemispheres, sulci and ventricles included.
        wall: the same without the ventricles.
    """

    body: BodyCoordinates
    stripped: Float32
    cerebrum: Float32
    cerebellum: Float32
    stem: Float32
    sulci: Float32
    sulcal_depth: Float32
    white: Float32
    hemispheres: Float32
    wall: Float32

    def layer(self, tissue: BrainTissue, at: Region, f: Float32) -> TissueLayer[BrainTissue]:
        """The inside of the shape f (mm) as a layer of healthy tissue in the place of white matter."""
        cover = self.body.coverage(f)
        self.white[at.box] *= 1.0 - cover
        if tissue is BrainTissue.CEREBROSPINAL_FLUID:
            self.wall[at.box] *= 1.0 - cover
        return TissueLayer(tissue, at.box, cover, TumourLabel.BACKGROUND)


def interhemispheric(at: Region, half_gap_mm: Float32) -> Float32:
    """Signed distance to the fissure between the hemispheres, which ends above the corpus callosum.

    Args:
        at: where.
        half_gap_mm: half its width, (X, Y, Z).
    """
    callosal = _ellipse(at.y + 5.0, at.z - 1.0, 45.0, 27.0)
    beyond = np.maximum(-callosal, 0.0)
    return np.asarray(np.sqrt(at.x * at.x + beyond * beyond) - half_gap_mm, np.float32)


def sylvian(at: Region, half_gap_mm: float, meander: Float32) -> Float32:
    """Signed distance to the two Sylvian fissures, which rise towards the back, and the insular clefts at
    their floor, 38 mm beside the midline.

    Args:
        at: where.
        half_gap_mm: half their width.
        meander: displacement of the fissures across themselves, mm.
    """
    across = (at.z + 9.0 + 0.3 * (at.y - 12.0) + meander) * 0.95
    aside = np.abs(at.x)
    ends = np.maximum(np.abs(at.y - 3.0) - 28.0, 0.0)
    ends *= ends
    inwards = np.maximum(38.0 - aside, 0.0)
    gap = np.sqrt(across * across + inwards * inwards + ends)
    rim = np.maximum(np.abs(across - 3.0) - 10.0, 0.0)
    depth = aside - 38.0 - 0.5 * meander
    insula = np.sqrt(depth * depth + rim * rim + ends)
    return np.asarray(np.minimum(gap, insula) - half_gap_mm, np.float32)


def sulcus(at: Region, sheet: Float32, depth: Float32, reach: Float32, half_gap_mm: float) -> Float32:
    """Signed distance to the fluid in the sulci, of which there are none round the ventricles.

    Args:
        at: where.
        sheet: distance to the nearest sheet of the folding, mm.
        depth: distance from the surface of the brain inwards, mm.
        reach: how deep the sulci go, mm.
        half_gap_mm: half their width at the bottom; they widen by 1 mm towards the surface.
    """
    central = ellipsoid(at, (0.0, -4.0, 12.0), (32.0, 52.0, 22.0))
    beyond = np.maximum(np.maximum(depth - reach, -central), 0.0)
    widening = 1.0 * np.clip(1.0 - depth / 5.0, 0.0, 1.0)
    return np.asarray(np.sqrt(sheet * sheet + beyond * beyond) - half_gap_mm - widening, np.float32)


def _ellipse(u: Float32, v: Float32, ru: float, rv: float) -> Float32:
    a, b = u / ru, v / rv
    return np.asarray((np.sqrt(a * a + b * b) - 1.0) * min(ru, rv), np.float32)

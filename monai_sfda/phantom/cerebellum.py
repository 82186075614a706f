"""The cerebellum: folia, thin sheets of cortex on white matter, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monai_sfda.phantom.brain_fields import BrainFields
from monai_sfda.phantom.brain_tissues import BrainTissue, TumourLabel
from monai_sfda.phantom.geometry import Region
from monai_sfda.phantom.layers import TissueLayer

_SPACING_MM = 5.0
_REACH_MM = 11.0
_CORTEX_MM = 1.5
_HALF_GAP_MM = 0.3
_MIDDLE = (-18.0, -8.0)  # y and z (mm): the fissures are shells round this axis, bent forwards at the sides


def folia(fields: BrainFields, at: Region) -> Iterator[TissueLayer[BrainTissue]]:
    """Cortex and white matter of the cerebellum, below the cerebrum."""
    y, z = at.y - _MIDDLE[0] - 0.004 * at.x * at.x, at.z - _MIDDLE[1]
    radius = np.sqrt(y * y + z * z) + 0.35 * fields.sulci
    sheet = np.abs((radius / _SPACING_MM) % 1.0 - 0.5) * _SPACING_MM
    depth = np.minimum(-fields.cerebellum, fields.cerebrum - 1.5)
    beyond = np.maximum(depth - _REACH_MM, 0.0)
    fissure = np.sqrt(sheet * sheet + beyond * beyond) - _HALF_GAP_MM
    pial = np.asarray(np.minimum(depth, fissure), np.float32)
    for tissue, inwards in ((BrainTissue.CORTEX, 0.0), (BrainTissue.WHITE_MATTER, _CORTEX_MM)):
        cover = fields.body.coverage(inwards - pial)
        yield TissueLayer(tissue, at.box, cover, TumourLabel.BACKGROUND)

"""The tissues that only the spine phantom has, and its label.

All others are `monai_sfda.phantom.tissues.Tissue` with their values of `mr_tissues`.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto

from monai_sfda.phantom.mr_tissues import MR_TISSUES, MrTissue


class SpineTissue(Enum):
    """What discs and vertebral bodies are made of."""

    NUCLEUS = auto()
    ANNULUS = auto()
    DEGENERATE_DISC = auto()
    RED_MARROW = auto()
    YELLOW_MARROW = auto()


class SpineLabel(IntEnum):
    """The mask of IVDM3Seg."""

    BACKGROUND = 0
    INTERVERTEBRAL_DISC = 1


# T2 of nucleus, annulus and degenerated disc at 1.5 T: Marinelli et al., Quantitative T2 relaxation times of
# the lumbar intervertebral disc, Spine 2010;35:520 (ranges). Share of fat in the marrow of vertebrae, 0.2 in
# the young to 0.7 in the old: Kugel et al., Age- and sex-specific differences in the 1H-spectrum of vertebral
# bone marrow, J Magn Reson Imaging 2001;13:263. Densities and the rest: representative values.
SPINE_TISSUES: dict[Enum, MrTissue] = {
    **dict(MR_TISSUES.items()),
    SpineTissue.NUCLEUS: MrTissue(0.88, 1050.0, 110.0, texture=0.05),
    SpineTissue.ANNULUS: MrTissue(0.75, 900.0, 50.0, texture=0.06),
    SpineTissue.DEGENERATE_DISC: MrTissue(0.70, 850.0, 45.0, texture=0.08),
    SpineTissue.RED_MARROW: MrTissue(0.62, 750.0, 45.0, fat_share=0.18, texture=0.05),
    SpineTissue.YELLOW_MARROW: MrTissue(0.62, 600.0, 50.0, fat_share=0.85, texture=0.05),
}

#: How much faster, 1/s, the signal of marrow decays between bone trabeculae, whose susceptibility is another;
#: with it T2* of the water is 8 ms, as measured in lumbar vertebrae at 1.5 T (8 to 14 ms).
TRABECULAR_DEPHASING: dict[Enum, float] = {SpineTissue.RED_MARROW: 75.0, SpineTissue.YELLOW_MARROW: 75.0}

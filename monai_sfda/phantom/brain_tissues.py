"""The tissues of a brain with a glioma, what they are for magnetic resonance at 1.5 T, and its labels."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, IntEnum, auto
from typing import Literal

from monai_sfda.phantom.mr_tissues import MrTissue

#: High-grade or low-grade glioma, as BraTS sorts its training cases.
Grade = Literal["HGG", "LGG"]


class BrainTissue(Enum):
    """A material with one appearance for each MR sequence."""

    OUTSIDE = auto()
    CEREBROSPINAL_FLUID = auto()
    CORTEX = auto()
    WHITE_MATTER = auto()
    STRIATUM = auto()
    PALLIDUM = auto()
    THALAMUS = auto()
    BRAIN_STEM = auto()
    CHOROID_PLEXUS = auto()
    ARTERY = auto()
    VEIN = auto()
    OEDEMA = auto()
    NON_ENHANCING_TUMOUR = auto()
    ENHANCING_TUMOUR = auto()
    NECROSIS = auto()


class TumourLabel(IntEnum):
    """What BraTS stores in its segmentations up to 2022 (there is no 3)."""

    BACKGROUND = 0
    NECROTIC_AND_NON_ENHANCING = 1
    OEDEMA = 2
    ENHANCING = 4


# Cortex, white matter and deep nuclei, T1: the order and about the values of Rooney et al., Magnetic field
# and tissue dependencies of human brain longitudinal 1H2O relaxation in vivo, Magn Reson Med 2007;57:308
# (1.5 T). T2 of cortex, white matter, blood: Stanisz et al., T1, T2 relaxation and magnetization transfer in
# tissue at 3T, Magn Reson Med 2005;54:507 (its 1.5 T columns); iron shortens that of the pallidum. Proton
# density: water content, Whittall et al., In vivo measurement of T2 distributions and water contents in
# normal human brain, Magn Reson Med 1997;37:34. Tumour and oedema: representative values; they are long and
# overlap (Just and Thelen, Tissue characterization with T1, T2, and proton density values, Radiology
# 1988;169:779). Fluids: representative.
BRAIN_TISSUES: dict[BrainTissue, MrTissue] = {
    BrainTissue.OUTSIDE: MrTissue(0.0, 1000.0, 10.0, texture=0.0),
    BrainTissue.CEREBROSPINAL_FLUID: MrTissue(1.00, 4200.0, 1200.0, texture=0.02),
    BrainTissue.CORTEX: MrTissue(0.83, 1188.0, 95.0, texture=0.03),
    BrainTissue.WHITE_MATTER: MrTissue(0.71, 660.0, 76.0, texture=0.02),
    BrainTissue.STRIATUM: MrTissue(0.82, 1050.0, 84.0, texture=0.03),
    BrainTissue.PALLIDUM: MrTissue(0.74, 760.0, 66.0, texture=0.03),
    BrainTissue.THALAMUS: MrTissue(0.77, 940.0, 80.0, texture=0.04),
    BrainTissue.BRAIN_STEM: MrTissue(0.73, 740.0, 78.0, texture=0.03),
    BrainTissue.CHOROID_PLEXUS: MrTissue(0.90, 1500.0, 160.0, texture=0.15),
    BrainTissue.ARTERY: MrTissue(0.85, 1441.0, 290.0, texture=0.05, flow=0.10),
    BrainTissue.VEIN: MrTissue(0.85, 1441.0, 180.0, texture=0.05, flow=0.30),
    BrainTissue.OEDEMA: MrTissue(0.83, 1100.0, 140.0, texture=0.04),
    BrainTissue.NON_ENHANCING_TUMOUR: MrTissue(0.86, 1500.0, 195.0, texture=0.06),
    BrainTissue.ENHANCING_TUMOUR: MrTissue(0.83, 1250.0, 125.0, texture=0.09),
    BrainTissue.NECROSIS: MrTissue(0.93, 2100.0, 260.0, texture=0.12),
}

#: Concentration of gadolinium some minutes after 0.1 mmol/kg, mmol/l, where there is no blood-brain barrier.
#: Representative: healthy brain tissue takes up next to nothing (its 4% of blood do).
GADOLINIUM_MMOL: dict[BrainTissue, float] = {
    BrainTissue.CORTEX: 0.02,
    BrainTissue.WHITE_MATTER: 0.01,
    BrainTissue.STRIATUM: 0.02,
    BrainTissue.THALAMUS: 0.02,
    BrainTissue.CHOROID_PLEXUS: 0.5,
    BrainTissue.ARTERY: 0.8,
    BrainTissue.VEIN: 0.8,
    BrainTissue.OEDEMA: 0.01,
    BrainTissue.NON_ENHANCING_TUMOUR: 0.02,
    BrainTissue.ENHANCING_TUMOUR: 0.45,
    BrainTissue.NECROSIS: 0.03,
}

# Relaxivities of gadopentetate in plasma at 37 degrees and 1.5 T, l / (mmol s): Rohrer et al., Comparison of
# magnetic properties of MRI contrast media solutions at different magnetic field strengths, Invest Radiol
# 2005;40:715.
_R1, _R2 = 4.1, 4.6


def with_gadolinium(tissue: MrTissue, mmol: float) -> MrTissue:
    """The tissue after contrast agent: 1/T1' = 1/T1 + r1 c, 1/T2' = 1/T2 + r2 c, with c in mmol/l."""
    return replace(
        tissue,
        t1_ms=1.0 / (1.0 / tissue.t1_ms + _R1 * mmol / 1000.0),
        t2_ms=1.0 / (1.0 / tissue.t2_ms + _R2 * mmol / 1000.0),
    )

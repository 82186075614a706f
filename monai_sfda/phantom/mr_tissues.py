"""What the tissues are for magnetic resonance at 1.5 T."""

from __future__ import annotations

from dataclasses import dataclass

from monai_sfda.phantom.tissues import Tissue


@dataclass(frozen=True)
class MrTissue:
    """A tissue at 1.5 T.

    Attributes:
        density: proton density relative to water.
        t1_ms, t2_ms: relaxation times of its water.
        fat_share: share of the protons that are in fat.
        texture: relative standard deviation of the signal within the tissue.
        flow: share of the spin-echo signal that is left after moving blood has left the slice between its
            pulses.
    """

    density: float
    t1_ms: float
    t2_ms: float
    fat_share: float = 0.0
    texture: float = 0.04
    flow: float = 1.0

    @property
    def t2star_ms(self) -> float:
        """Effective transverse relaxation time of a gradient echo; the field's part of 1/T2* is 30/s."""
        return 1.0 / (1.0 / self.t2_ms + 0.030)


# T1 and T2 of liver, spleen, pancreas, kidney, muscle, marrow and subcutaneous fat: de Bazelaire et al., MR
# imaging relaxation times of abdominal and pelvic tissues measured in vivo, Radiology 2004;230:652 (1.5 T).
# Blood, spinal cord, cartilage and myocardium: Stanisz et al., T1, T2 relaxation and magnetization transfer
# in tissue at 3T, Magn Reson Med 2005;54:507 (its 1.5 T columns). Fluids, gut wall, disc and lung:
# representative values, as is the proton density of all tissues (water content).
MR_TISSUES: dict[Tissue, MrTissue] = {
    Tissue.AIR: MrTissue(0.0, 1000.0, 10.0, texture=0.0),
    Tissue.SKIN: MrTissue(0.60, 900.0, 30.0, fat_share=0.10),
    Tissue.SUBCUTANEOUS_FAT: MrTissue(0.95, 343.0, 58.0, fat_share=0.94, texture=0.04),
    Tissue.VISCERAL_FAT: MrTissue(0.95, 343.0, 58.0, fat_share=0.92, texture=0.05),
    Tissue.MUSCLE: MrTissue(0.78, 856.0, 31.0, fat_share=0.03, texture=0.05),
    Tissue.CORTICAL_BONE: MrTissue(0.12, 400.0, 1.5, texture=0.0),
    Tissue.CANCELLOUS_BONE: MrTissue(0.70, 700.0, 49.0, fat_share=0.45, texture=0.10),
    Tissue.CARTILAGE: MrTissue(0.60, 1024.0, 30.0, texture=0.05),
    Tissue.DISC: MrTissue(0.75, 1100.0, 75.0, texture=0.08),
    Tissue.CEREBROSPINAL_FLUID: MrTissue(1.00, 3600.0, 900.0, texture=0.05, flow=0.8),
    Tissue.SPINAL_CORD: MrTissue(0.75, 745.0, 74.0, texture=0.03),
    Tissue.LUNG: MrTissue(0.15, 1100.0, 12.0, texture=0.20),
    Tissue.MYOCARDIUM: MrTissue(0.78, 1030.0, 42.0, texture=0.10),
    Tissue.ARTERIAL_BLOOD: MrTissue(0.85, 1441.0, 220.0, texture=0.15, flow=0.12),
    Tissue.VENOUS_BLOOD: MrTissue(0.85, 1441.0, 160.0, texture=0.12, flow=0.35),
    Tissue.PORTAL_BLOOD: MrTissue(0.85, 1441.0, 170.0, texture=0.12, flow=0.45),
    Tissue.LIVER: MrTissue(0.76, 586.0, 46.0, fat_share=0.04, texture=0.05),
    Tissue.SPLEEN: MrTissue(0.80, 1057.0, 79.0, texture=0.05),
    Tissue.RENAL_CORTEX: MrTissue(0.80, 966.0, 87.0, texture=0.06),
    Tissue.RENAL_MEDULLA: MrTissue(0.84, 1412.0, 95.0, texture=0.06),
    Tissue.URINE: MrTissue(1.00, 3000.0, 600.0, texture=0.04),
    Tissue.BILE: MrTissue(0.98, 2200.0, 400.0, texture=0.04),
    Tissue.PANCREAS: MrTissue(0.75, 584.0, 52.0, fat_share=0.10, texture=0.15),
    Tissue.ADRENAL: MrTissue(0.75, 700.0, 60.0, texture=0.05),
    Tissue.GUT_WALL: MrTissue(0.75, 900.0, 50.0, texture=0.08),
    Tissue.GUT_FLUID: MrTissue(0.95, 2200.0, 230.0, texture=0.18),
    Tissue.FAECES: MrTissue(0.55, 600.0, 45.0, fat_share=0.08, texture=0.35),
    Tissue.GUT_GAS: MrTissue(0.0, 1000.0, 10.0, texture=0.0),
}

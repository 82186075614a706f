"""Computed tomography of a phantom: Hounsfield units by contrast phase, noise, beam hardening, couch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.anatomy import Anatomy
from monai_sfda.phantom.depth import axial_mm, depth
from monai_sfda.phantom.draws import Seed, normal, uniform
from monai_sfda.phantom.fields import blurred, exponential_field, filtered_noise
from monai_sfda.phantom.geometry import Float32, Grid
from monai_sfda.phantom.liver import LIVER_FAT
from monai_sfda.phantom.tissues import Tissue

HOUNSFIELD_RANGE = (-1024, 3071)  # 12 bits with an intercept of -1024


class ContrastPhase(Enum):
    """Time from the injection of contrast agent to the image; the value is a column of `HOUNSFIELD`."""

    NONE = 0
    ARTERIAL = 1
    PORTAL_VENOUS = 2


# Without contrast, late arterial (about 35 s), portal venous (about 70 s). Unenhanced and bone: Schneider,
# Pedroni and Lomax, Phys Med Biol 1996;41:111. Enhancement of vessels and organs: representative of Bae,
# Intravenous contrast medium administration and scan timing at CT, Radiology 2010;256:32.
HOUNSFIELD: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (-1000, -1000, -1000),
    Tissue.SKIN: (20, 25, 30),
    Tissue.SUBCUTANEOUS_FAT: (-101, -101, -100),
    Tissue.VISCERAL_FAT: (-98, -97, -94),
    Tissue.MUSCLE: (53, 57, 64),
    Tissue.CORTICAL_BONE: (1000, 1000, 1000),
    Tissue.CANCELLOUS_BONE: (145, 145, 153),
    Tissue.CARTILAGE: (120, 120, 122),
    Tissue.DISC: (75, 75, 78),
    Tissue.CEREBROSPINAL_FLUID: (12, 12, 12),
    Tissue.SPINAL_CORD: (38, 40, 42),
    Tissue.LUNG: (-830, -825, -820),
    Tissue.MYOCARDIUM: (45, 100, 105),
    Tissue.ARTERIAL_BLOOD: (42, 300, 155),
    Tissue.VENOUS_BLOOD: (42, 85, 145),
    Tissue.PORTAL_BLOOD: (42, 115, 172),
    Tissue.LIVER: (57, 70, 108),
    Tissue.SPLEEN: (48, 125, 122),
    Tissue.RENAL_CORTEX: (33, 180, 185),
    Tissue.RENAL_MEDULLA: (30, 75, 150),
    Tissue.URINE: (6, 8, 15),
    Tissue.BILE: (8, 8, 9),
    Tissue.PANCREAS: (40, 105, 92),
    Tissue.ADRENAL: (28, 70, 68),
    Tissue.GUT_WALL: (38, 80, 82),
    Tissue.GUT_FLUID: (14, 14, 14),
    Tissue.FAECES: (20, 20, 22),
    Tissue.GUT_GAS: (-960, -960, -960),
}

# Fall of the unenhanced liver's attenuation per share of fat. Pickhardt et al., Quantification of liver fat
# content with unenhanced CT: phantom and clinical correlation with MRI proton density fat fraction, AJR
# 2018;211:W151: 1% of fat for 1.7 HU.
_HU_PER_LIVER_FAT = 172.0

# Cancellous bone loses attenuation with age, from about 200 HU to below 100: Pickhardt et al., Opportunistic
# screening for osteoporosis using abdominal computed tomography scans obtained for other indications, Ann
# Intern Med 2013;158:588.
_CANCELLOUS_SPREAD = 30.0

# Standard deviation within a tissue, HU, where it is not that of soft tissue, and how far it is correlated.
_TEXTURE_MM = 2.5
_SOFT_TISSUE_TEXTURE = 4.0
_TEXTURE: dict[Tissue, float] = {
    Tissue.AIR: 0.0,
    Tissue.SUBCUTANEOUS_FAT: 6.0,
    Tissue.VISCERAL_FAT: 10.0,
    Tissue.MUSCLE: 10.0,
    Tissue.CORTICAL_BONE: 90.0,
    Tissue.CANCELLOUS_BONE: 45.0,
    Tissue.LUNG: 35.0,
    Tissue.PANCREAS: 12.0,
    Tissue.FAECES: 75.0,
    Tissue.GUT_FLUID: 10.0,
    Tissue.GUT_GAS: 5.0,
}


@dataclass(frozen=True)
class CtScanner:
    """A CT scanner and its protocol.

    Attributes:
        phase: contrast phase.
        enhancement: factor on the enhancement, about one; it depends on dose and circulation.
        noise_hu: standard deviation of the noise in the middle of the body.
        cutoff_per_mm: roll-off of the reconstruction kernel, cycles per mm; it shapes edges and noise alike.
        streaks: excess of noise along side-to-side rays, 0..1.
        cupping_hu: how much darker beam hardening makes the middle of the body.
        couch_gap_mm: distance between the patient's back and the couch.
        oral_contrast: share of the fluid in the gut replaced by oral contrast agent, 0..1.
    """

    phase: ContrastPhase = ContrastPhase.PORTAL_VENOUS
    enhancement: float = 1.0
    noise_hu: float = 14.0
    cutoff_per_mm: float = 0.3
    streaks: float = 0.3
    cupping_hu: float = 6.0
    couch_gap_mm: float = 12.0
    oral_contrast: float = 0.0


@dataclass(frozen=True)
class CtImage:
    """A CT image (Hounsfield units, int16) and its `Organ` labels (uint8), both (X, Y, Z) on `grid`."""

    grid: Grid
    array: NDArray[np.int16]
    labels: NDArray[np.uint8]
    scanner: CtScanner


def draw_ct_scanner(seed: Seed) -> CtScanner:
    """A scanner and protocol; five of six scans are portal venous, which all of BTCV are."""
    rng = np.random.default_rng(seed)
    draw = rng.random()
    phase = ContrastPhase.PORTAL_VENOUS
    if draw > 0.84:
        phase = ContrastPhase.ARTERIAL if draw < 0.94 else ContrastPhase.NONE
    return CtScanner(
        phase=phase,
        enhancement=normal(rng, 1.0, 0.14),
        noise_hu=uniform(rng, 10.0, 26.0),
        cutoff_per_mm=uniform(rng, 0.22, 0.38),
        streaks=uniform(rng, 0.1, 0.5),
        cupping_hu=uniform(rng, 2.0, 10.0),
        couch_gap_mm=uniform(rng, 4.0, 22.0),
        oral_contrast=uniform(rng, 0.3, 1.0) if rng.random() < 0.3 else 0.0,
    )


def tissue_values(
    scanner: CtScanner, liver_fat: float, rng: np.random.Generator
) -> dict[Tissue, tuple[float, float]]:
    """Mean and standard deviation (HU) of each tissue in one subject whose liver has that share of fat."""
    values = {}
    for tissue, columns in HOUNSFIELD.items():
        plain, enhanced = columns[0], columns[scanner.phase.value]
        own = (
            0.0
            if tissue is Tissue.AIR
            else normal(rng, 0.0, 0.08) * (enhanced - plain) + normal(rng, 0.0, 3.0)
        )
        values[tissue] = (
            plain + scanner.enhancement * (enhanced - plain) + own,
            tissue_texture(tissue),
        )
    spongiosa, texture = values[Tissue.CANCELLOUS_BONE]
    values[Tissue.CANCELLOUS_BONE] = (spongiosa + normal(rng, 0.0, _CANCELLOUS_SPREAD), texture)
    liver, texture = values[Tissue.LIVER]
    values[Tissue.LIVER] = (liver - _HU_PER_LIVER_FAT * (liver_fat - LIVER_FAT), texture)
    fluid, texture = values[Tissue.GUT_FLUID]
    values[Tissue.GUT_FLUID] = (fluid + 260.0 * scanner.oral_contrast, texture + 25.0 * scanner.oral_contrast)
    return values


def tissue_texture(tissue: Tissue) -> float:
    """Standard deviation within a tissue, HU."""
    return _TEXTURE.get(tissue, _SOFT_TISSUE_TEXTURE)


def image_ct(anatomy: Anatomy, grid: Grid, scanner: CtScanner, seed: Seed) -> CtImage:
    """A CT image of a subject.

    Attenuation is averaged over the tissues in each voxel; what the scanner makes of it follows: texture, the
    kernel's blur, beam hardening, couch and noise.

    Args:
        anatomy: the subject.
        grid: where to sample; slices along the third index axis.
        scanner: protocol and imperfections.
        seed: of everything that is not anatomy.
    """
    rng = np.random.default_rng(seed)
    (hounsfield, texture), labels = anatomy.paint(grid, tissue_values(scanner, anatomy.liver.fat_share, rng))
    array = reconstructed(hounsfield, texture, grid, scanner, anatomy.couch_y_mm(), rng)
    return CtImage(grid, array, labels, scanner)


def reconstructed(
    hounsfield: Float32,
    texture: Float32,
    grid: Grid,
    scanner: CtScanner,
    back_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """What a scanner shows of a body: Hounsfield units in 12 bits.

    Args:
        hounsfield: (X, Y, Z) attenuation averaged over each voxel; changed in place.
        texture: (X, Y, Z) standard deviation within the tissue, HU.
        grid: slices along the third index axis.
        scanner: protocol and imperfections.
        back_mm: where the patient's back lies (y in mm, patient coordinates).
        rng: source of randomness.
    """
    shape, spacing = grid.shape, grid.spacing_mm
    hounsfield += texture * exponential_field(rng, shape, spacing, _TEXTURE_MM)
    hounsfield = blurred(hounsfield, spacing[:2], scanner.cutoff_per_mm)
    _add_beam_hardening(hounsfield, grid, scanner)
    _add_couch(hounsfield, grid, back_mm - scanner.couch_gap_mm)
    noise = filtered_noise(rng, shape, spacing[:2], scanner.cutoff_per_mm, scanner.streaks)
    # the noise rises with the attenuation of the rays: least at the skin, most in the middle
    hounsfield += noise * (scanner.noise_hu * (0.55 + 0.45 * depth(grid)))
    return np.clip(np.rint(hounsfield), *HOUNSFIELD_RANGE).astype(np.int16)


def _add_beam_hardening(hounsfield: Float32, grid: Grid, scanner: CtScanner) -> None:
    """Cupping: hardened rays make the middle of the body too dark."""
    tissue = np.clip((hounsfield + 1000.0) / 1000.0, 0.0, 1.0)
    hounsfield -= tissue * (scanner.cupping_hu * depth(grid))


def _add_couch(hounsfield: Float32, grid: Grid, top_mm: float) -> None:
    """The couch below the patient: a hollow shell of carbon fibre, curved towards the patient."""
    x, y = axial_mm(grid)
    pixel = max(grid.spacing_mm[:2])
    below = top_mm + x * x / 1400.0 - y
    inside = np.abs(x) < 215.0
    shell = np.clip(1.0 - (np.abs(below - 1.5) - 1.0) / pixel, 0.0, 1.0) * inside
    foam = ((below > 1.5) & (below < 45.0) & inside).astype(np.float32)
    for cover, value in ((foam, -930.0), (shell, -40.0)):
        hounsfield += cover * np.maximum(value - hounsfield, 0.0) * (hounsfield < -800.0)

"""CT angiography of the heart: the contrast agent has reached the left heart and is leaving the right one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from monai_sfda.phantom.ct import HOUNSFIELD, ContrastPhase, CtImage, CtScanner, reconstructed, tissue_texture
from monai_sfda.phantom.draws import Seed, generators, normal, uniform
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.heart_anatomy import Thorax
from monai_sfda.phantom.tissues import Tissue


@dataclass(frozen=True)
class Angiography:
    """One CT angiography: the bolus, and the scanner.

    Attributes:
        left_hu: blood of the left heart and the aorta.
        pulmonary_hu: blood of the right ventricle and the pulmonary artery.
        venous_hu: blood of the right atrium and the venae cavae, mixed and unmixed.
        mixing_hu: standard deviation within the right atrium, where the streams mix.
        myocardium_hu: muscle of the heart.
        scanner: kernel, noise and artefacts.
    """

    left_hu: float = 370.0
    pulmonary_hu: float = 230.0
    venous_hu: float = 170.0
    mixing_hu: float = 35.0
    myocardium_hu: float = 108.0
    scanner: CtScanner = field(default_factory=CtScanner)


def draw_angiography(seed: Seed) -> Angiography:
    """A bolus timed well for the left heart; how much is left in the right heart varies most.

    300 to 450 HU in the left heart, 90 to 130 HU in its muscle: representative of coronary CT angiography
    (Bae, Intravenous contrast medium administration and scan timing at CT, Radiology 2010;256:32).
    """
    rng = np.random.default_rng(seed)
    left = uniform(rng, 300.0, 450.0)
    return Angiography(
        left_hu=left,
        pulmonary_hu=left * uniform(rng, 0.35, 1.05),
        venous_hu=left * uniform(rng, 0.25, 0.9),
        mixing_hu=uniform(rng, 15.0, 60.0),
        myocardium_hu=uniform(rng, 90.0, 130.0),
        scanner=CtScanner(
            phase=ContrastPhase.ARTERIAL,
            noise_hu=uniform(rng, 16.0, 38.0),
            cutoff_per_mm=uniform(rng, 0.25, 0.42),
            streaks=uniform(rng, 0.1, 0.5),
            cupping_hu=uniform(rng, 2.0, 10.0),
            couch_gap_mm=uniform(rng, 4.0, 22.0),
        ),
    )


def angiography_values(study: Angiography, rng: np.random.Generator) -> dict[Tissue, tuple[float, float]]:
    """Mean and standard deviation (HU) of each tissue in one subject."""
    column = ContrastPhase.ARTERIAL.value
    values = {
        tissue: (
            columns[column] + (0.0 if tissue is Tissue.AIR else normal(rng, 0.0, 4.0)),
            tissue_texture(tissue),
        )
        for tissue, columns in HOUNSFIELD.items()
    }
    lung, texture = values[Tissue.LUNG]
    values[Tissue.LUNG] = lung - 25.0 + normal(rng, 0.0, 25.0), texture
    return values | {
        Tissue.ARTERIAL_BLOOD: (study.left_hu, 8.0),
        Tissue.PULMONARY_BLOOD: (study.pulmonary_hu, 10.0 + 0.3 * study.mixing_hu),
        Tissue.VENOUS_BLOOD: (study.venous_hu, study.mixing_hu),
        Tissue.MYOCARDIUM: (study.myocardium_hu, 8.0),
    }


def image_heart_ct(thorax: Thorax, grid: Grid, study: Angiography, seed: Seed) -> CtImage:
    """A CT angiography of a heart; its labels are `HeartLabel` values.

    Args:
        thorax: the subject.
        grid: where to sample; slices along the third index axis.
        study: bolus, protocol and imperfections.
        seed: of everything that is not anatomy.
    """
    subject, rng = generators(seed, 2)
    (hounsfield, texture), labels = thorax.paint(grid, angiography_values(study, subject))
    array = reconstructed(hounsfield, texture, grid, study.scanner, thorax.couch_y_mm(), rng)
    return CtImage(grid, array, labels, study.scanner)

"""Balanced steady-state MR images of the heart: bright blood, dark muscle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.depth import depth
from monai_sfda.phantom.draws import Seed, generators, normal, uniform
from monai_sfda.phantom.fields import exponential_field, slow_field
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.heart_anatomy import Thorax
from monai_sfda.phantom.kspace import acquisition_window, receive
from monai_sfda.phantom.mr_tissues import MR_TISSUES, MrTissue
from monai_sfda.phantom.tissues import Tissue

_TEXTURE_MM = 3.0  # how far the texture of the tissues is correlated
_STORED_MAXIMUM = 32767
_BLOOD = (Tissue.ARTERIAL_BLOOD, Tissue.PULMONARY_BLOOD, Tissue.VENOUS_BLOOD)

#: The tissues of a chest at 1.5 T: those of the abdomen, with blood as a balanced sequence sees it. What
#: flows is refocused, so that little is lost; the blood of the right heart has less oxygen and so a shorter
#: T2 (Wright, Hu and Macovski, Estimating oxygen saturation of blood in vivo with MR imaging at 1.5 T, J Magn
#: Reson Imaging 1991;1:275).
HEART_MR_TISSUES: dict[Tissue, MrTissue] = MR_TISSUES | {
    Tissue.MYOCARDIUM: replace(MR_TISSUES[Tissue.MYOCARDIUM], t2_ms=48.0, texture=0.13),
    Tissue.ARTERIAL_BLOOD: MrTissue(0.88, 1441.0, 240.0, texture=0.14, flow=0.95),
    Tissue.PULMONARY_BLOOD: MrTissue(0.88, 1441.0, 190.0, texture=0.16, flow=0.95),
    Tissue.VENOUS_BLOOD: MrTissue(0.88, 1441.0, 180.0, texture=0.18, flow=0.93),
}


@dataclass(frozen=True)
class HeartMrScanner:
    """A 1.5 T scanner and its protocol for the whole heart.

    Attributes:
        repetition_ms: of the balanced sequence; the echo lies in its middle.
        flip_degrees: flip angle.
        preparation_ms: duration of the T2 preparation, which darkens muscle; 0 for none.
        fat_suppression: share of the fat's signal that the spectral pulse removes in a perfect field.
        suppression_loss: largest share lost where the field is inhomogeneous.
        resolution_mm: acquired pixel size within a slice; the displayed pixels are interpolated.
        bias: relative amplitude of the slow variation of the coils' sensitivity.
        surface: how much brighter the coils show the skin than the middle of the chest, relative.
        noise: standard deviation of each quadrature channel, relative to the signal of arterial blood.
        ghost: relative amplitude of the ghost of the beating heart, along the second index axis.
        texture: factor on the texture of the tissues.
        gain: stored units per signal of arterial blood.
    """

    repetition_ms: float = 3.6
    flip_degrees: float = 75.0
    preparation_ms: float = 25.0
    fat_suppression: float = 0.6
    suppression_loss: float = 0.4
    resolution_mm: float = 2.0
    bias: float = 0.25
    surface: float = 0.4
    noise: float = 0.05
    ghost: float = 0.03
    texture: float = 1.0
    gain: float = 600.0


@dataclass(frozen=True)
class HeartMrImage:
    """An MR image (stored values, int16) and its `HeartLabel` values (uint8), both (X, Y, Z) on `grid`."""

    grid: Grid
    array: NDArray[np.int16]
    labels: NDArray[np.uint8]
    scanner: HeartMrScanner


def draw_heart_mr_scanner(seed: Seed) -> HeartMrScanner:
    """A scanner and protocol as they vary from one site and examination to the next."""
    rng = np.random.default_rng(seed)
    return HeartMrScanner(
        repetition_ms=round(uniform(rng, 3.0, 4.6), 2),
        flip_degrees=round(uniform(rng, 60, 90)),
        preparation_ms=round(uniform(rng, 0.0, 45.0), 1),
        fat_suppression=uniform(rng, 0.1, 0.9),
        suppression_loss=uniform(rng, 0.2, 0.6),
        resolution_mm=round(uniform(rng, 1.6, 2.3), 2),
        bias=uniform(rng, 0.15, 0.4),
        surface=uniform(rng, 0.2, 0.9),
        noise=uniform(rng, 0.02, 0.06),
        ghost=uniform(rng, 0.0, 0.06),
        texture=uniform(rng, 0.8, 1.3),
        gain=600.0 * uniform(rng, 0.4, 1.6),
    )


def balanced_signal(
    density: float, t1_ms: float, t2_ms: float, repetition_ms: float, flip_degrees: float
) -> float:
    """Signal of balanced steady-state free precession on resonance at TE = TR / 2, times in ms:

        density sin(a) (1 - E1) / (1 - (E1 - E2) cos(a) - E1 E2) exp(-TE / T2),  E1,2 = exp(-TR / T1,2)

    For TR far below T2 it is density sin(a) / (1 + cos(a) + (1 - cos(a)) T1 / T2): it weighs T2 over T1.
    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 14.1.
    """
    flip = np.deg2rad(flip_degrees)
    e1, e2 = np.exp(-repetition_ms / t1_ms), np.exp(-repetition_ms / t2_ms)
    steady = np.sin(flip) * (1.0 - e1) / (1.0 - (e1 - e2) * np.cos(flip) - e1 * e2)
    return float(density * steady * np.exp(-0.5 * repetition_ms / t2_ms))


def tissue_signals(tissue: MrTissue, scanner: HeartMrScanner) -> tuple[float, float]:
    """The signals of a tissue's water and of its fat, before fat suppression."""
    fat = HEART_MR_TISSUES[Tissue.SUBCUTANEOUS_FAT]
    signals = []
    for share, t1, t2 in (
        (1.0 - tissue.fat_share, tissue.t1_ms, tissue.t2_ms),
        (tissue.fat_share, fat.t1_ms, fat.t2_ms),
    ):
        signal = balanced_signal(tissue.density * share, t1, t2, scanner.repetition_ms, scanner.flip_degrees)
        signals.append(signal * float(np.exp(-scanner.preparation_ms / t2)))
    return signals[0] * tissue.flow, signals[1]


def image_heart_mr(thorax: Thorax, grid: Grid, scanner: HeartMrScanner, seed: Seed) -> HeartMrImage:
    """An MR image of a heart.

    Water and fat signals are averaged over the tissues in each voxel, then fat suppression, texture, coil
    sensitivity and the ghost of the beating heart follow, at last what the receiver makes of it: limited
    resolution, noise, magnitude.

    Args:
        thorax: the subject.
        grid: where to sample; slices along the third index axis, phase encoding along the second.
        scanner: protocol and imperfections.
        seed: of everything that is not anatomy.
    """
    rng, subject = generators(seed, 2)
    tissues = _vary_tissues(subject)
    values = {t: (*tissue_signals(v, scanner), v.texture * scanner.texture) for t, v in tissues.items()}
    (water, fat, texture), labels = thorax.paint(grid, values)
    shape, spacing = grid.shape, grid.spacing_mm
    # the spectral pulse misses fat where the field is off resonance
    lost = np.clip(slow_field(rng, shape, spacing, 180.0) - 0.1, 0.0, None)
    signal = water + fat * np.minimum(1.0 - scanner.fat_suppression + scanner.suppression_loss * lost, 1.0)
    signal /= np.float32(values[Tissue.ARTERIAL_BLOOD][0])
    signal *= 1.0 + texture * exponential_field(rng, shape, spacing, _TEXTURE_MM)
    signal *= 1.0 + scanner.surface * (1.0 - depth(grid))
    signal *= np.exp(scanner.bias * slow_field(rng, shape, spacing, 220.0))
    if scanner.ghost > 0:
        signal += scanner.ghost * np.roll(signal, shape[1] // int(rng.integers(3, 6)), axis=1)
    resolution = (scanner.resolution_mm, scanner.resolution_mm)
    window = acquisition_window(shape[:2], spacing[:2], resolution)
    stored = receive(np.asarray(signal, np.float32), window, scanner.noise, rng) * scanner.gain
    array = np.clip(np.rint(stored), 0, _STORED_MAXIMUM).astype(np.int16)
    return HeartMrImage(grid, array, labels, scanner)


def _vary_tissues(rng: np.random.Generator) -> dict[Tissue, MrTissue]:
    """Relaxation times and densities of one subject, a few per cent round the literature's means."""
    return {
        tissue: replace(
            values,
            density=min(values.density * normal(rng, 1.0, 0.02), 1.0),
            t1_ms=values.t1_ms * normal(rng, 1.0, 0.05),
            t2_ms=values.t2_ms * normal(rng, 1.0, 0.06),
            flow=min(values.flow * normal(rng, 1.0, 0.06), 1.0) if tissue in _BLOOD else values.flow,
        )
        for tissue, values in HEART_MR_TISSUES.items()
    }

"""Magnetic resonance images: fat-suppressed T2-weighted fast spin echo, gradient echoes, fat image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.anatomy import Anatomy
from monai_sfda.phantom.depth import depth
from monai_sfda.phantom.draws import Seed, generators, normal, uniform
from monai_sfda.phantom.fields import exponential_field, slow_field
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.kspace import acquisition_window, receive
from monai_sfda.phantom.mr_tissues import MR_TISSUES, MrTissue
from monai_sfda.phantom.tissues import Tissue

#: `Fat` is the fat image that a Dixon separation makes of the gradient echoes.
MrSequence = Literal["T2SPIR", "InPhase", "OutPhase", "Fat"]

STORED_MAXIMUM = 4095  # 12 bits
_GAIN = 2600.0  # stored units per unit signal
_TEXTURE_MM = 2.5  # how far the texture of the tissues is correlated


@dataclass(frozen=True)
class MrScanner:
    """A 1.5 T scanner and its abdominal protocol.

    Attributes:
        manufacturer, model: as written to DICOM.
        field_tesla: main field.
        repetition_ms, echo_ms: of the fast spin echo (the effective echo).
        fat_suppression: share of the fat's signal that the spectral pulse removes in a perfectly shimmed
            field.
        suppression_loss: largest share lost where the field is inhomogeneous.
        gradient_repetition_ms, in_phase_ms, out_phase_ms, flip_degrees: of the gradient echo.
        readout_mm, phase_mm: acquired pixel size along the frequency-encoding (side to side) and the
            phase-encoding axis (front to back); the displayed pixels are interpolated.
        bias: relative amplitude of the slow variation of the coils' sensitivity.
        surface: how much brighter the coils show the skin than the middle of the trunk, relative.
        noise: standard deviation of each quadrature channel, relative to the signal of fully relaxed water.
        ghost: relative amplitude of the motion ghost along the phase-encoding axis (front to back).
        texture: factor on the texture of the tissues.
        gain: stored units per unit signal.
    """

    manufacturer: str = "Phantom Medical Systems"
    model: str = "Phantom 1.5T"
    field_tesla: float = 1.5
    repetition_ms: float = 2000.0
    echo_ms: float = 70.0
    fat_suppression: float = 0.92
    suppression_loss: float = 0.35
    gradient_repetition_ms: float = 120.0
    in_phase_ms: float = 4.6
    out_phase_ms: float = 2.3
    flip_degrees: float = 70.0
    readout_mm: float = 1.8
    phase_mm: float = 2.4
    bias: float = 0.25
    surface: float = 0.3
    noise: float = 0.009
    ghost: float = 0.015
    texture: float = 1.0
    gain: float = _GAIN


@dataclass(frozen=True)
class MrImage:
    """An MR image (stored values, uint16) and its `Organ` labels (uint8), both (X, Y, Z) on `grid`."""

    grid: Grid
    array: NDArray[np.uint16]
    labels: NDArray[np.uint8]
    scanner: MrScanner
    sequence: MrSequence


def draw_mr_scanner(seed: Seed) -> MrScanner:
    """A scanner and protocol as they vary from one examination to the next."""
    rng = np.random.default_rng(seed)
    return MrScanner(
        repetition_ms=round(uniform(rng, 1500, 2600)),
        echo_ms=round(uniform(rng, 62, 84), 1),
        fat_suppression=uniform(rng, 0.86, 0.96),
        suppression_loss=uniform(rng, 0.15, 0.5),
        gradient_repetition_ms=round(uniform(rng, 100, 150)),
        flip_degrees=round(uniform(rng, 65, 80)),
        readout_mm=round(uniform(rng, 1.5, 2.1), 2),
        phase_mm=round(uniform(rng, 2.0, 2.8), 2),
        bias=uniform(rng, 0.15, 0.35),
        surface=uniform(rng, 0.1, 0.5),
        noise=uniform(rng, 0.005, 0.013),
        ghost=uniform(rng, 0.0, 0.03),
        texture=uniform(rng, 0.8, 1.2),
        gain=_GAIN * uniform(rng, 0.55, 1.1),
    )


def spin_echo_signal(
    density: float, t1_ms: float, t2_ms: float, repetition_ms: float, echo_ms: float
) -> float:
    """Signal of a (fast) spin echo, density (1 - exp(-TR/T1)) exp(-TE/T2); times in ms.

    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 14 (TE << TR, ideal
    refocusing).
    """
    return float(density * (1.0 - np.exp(-repetition_ms / t1_ms)) * np.exp(-echo_ms / t2_ms))


def gradient_echo_signal(
    density: float, t1_ms: float, t2star_ms: float, repetition_ms: float, echo_ms: float, flip_degrees: float
) -> float:
    """Signal of a spoiled gradient echo, density sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*), E1 =
    exp(-TR/T1); times in ms.

    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 14.
    """
    flip, e1 = np.deg2rad(flip_degrees), np.exp(-repetition_ms / t1_ms)
    return float(
        density * np.sin(flip) * (1.0 - e1) / (1.0 - np.cos(flip) * e1) * np.exp(-echo_ms / t2star_ms)
    )


def tissue_signals(tissue: MrTissue, scanner: MrScanner, sequence: MrSequence) -> tuple[float, float]:
    """The signals of a tissue's water and of its fat, before fat suppression and with the fat in phase."""
    fat = MR_TISSUES[Tissue.SUBCUTANEOUS_FAT]
    water_density, fat_density = tissue.density * (1.0 - tissue.fat_share), tissue.density * tissue.fat_share
    if sequence == "T2SPIR":
        water = spin_echo_signal(
            water_density, tissue.t1_ms, tissue.t2_ms, scanner.repetition_ms, scanner.echo_ms
        )
        lipid = spin_echo_signal(fat_density, fat.t1_ms, fat.t2_ms, scanner.repetition_ms, scanner.echo_ms)
        return water * tissue.flow, lipid
    echo = scanner.out_phase_ms if sequence == "OutPhase" else scanner.in_phase_ms
    repetition, flip = scanner.gradient_repetition_ms, scanner.flip_degrees
    water = gradient_echo_signal(water_density, tissue.t1_ms, tissue.t2star_ms, repetition, echo, flip)
    return water, gradient_echo_signal(fat_density, fat.t1_ms, fat.t2star_ms, repetition, echo, flip)


def vary_tissues(rng: np.random.Generator, liver_fat: float) -> dict[Tissue, MrTissue]:
    """Relaxation times and densities of one subject, a few per cent round the literature's means, and the
    liver's share of fat.
    """
    varied = {
        tissue: replace(
            values,
            density=min(values.density * normal(rng, 1.0, 0.03), 1.0),
            t1_ms=values.t1_ms * normal(rng, 1.0, 0.07),
            t2_ms=values.t2_ms * normal(rng, 1.0, 0.09),
            flow=values.flow * uniform(rng, 0.6, 1.4) if values.flow < 1 else 1.0,
        )
        for tissue, values in MR_TISSUES.items()
    }
    return varied | {Tissue.LIVER: replace(varied[Tissue.LIVER], fat_share=liver_fat)}


def image_mr(
    anatomy: Anatomy, grid: Grid, scanner: MrScanner, seed: Seed, sequence: MrSequence = "T2SPIR"
) -> MrImage:
    """An MR image of a subject.

    Water and fat signals are averaged over the tissues in each voxel, then fat suppression (T2SPIR), the
    opposed phase (OutPhase) or the separation (Fat), texture, coil sensitivity and motion ghosts follow, at
    last what the receiver makes of it: limited resolution, noise, magnitude.

    Args:
        anatomy: the subject.
        grid: where to sample; slices along the third index axis, phase encoding along the second.
        scanner: protocol and imperfections.
        seed: of everything that is not anatomy; images of one examination (one seed) share the subject's
            tissue values.
        sequence: contrast.
    """
    subject, rng = generators(seed, 2)
    tissues = vary_tissues(subject, anatomy.liver.fat_share)
    values = {
        t: (*tissue_signals(v, scanner, sequence), v.texture * scanner.texture) for t, v in tissues.items()
    }
    (water, fat, texture), labels = anatomy.paint(grid, values)
    shape, spacing = grid.shape, grid.spacing_mm
    if sequence == "T2SPIR":
        # the spectral pulse misses fat where the field is off resonance
        lost = np.clip(slow_field(subject, shape, spacing, 180.0) - 0.25, 0.0, None)
        remaining = np.minimum(1.0 - scanner.fat_suppression + scanner.suppression_loss * lost, 1.0)
        signal = water + fat * remaining
    else:
        signal = {"InPhase": water + fat, "OutPhase": water - fat, "Fat": fat}[sequence]
    signal *= 1.0 + texture * exponential_field(rng, shape, spacing, _TEXTURE_MM)
    signal *= 1.0 + scanner.surface * (1.0 - depth(grid))
    signal *= np.exp(scanner.bias * slow_field(subject, shape, spacing, 260.0))
    if scanner.ghost > 0:
        signal += scanner.ghost * np.roll(signal, shape[1] // int(rng.integers(3, 6)), axis=1)
    window = acquisition_window(shape[:2], spacing[:2], (scanner.readout_mm, scanner.phase_mm))
    stored = receive(np.asarray(signal, np.float32), window, scanner.noise, rng) * scanner.gain
    array = np.clip(np.rint(stored), 0, STORED_MAXIMUM).astype(np.uint16)
    return MrImage(grid, array, labels, scanner, sequence)

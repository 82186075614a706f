"""Two-point Dixon images of the spine: in phase, opposed phase, water, fat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from monai_sfda.phantom.draws import Seed, generators, normal, uniform
from monai_sfda.phantom.fields import exponential_field, slow_field
from monai_sfda.phantom.geometry import Float32, Grid
from monai_sfda.phantom.kspace import acquisition_window
from monai_sfda.phantom.mr import gradient_echo_signal
from monai_sfda.phantom.mr_tissues import MrTissue
from monai_sfda.phantom.spine_anatomy import Spine
from monai_sfda.phantom.spine_tissues import SPINE_TISSUES, TRABECULAR_DEPHASING
from monai_sfda.phantom.tissues import Tissue

DixonImage = Literal["fat", "inn", "opp", "wat"]
DIXON_IMAGES: tuple[DixonImage, ...] = get_args(DixonImage)

_TEXTURE_MM = 2.0  # how far the texture of the tissues is correlated
_GAIN = 8000.0  # stored units per unit signal


@dataclass(frozen=True)
class SpineScanner:
    """A 1.5 T scanner and its volume gradient echo with two echoes.

    Attributes:
        repetition_ms, opposed_ms, in_phase_ms, flip_degrees: of the spoiled gradient echo.
        resolution_mm: acquired pixel size in the sagittal plane.
        bias: relative amplitude of the slow variation of the coils' sensitivity.
        surface: how much brighter the coil under the back shows the skin there, relative.
        reach_mm: depth at which that has fallen to a third.
        noise: standard deviation of each quadrature channel of an echo, relative to the in-phase signal of
            muscle.
        texture: factor on the texture of the tissues.
        gain: stored units per unit signal; one for the four images of an examination.
    """

    repetition_ms: float = 10.6
    opposed_ms: float = 2.4
    in_phase_ms: float = 4.8
    flip_degrees: float = 6.0
    resolution_mm: float = 1.5
    bias: float = 0.15
    surface: float = 0.3
    reach_mm: float = 70.0
    noise: float = 0.035
    texture: float = 1.0
    gain: float = _GAIN


@dataclass(frozen=True)
class SpineImages:
    """The four images of one examination (int16) and the `SpineLabel`s (uint8), all (X, Y, Z) on `grid`."""

    grid: Grid
    arrays: dict[DixonImage, NDArray[np.int16]]
    labels: NDArray[np.uint8]
    scanner: SpineScanner


def draw_spine_scanner(seed: Seed) -> SpineScanner:
    """A scanner and protocol as they vary from one examination to the next."""
    rng = np.random.default_rng(seed)
    return SpineScanner(
        repetition_ms=uniform(rng, 8.0, 13.0),
        flip_degrees=uniform(rng, 4.0, 9.0),
        resolution_mm=uniform(rng, 1.3, 1.8),
        bias=uniform(rng, 0.1, 0.25),
        surface=uniform(rng, 0.1, 0.5),
        reach_mm=uniform(rng, 55.0, 90.0),
        noise=uniform(rng, 0.02, 0.05),
        texture=uniform(rng, 0.8, 1.3),
        gain=_GAIN * uniform(rng, 0.6, 1.4),
    )


def water_and_fat(
    tissue: MrTissue, scanner: SpineScanner, echo_ms: float, dephasing: float = 0.0
) -> tuple[float, float]:
    """The signals of a tissue's water and of its fat at an echo time, both positive; `dephasing` (1/s) adds
    to 1/T2* of both.
    """
    fat = SPINE_TISSUES[Tissue.SUBCUTANEOUS_FAT]
    water_density, fat_density = tissue.density * (1.0 - tissue.fat_share), tissue.density * tissue.fat_share
    repetition, flip = scanner.repetition_ms, scanner.flip_degrees
    left = float(np.exp(-1e-3 * dephasing * echo_ms))
    return (
        left * gradient_echo_signal(water_density, tissue.t1_ms, tissue.t2star_ms, repetition, echo_ms, flip),
        left * gradient_echo_signal(fat_density, fat.t1_ms, fat.t2star_ms, repetition, echo_ms, flip),
    )


def echoes(tissue: MrTissue, scanner: SpineScanner, dephasing: float = 0.0) -> tuple[float, float]:
    """A tissue's signed signals in phase, W + F at the second echo, and opposed, W - F at the first.

    Source: Dixon, Simple proton spectroscopic imaging, Radiology 1984;153:189.
    """
    water, fat = water_and_fat(tissue, scanner, scanner.in_phase_ms, dephasing)
    early_water, early_fat = water_and_fat(tissue, scanner, scanner.opposed_ms, dephasing)
    return water + fat, early_water - early_fat


def separate(in_phase: NDArray[np.complex64], opposed: NDArray[np.complex64]) -> dict[DixonImage, Float32]:
    """The four magnitude images of two complex echoes whose phases are known: wat = |IP + OP| / 2,
    fat = |IP - OP| / 2.

    The decay between the echoes is not corrected, as in the two-point method.
    """
    return {
        "fat": np.abs(in_phase - opposed) * np.float32(0.5),
        "inn": np.abs(in_phase),
        "opp": np.abs(opposed),
        "wat": np.abs(in_phase + opposed) * np.float32(0.5),
    }


def image_spine(spine: Spine, grid: Grid, scanner: SpineScanner, seed: Seed) -> SpineImages:
    """All four images of one examination, in register.

    The signals of both echoes are averaged over the tissues in each voxel; texture and the coil's sensitivity
    follow; then each echo passes the receiver (limited resolution, complex noise), and water and fat are
    separated from the noisy echoes, so that their noise is correlated as in scanners.

    Args:
        spine: the subject.
        grid: where to sample; sagittal planes along the first two index axes, slices along the third.
        scanner: protocol and imperfections.
        seed: of everything that is not anatomy.
    """
    subject, rng = generators(seed, 2)
    tissues = _vary_tissues(subject)
    values: dict[Enum, tuple[float, ...]] = {
        kind: (
            *echoes(tissue, scanner, TRABECULAR_DEPHASING.get(kind, 0.0)),
            tissue.texture * scanner.texture,
        )
        for kind, tissue in tissues.items()
    }
    (in_phase, opposed, texture), labels = spine.paint(grid, values)
    shape, spacing = grid.shape, grid.spacing_mm
    factor = 1.0 + texture * exponential_field(rng, shape, spacing, _TEXTURE_MM)
    factor *= np.exp(scanner.bias * slow_field(subject, shape, spacing, 220.0))
    factor *= 1.0 + scanner.surface * np.exp(-_depth_mm(spine, grid) / scanner.reach_mm)
    muscle = values[Tissue.MUSCLE][0]
    window = acquisition_window(shape[:2], spacing[:2], (scanner.resolution_mm, scanner.resolution_mm))
    received = [_receive(echo * factor, window, scanner.noise * muscle, rng) for echo in (in_phase, opposed)]
    arrays = {
        name: np.minimum(np.rint(image * scanner.gain), np.iinfo(np.int16).max).astype(np.int16)
        for name, image in separate(received[0], received[1]).items()
    }
    return SpineImages(grid, arrays, labels, scanner)


def _vary_tissues(rng: np.random.Generator) -> dict[Enum, MrTissue]:
    """Relaxation times and densities of one subject, a few per cent round the literature's means."""
    return {
        kind: replace(
            tissue,
            density=min(tissue.density * normal(rng, 1.0, 0.03), 1.0),
            t1_ms=tissue.t1_ms * normal(rng, 1.0, 0.07),
            t2_ms=tissue.t2_ms * normal(rng, 1.0, 0.09),
        )
        for kind, tissue in SPINE_TISSUES.items()
    }


def _depth_mm(spine: Spine, grid: Grid) -> Float32:
    """How far in front of the skin of the back a voxel lies, broadcastable to (X, Y, Z), mm."""
    axes = [np.arange(n, dtype=np.float32) for n in grid.shape]
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    row = grid.affine[1].astype(np.float32)
    back = spine.abdomen.scale[1] * spine.abdomen.trunk.skin_back_mm()
    y = row[0] * i + row[1] * j + row[2] * k + row[3]
    return np.asarray(np.maximum(y + np.float32(back), 0.0), np.float32)


def _receive(
    signal: Float32, window: Float32, noise: float, rng: np.random.Generator
) -> NDArray[np.complex64]:
    """One echo as received: a limited part of k-space and white complex noise; see `kspace.receive`."""
    scale = np.float32(noise / np.sqrt(np.mean(window.astype(np.float64) ** 2)))
    received = np.empty(signal.shape, np.complex64)
    received.real = signal + scale * rng.standard_normal(signal.shape, np.float32)
    received.imag = scale * rng.standard_normal(signal.shape, np.float32)
    spectrum = fft.fft2(received, axes=(0, 1), overwrite_x=True)
    spectrum *= window[..., None]
    return np.asarray(fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True), np.complex64)

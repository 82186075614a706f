"""Augmentation of a batch where it lies, so that a GPU never waits for it.

SFS augments both domains by rotation up to 20 degrees, multiplication by -1, Gaussian noise, random crop and
zoom; prior matching by small affine and elastic maps and changes of contrast. One map does all of the
geometry in a single resampling. MONAI's transforms work sample by sample on the CPU; this works on the whole
batch at once on its device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

ELASTIC_GRID = 6
"""Control points a side of the elastic displacement."""


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches one off. `AUGMENTATION_OFF` switches all off.

    Attributes:
        rotation_degrees: largest rotation either way.
        zoom: largest relative enlargement or reduction.
        shift: largest translation, as a share of the image's side (the random crop).
        sign_flip: probability of multiplying an image by -1.
        gamma: largest change of log-contrast: v -> sign(v) |v|^exp(g), g uniform in [-gamma, gamma].
        noise: largest standard deviation of the added Gaussian noise, in units of the normalised image.
        shear_degrees: largest shear angle either way, along the rows.
        elastic: largest standard deviation of a smooth random displacement, as a share of the image's side.
    """

    rotation_degrees: float = 20.0
    zoom: float = 0.15
    shift: float = 0.08
    sign_flip: float = 0.5
    gamma: float = 0.0
    noise: float = 0.1
    shear_degrees: float = 0.0
    elastic: float = 0.0


AUGMENTATION_OFF = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def augment(
    image: Tensor,
    label: Tensor | None,
    settings: Augmentation,
    generator: torch.Generator,
    *,
    part: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Augments each image of a batch by its own draw, the label with it.

    Args:
        image: (B, C, H, W), normalised.
        label: (B, 1, H, W) classes, or None.
        settings: strengths.
        generator: source of randomness, on the CPU, so that a seed gives the same draws on every device but
            for the noise.
        part: (place of the first image, size of the batch) where the images are a part of a larger batch:
            each is then augmented as it would be there.

    Returns:
        Image and label of the same shapes. Points from outside repeat the border.
    """
    first, size = (0, image.shape[0]) if part is None else part
    here = slice(first, first + image.shape[0])
    uniform = (torch.rand(size, 6, generator=generator) * 2 - 1)[here]
    affine = settings.rotation_degrees or settings.zoom or settings.shift or settings.shear_degrees
    if affine or settings.elastic:
        angle = uniform[:, 0] * math.radians(settings.rotation_degrees)
        scale = torch.exp(-uniform[:, 1] * math.log1p(settings.zoom))
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        ratio = image.shape[-2] / image.shape[-1]
        shift = uniform[:, 2:4] * 2 * settings.shift
        shear = torch.zeros_like(angle)
        if settings.shear_degrees:
            sheared = (torch.rand(size, generator=generator) * 2 - 1)[here]
            shear = torch.tan(sheared * math.radians(settings.shear_degrees))
        theta = torch.stack(
            [
                torch.stack([cos, (shear * cos - sin) * ratio, shift[:, 0]], dim=1),
                torch.stack([sin / ratio, shear * sin + cos, shift[:, 1]], dim=1),
            ],
            dim=1,
        ).to(image)
        points = functional.affine_grid(theta, list(image.shape), align_corners=False)
        if settings.elastic:
            drawn = torch.randn(size, 2, ELASTIC_GRID, ELASTIC_GRID, generator=generator)[here]
            strength = torch.rand(size, generator=generator)[here] * 2 * settings.elastic
            field = functional.interpolate(
                (drawn * strength[:, None, None, None]).to(image),
                size=image.shape[-2:],
                mode="bicubic",
                align_corners=False,
            )
            points = points + field.movedim(1, -1)
        image = functional.grid_sample(
            image, points, mode="bilinear", padding_mode="border", align_corners=False
        )
        if label is not None:
            moved = functional.grid_sample(
                label.to(image.dtype), points, mode="nearest", padding_mode="border", align_corners=False
            )
            label = moved.to(label.dtype)
    if settings.gamma:
        exponent = torch.exp(uniform[:, 4] * settings.gamma).to(image)[:, None, None, None]
        image = image.sign() * image.abs().clamp_min(1e-6).pow(exponent)
    if settings.sign_flip:
        flip = torch.rand(size, generator=generator)[here] < settings.sign_flip
        image = image * (1 - 2 * flip.to(image))[:, None, None, None]
    if settings.noise:
        strength = (uniform[:, 5].abs() * settings.noise).to(image)[:, None, None, None]
        seeds = torch.randint(2**62, (size,), generator=generator)[here]
        image = image + strength * torch.stack(
            [_noise_like(i, int(seed)) for i, seed in zip(image, seeds, strict=True)]
        )
    return image, label


def _noise_like(image: Tensor, seed: int) -> Tensor:
    """Standard normal noise drawn on the image's device."""
    on_device = torch.Generator(device=image.device).manual_seed(seed)
    return torch.randn(image.shape, generator=on_device, device=image.device, dtype=image.dtype)

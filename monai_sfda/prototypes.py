"""Gaussian class prototypes of an embedding: sample, save, read.

Class k is a Gaussian with weight alpha_k, mean mu_k and full covariance Sigma_k over the source pixels whose
label is k, whose prediction is k and whose confidence exceeds rho (SFS, Eq. 2; MAS3, Eq. 3). How they are
fitted stands in `prototype_fit.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from monai_sfda.errors import ReleaseError, SettingError


@dataclass(frozen=True)
class Prototypes:
    """A Gaussian a class, and how it was fitted.

    Attributes:
        weight: (K,) alpha_k, the class's share of the confident pixels; 0 for a class without prototype.
        mean: (K, D).
        covariance: (K, D, D).
        count: (K,) pixels behind each Gaussian.
        threshold: (K,) confidence threshold that was used; NaN for a class without prototype.
        pixel_share: (K,) share of all labelled source pixels, confident or not, of the classes of enough
            subjects; 0 for the others.
        subjects: (K,) number of subjects behind each Gaussian; 0 for a class without prototype.
        rho: the threshold asked for.
        warnings: what deviates from the papers' fit, class by class.
    """

    weight: Tensor
    mean: Tensor
    covariance: Tensor
    count: Tensor
    threshold: Tensor
    pixel_share: Tensor
    subjects: Tensor
    rho: float
    warnings: tuple[str, ...] = ()
    _cholesky: dict[tuple[str, torch.dtype], Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_classes(self) -> int:
        """K, background included, classes without prototype included."""
        return int(self.mean.shape[0])

    @property
    def dimension(self) -> int:
        """D of the embedding."""
        return int(self.mean.shape[1])

    @property
    def available(self) -> Tensor:
        """(K,) bool: the class has a prototype."""
        return self.count > 0

    def sample(
        self,
        count: int,
        proportions: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor]:
        """Pseudo-samples z ~ sum_k p_k N(mu_k, Sigma_k) with their classes.

        The number of samples of each class is p_k N, rounded by systematic sampling (less variance than
        independent draws, same expectation).

        Args:
            count: N.
            proportions: (K,) p_k, any positive scale; `weight` by default. Classes without prototype are left
                out.
            generator: source of randomness, on the CPU.
            device, dtype: of the result.

        Returns:
            z (N, D) and classes (N,), ordered by class.
        """
        counts = self.class_counts(count, proportions, generator=generator)
        return self.draw(counts, generator=generator, device=device, dtype=dtype)

    def class_counts(
        self, count: int, proportions: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """How many of `count` samples fall to each class, (K,) integers; arguments as in `sample`."""
        p = (self.weight if proportions is None else proportions.detach().double().cpu()) * self.available
        if not float(p.sum()) > 0:
            raise SettingError(
                "class proportions are all zero", remedy="give a positive share to a class of the release"
            )
        edges = torch.cumsum(p, 0) / p.sum()
        edges[-1] = 1.0
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        ticks = (torch.arange(count, dtype=torch.float64) + shift) / count
        classes = torch.searchsorted(edges, ticks.clamp_max(1 - 1e-12), right=True)
        return torch.bincount(classes, minlength=self.num_classes)

    def draw(
        self,
        counts: Tensor,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor]:
        """`counts` (K,) samples of each class's Gaussian; the rest as in `sample`."""
        count = int(counts.sum())
        noise = torch.randn(count, self.dimension, generator=generator, dtype=torch.float32).to(
            device=device, dtype=dtype
        )
        classes = torch.arange(self.num_classes).repeat_interleave(counts.cpu()).to(device)
        root = self._roots(device, dtype)
        z = self.mean.to(device=device, dtype=dtype)[classes]
        parts = noise.split(counts.tolist())
        return z + torch.cat([n @ root[k].T for k, n in enumerate(parts)]), classes

    def _roots(self, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """(K, D, D) lower Cholesky factors, through the eigenvalues so that singular covariances are fine."""
        key = (str(device), dtype)
        if key not in self._cholesky:
            values, vectors = torch.linalg.eigh(self.covariance)
            root = vectors * values.clamp_min(0).sqrt()[:, None, :]
            self._cholesky[key] = root.to(device=device, dtype=dtype)
        return self._cholesky[key]

    def save(self, path: Path) -> None:
        """Writes a safetensors file."""
        tensors = {
            "weight": self.weight,
            "mean": self.mean,
            "covariance": self.covariance,
            "count": self.count,
            "threshold": self.threshold,
            "pixel_share": self.pixel_share,
            "subjects": self.subjects,
        }
        metadata = {"rho": repr(self.rho), "warnings": "\n".join(self.warnings)}
        path.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata))

    @staticmethod
    def load(path: Path) -> Prototypes:
        """Reads what `save` wrote.

        Raises:
            ReleaseError: when the file is damaged or of another kind.
        """
        try:
            tensors = load_file(path)
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            warnings = tuple(line for line in metadata["warnings"].split("\n") if line)
            fields: dict[str, Any] = {**tensors, "rho": float(metadata["rho"]), "warnings": warnings}
            return Prototypes(**fields)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ReleaseError(
                f"prototypes cannot be read ({type(error).__name__})",
                path=path,
                remedy="ask the source site for the release again",
            ) from error

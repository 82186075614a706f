"""The figures of the comparison of phantoms with real scans, for docs/phantoms.md."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import realism_measures as measures
from benchmarks.realism_scans import Scan
from monai_sfda.files import write_atomically

_REAL, _PHANTOM = "#b2182b", "#2166ac"
_ABDOMEN_CREDIT = (
    "Real abdomen scans: TotalSegmentator, example images (J. Wasserthal and contributors), "
    "Apache License 2.0; cropped and windowed."
)
_THIGH_CREDIT = (
    "Real limb scans: Vallieres et al. 2015, Soft-tissue-Sarcoma, TCIA (doi 10.7937/K9/TCIA.2015.7GO2GSKS), "
    "as prepared for IBSI; CC BY 3.0 (creativecommons.org/licenses/by/3.0); cropped and windowed."
)
_NOTICE = "Phantoms are simulated. Not for diagnosis."
#: Grey-value windows: Hounsfield units, and per cent of the fat's signal.
_WINDOWS = {"CT": (-160.0, 240.0), "MR": (0.0, 130.0)}

Scans = Mapping[str, Sequence[Scan]]


def draw(
    scans: Scans,
    folder: Path,
    normalised: Callable[[Scan], NDArray[Any]],
    find_edges: Callable[[Scan, str], measures.Edges | None],
) -> None:
    """All figures: pictures side by side, and curves.

    Args:
        scans: by group (`abdomen CT` and so on) the real scans, then the phantoms.
        folder: to write to.
        normalised: a scan as a network sees it.
        find_edges: fitted edges of a tissue.
    """
    abdomen = {kind: scans[f"abdomen {kind}"][:4] for kind in ("CT", "MR")}
    _save(_abdomens(abdomen), folder / "phantoms_abdomen.png")
    limbs = {kind: _two_and_two(scans[f"soft tissue {kind}"]) for kind in ("CT", "MR")}
    _save(_limbs(limbs), folder / "phantoms_soft_tissue.png")
    _save(_whole_slices(scans, normalised), folder / "phantoms_histograms_spectra.png")
    _save(_details(scans, find_edges), folder / "phantoms_edges_texture.png")


def _is_real(scan: Scan) -> bool:
    return scan.title.startswith("real")


def _two_and_two(scans: Sequence[Scan]) -> list[Scan]:
    real = [scan for scan in scans if _is_real(scan)]
    # of the real ones those with the most tissue in their middle, so that there is something to see
    real.sort(key=lambda scan: -int(scan.body[..., scan.body.shape[2] // 2].sum()))
    return [*real[:2], *[scan for scan in scans if not _is_real(scan)][:2]]


def _picture(axes: Axes, scan: Scan, z: int, crop: slice | None = None) -> None:
    image = scan.image[..., z] if crop is None else scan.image[crop, crop, z]
    low, high = _WINDOWS[scan.kind]
    # x runs to the patient's right, which is shown on the left
    axes.imshow(image.T[:, ::-1], cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
    axes.set_axis_off()


def _abdomens(scans: Mapping[str, Sequence[Scan]]) -> Figure:
    figure = Figure(figsize=(11, 9.6))
    axes = figure.subplots(4, 4)
    for block, (kind, shown) in enumerate(scans.items()):
        for column, scan in enumerate(shown):
            count = scan.image.shape[2]
            for row, z in enumerate((count // 5, (3 * count) // 5)):
                _picture(axes[2 * block + row, column], scan, z)
            title = scan.title if _is_real(scan) else f"{kind} {scan.title}"
            axes[2 * block, column].set_title(title, fontsize=10)
    _credit(figure, _ABDOMEN_CREDIT)
    return figure


def _limbs(scans: Mapping[str, Sequence[Scan]]) -> Figure:
    figure = Figure(figsize=(11, 6.0))
    axes = figure.subplots(2, 4)
    for row, (_, shown) in enumerate(scans.items()):
        for column, scan in enumerate(shown):
            axis = axes[row, column]
            if _is_real(scan):
                _picture(axis, scan, scan.image.shape[2] // 2)
            else:  # a part of the same size, of the flank and back
                height, side = scan.image.shape[1], 160
                part = np.s_[scan.image.shape[0] - side - 60 : scan.image.shape[0] - 60, 0:height]
                body = np.argwhere(scan.body[part][..., 2].any(0))
                first = int(body.min()) - 5
                cut = Scan(
                    scan.title,
                    scan.kind,
                    scan.image[part][:, first : first + side],
                    scan.body[part][:, first : first + side],
                    {},
                    scan.pixel_mm,
                )
                _picture(axis, cut, 2)
            axis.set_title(scan.title, fontsize=10)
    _credit(figure, _THIGH_CREDIT)
    return figure


def _whole_slices(scans: Scans, normalised: Callable[[Scan], NDArray[Any]]) -> Figure:
    figure = Figure(figsize=(12, 6.8))
    axes = figure.subplots(2, 3)
    for row, kind in enumerate(("CT", "MR")):
        for scan in reversed(scans[f"abdomen {kind}"]):  # the real one on top
            image = normalised(scan)
            style = _style(scan)
            density, edges = np.histogram(image[scan.body], bins=60, range=(-3, 3), density=True)
            axes[row, 0].plot(0.5 * (edges[1:] + edges[:-1]), density, **style)
            steep = measures.gradient_magnitude(image, scan.pixel_mm)[scan.body]
            density, edges = np.histogram(steep, bins=50, range=(0, 0.7), density=True)
            axes[row, 1].semilogy(0.5 * (edges[1:] + edges[:-1]), np.maximum(density, 1e-3), **style)
            frequency, power = measures.radial_spectrum(
                np.where(scan.body, image, image.min()), scan.pixel_mm
            )
            axes[row, 2].loglog(frequency, power, **style)
        for column, (what, unit) in enumerate(
            (
                ("intensity as a network sees it", "standard deviations"),
                ("gradient magnitude", "standard deviations per mm"),
                ("power spectrum of slices", "cycles per mm"),
            )
        ):
            axes[row, column].set_title(f"{kind} abdomen: {what}", fontsize=9)
            axes[row, column].set_xlabel(unit, fontsize=8)
    _legend(axes[0, 0])
    figure.tight_layout()
    return figure


def _details(scans: Scans, find_edges: Callable[[Scan, str], measures.Edges | None]) -> Figure:
    figure = Figure(figsize=(12, 6.8))
    axes = figure.subplots(2, 3)
    for row, kind in enumerate(("CT", "MR")):
        for scan in scans[f"soft tissue {kind}"]:  # the phantoms on top of the many real ones
            style = _style(scan) | {"alpha": 0.45 if _is_real(scan) else 1.0}
            edges = find_edges(scan, "fat")
            if edges is not None:
                offsets = np.arange(-6.0, 6.25, 0.5)
                moved = [
                    np.interp(offsets + place, offsets, profile)
                    for place, profile in zip(edges.place_mm, edges.profiles, strict=True)
                ]
                axes[row, 0].plot(offsets, np.median(moved, 0), **style)
            for column, tissue in ((1, "fat"), (2, "muscle")):
                mask = measures.eroded(scan.tissues[tissue], 3.0, scan.pixel_mm)
                if mask.sum() >= 100:
                    axes[row, column].plot(
                        *measures.autocorrelation(scan.image, mask, scan.pixel_mm), **style
                    )
        axes[row, 0].set_title(f"{kind}: edge of fat, aligned and scaled (median)", fontsize=9)
        axes[row, 1].set_title(f"{kind}: autocorrelation inside fat", fontsize=9)
        axes[row, 2].set_title(f"{kind}: autocorrelation inside muscle", fontsize=9)
        for column in range(3):
            axes[row, column].set_xlabel("mm", fontsize=8)
    _legend(axes[0, 1])
    figure.tight_layout()
    return figure


def _style(scan: Scan) -> dict[str, Any]:
    real = _is_real(scan)
    return {"color": _REAL if real else _PHANTOM, "linewidth": 1.4 if real else 0.9, "alpha": 0.85}


def _legend(axes: Axes) -> None:
    for label, colour in (("real", _REAL), ("phantom", _PHANTOM)):
        axes.plot([], [], color=colour, label=label)
    axes.legend(fontsize=8, frameon=False)


def _credit(figure: Figure, credit: str) -> None:
    figure.tight_layout(rect=(0, 0.045, 1, 1))
    figure.text(0.5, 0.012, f"{credit}\n{_NOTICE}", ha="center", fontsize=6.5)


def _save(figure: Figure, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90, metadata={"Software": ""})
    write_atomically(path, stream.getvalue())

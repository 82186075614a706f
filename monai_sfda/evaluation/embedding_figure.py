"""The picture of target embeddings beside the source's class prototypes, before and after adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import INK, png, quiet
from monai_sfda.evaluation.embedding import (
    Array,
    ClassGaussians,
    DiscriminantPlane,
    discriminant_plane,
    ellipse_axes,
)
from monai_sfda.evaluation.figures import color_of

EMBEDDING_FIGURE = "embedding"
EMBEDDING_CAPTION = (
    "What to look for: after adaptation the dots of a colour should lie in the ellipses of that colour more "
    "than before; dots elsewhere are pixels unlike those that the source model knows. The colour is the "
    "model's own guess, so dots in the right place are no proof of a right class. "
    "What it is: a random sample of target pixels, at most the same number of every predicted class, in the "
    "network's embedding, projected linearly on the two directions that best separate the source's class "
    "prototypes (linear discriminants of the prototypes alone, the same plane and scale in both panels). "
    "Ellipses: the prototypes at 1 (solid) and 2 (dashed) standard deviations. One unit is one pooled "
    "within-class standard deviation."
)
_BACKGROUND = (150, 156, 165)
_SHARE_IN_FRAME = 98.0
_ELLIPSE_SIGMAS = (1.0, 2.0)
_PANEL_INCHES = 5.0

Points = tuple[Array, NDArray[np.int64]]


def embedding_figure(
    gaussians: ClassGaussians, panels: Mapping[str, Points], structures: Sequence[Structure]
) -> bytes:
    """Draw embeddings in the plane that best separates the prototypes, one panel a model, on equal axes.

    With a one-dimensional embedding every class has a row of its own.

    Args:
        gaussians: the prototypes of the release; classes without one are drawn as points alone.
        panels: title to embeddings (N, D) and their predicted classes (N,).
        structures: names and colours of the classes.

    Returns:
        A PNG image.

    Raises:
        DataError: when there is no panel or an embedding has another dimension than the prototypes.
    """
    dimension = gaussians.means.shape[1]
    if not panels or any(z.ndim != 2 or z.shape[1] != dimension for z, _ in panels.values()):
        raise DataError(
            f"embeddings of shapes {[z.shape for z, _ in panels.values()]} do not fit prototypes of "
            f"{dimension} dimensions",
            remedy="give the embeddings of the network that the prototypes were fitted to",
        )
    plane = discriminant_plane(gaussians)
    shown = {title: (_on_plane(plane, z, k), k) for title, (z, k) in panels.items()}
    low, high = _frame(plane, gaussians, [points for points, _ in shown.values()])
    width, height = (high - low).tolist()
    panel_height = (
        _PANEL_INCHES * min(max(height / width, 0.4), 1.1) if plane.directions.shape[1] == 2 else 4.0
    )
    figure = Figure(
        figsize=((_PANEL_INCHES + 0.6) * len(panels), panel_height + 1.1 + 0.25 * -(-len(structures) // 6)),
        facecolor="white",
        layout="constrained",
    )
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (title, (points, classes)) in zip(axes, shown.items(), strict=True):
        _draw_points(panel, points, classes, structures)
        for k, mean, covariance in zip(
            gaussians.classes, gaussians.means, gaussians.covariances, strict=True
        ):
            _draw_prototype(panel, plane, k, mean, covariance, structures)
        outside = int(np.count_nonzero(((points < low) | (points > high)).any(axis=1)))
        left_out = f"{outside} of {len(points)} pixels lie outside the frame" if outside else ""
        panel.set_title(title, fontsize=11, color=INK, loc="left", parse_math=False)
        panel.set_title(left_out, fontsize=8, color=INK, loc="right", parse_math=False)
        panel.set_xlim(low[0], high[0])
        panel.set_ylim(low[1], high[1])
        if plane.directions.shape[1] == 2:
            panel.set_aspect("equal", adjustable="box")
            panel.set_ylabel(f"second {_kind(gaussians, 2)}", fontsize=9, color=INK)
        else:
            panel.set_yticks([])
        unit = "(within-class standard deviations)"
        panel.set_xlabel(f"first {_kind(gaussians, 1)} {unit}", fontsize=9, color=INK)
        quiet(panel)
        panel.grid(visible=False)
    _legend(figure, gaussians, [k for _, k in shown.values()], structures)
    return png(figure)


def _kind(gaussians: ClassGaussians, axis: int) -> str:
    """What an axis is: C classes have C - 1 discriminants; other axes follow the spread within classes."""
    return "discriminant" if axis < len(gaussians.classes) else "direction, of spread"


def _on_plane(plane: DiscriminantPlane, z: Array, classes: NDArray[np.int64]) -> Array:
    """(N, 2): the second coordinate of a one-dimensional embedding is the row of the class."""
    points = plane.points(z)
    if points.shape[1] == 2:
        return points
    spread = np.mod(np.arange(len(points)) * 0.618034, 1.0) - 0.5
    return np.column_stack([points[:, 0], -classes + 0.6 * spread])


def _outline(
    plane: DiscriminantPlane, k: int, mean: Array, covariance: Array
) -> tuple[Array, tuple[float, float, float]]:
    """Centre in the plane, and the half-axes and angle of the 1-sigma ellipse; a row's for one dimension."""
    centre, projected = plane.points(mean[None])[0], plane.covariance(covariance)
    if len(centre) == 2:
        return centre, ellipse_axes(projected)
    return np.array([centre[0], -k]), (float(np.sqrt(projected[0, 0])), 0.2, 0.0)


def _frame(
    plane: DiscriminantPlane, gaussians: ClassGaussians, clouds: Sequence[Array]
) -> tuple[Array, Array]:
    """Corners that hold every 2-sigma ellipse and nearly all points."""
    corners = []
    for k, mean, covariance in zip(gaussians.classes, gaussians.means, gaussians.covariances, strict=True):
        centre, (long, short, angle) = _outline(plane, k, mean, covariance)
        turn = np.radians(angle)
        reach = _ELLIPSE_SIGMAS[-1] * np.array(
            [
                np.hypot(long * np.cos(turn), short * np.sin(turn)),
                np.hypot(long * np.sin(turn), short * np.cos(turn)),
            ]
        )
        corners += [centre - reach, centre + reach]
    beyond = (100.0 - _SHARE_IN_FRAME) / 2
    for cloud in clouds:
        finite = cloud[np.isfinite(cloud).all(axis=1)]
        if len(finite):
            corners += [np.percentile(finite, q, axis=0) for q in (beyond, 100.0 - beyond)]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    margin = 0.04 * max(float((high - low).max()), 1e-9)
    return low - margin, high + margin


def _draw_points(
    panel: Axes, points: Array, classes: NDArray[np.int64], structures: Sequence[Structure]
) -> None:
    """All classes mixed, in a fixed order, so that none lies on top of the others."""
    order = np.argsort(np.mod(np.arange(len(points)) * 0.618034, 1.0), kind="stable")
    colors = np.array([_color(int(k), structures) for k in classes[order]]).reshape(-1, 3)
    panel.scatter(points[order, 0], points[order, 1], s=5, c=colors, alpha=0.55, linewidths=0)


def _draw_prototype(
    panel: Axes,
    plane: DiscriminantPlane,
    k: int,
    mean: Array,
    covariance: Array,
    structures: Sequence[Structure],
) -> None:
    centre, (long, short, angle) = _outline(plane, k, mean, covariance)
    color = tuple(0.75 * value for value in _color(k, structures))
    for sigmas in _ELLIPSE_SIGMAS:
        width, height = 2 * sigmas * long, 2 * sigmas * short
        for line, shade in ((3.2, "white"), (1.5, color)):
            panel.add_patch(
                Ellipse(
                    (float(centre[0]), float(centre[1])),
                    width,
                    height,
                    angle=angle,
                    fill=False,
                    edgecolor=shade,
                    linewidth=line,
                    linestyle="solid" if sigmas == 1.0 or shade == "white" else (0, (4, 2)),
                )
            )
    panel.plot(*centre, marker="+", markersize=9, markeredgewidth=2, color=color)


def _color(k: int, structures: Sequence[Structure]) -> tuple[float, float, float]:
    background = k == 0 and all(structure.index != 0 for structure in structures)
    red, green, blue = _BACKGROUND if background else color_of(k, structures)
    return red / 255.0, green / 255.0, blue / 255.0


def _legend(
    figure: Figure,
    gaussians: ClassGaussians,
    classes: Sequence[NDArray[np.int64]],
    structures: Sequence[Structure],
) -> None:
    names = {0: "background"} | {s.index: s.name.replace("_", " ") for s in structures}
    handles = []
    for k in sorted({*gaussians.classes, *(int(k) for found in classes for k in np.unique(found))}):
        name = names.get(k, f"class {k}")
        title = name if k in gaussians.classes else f"{name} (no prototype)"
        handles.append(
            Line2D(
                [], [], marker="o", markersize=7, linestyle="none", color=_color(k, structures), label=title
            )
        )
    legend = figure.legend(
        handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)

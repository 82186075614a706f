"""OHIF in a browser page: opening a study, running a segmentation, and what its pixels show."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.label.servers import PASSWORDS

PATIENCE_MS = 300_000
_MARGINS = (1.0, 1 / 1.1)  # cornerstone leaves a margin round a plane of a volume
_CHANGED = 8


@dataclass(frozen=True)
class Shown:
    """Which slice a canvas shows and where.

    Attributes:
        number: of the slice.
        correlation: of the slice with the canvas.
        rows, columns: the part of the canvas that it fills.
    """

    number: int
    correlation: float
    rows: slice
    columns: slice


def open_study(page: Any, url: str, study: str, user: str | None = None) -> None:
    """The study in the mode MONAI Label, with its images loaded, and the panel connected.

    Args:
        page: of the browser.
        url: of the server.
        study: its UID.
        user: who logs in where the server asks for it.
    """
    page.goto(f"{url}/ohif/monai-label?StudyInstanceUIDs={study}", timeout=PATIENCE_MS)
    if user is not None:
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", PASSWORDS[user])
        page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#monailabelServerURL", timeout=PATIENCE_MS)
    confirm = page.get_by_text("Confirm and Hide")
    if confirm.count():
        confirm.first.click()
    page.fill("#monailabelServerURL", f"{url}/")
    page.locator(".settingsTable button.actionButton").click()
    page.wait_for_selector("text=Auto-Segmentation", timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle", timeout=PATIENCE_MS)
    page.wait_for_timeout(3000)  # the last frames are drawn


def run_segmentation(page: Any, model: str) -> bytes:
    """*Auto-Segmentation*, Run; returns the labelmap that OHIF was sent."""
    page.locator(".tab-content:visible select.selectBox").first.select_option(model)
    with page.expect_response(lambda answer: "/infer/" in answer.url, timeout=PATIENCE_MS) as found:
        page.locator('button[title="Run segmentation" i]:visible').first.click()
    answer = found.value
    assert answer.status == 200, answer.text()
    content: bytes = answer.body()
    page.wait_for_timeout(4000)  # the masks are drawn
    return content


def click_away(page: Any, model: str, structure: str, place: tuple[int, int]) -> bytes:
    """*Point Prompts*: a background click, then the structure is chosen and Run; returns the labelmap.

    Args:
        page: with an open study.
        model: of the clicks.
        structure: that is to lose the region.
        place: row and column of the first viewport's canvas.
    """
    page.get_by_text("Point Prompts").first.click()
    run = page.locator('button[title="Run PointPrompts"]')
    run.wait_for()
    panel = page.locator(".tab-content:visible").filter(has=run)
    panel.locator("select.selectBox").first.select_option(model)
    panel.locator("td", has_text="background").last.click()
    box = page.locator("canvas.cornerstone-canvas").first.bounding_box()
    page.mouse.click(box["x"] + place[1], box["y"] + place[0])
    page.wait_for_timeout(1000)
    panel.locator("td", has_text=structure).last.click()
    with page.expect_response(lambda answer: "/infer/" in answer.url, timeout=PATIENCE_MS) as found:
        run.click()
    answer = found.value
    assert answer.status == 200, answer.text()
    content: bytes = answer.body()
    page.wait_for_timeout(4000)
    return content


def canvas(page: Any, number: int = 0) -> NDArray[np.float64]:
    """(H, W, 3): what a viewport shows, overlays and all."""
    box = page.locator("canvas.cornerstone-canvas").nth(number).bounding_box()
    picture = Image.open(BytesIO(page.screenshot(clip=box))).convert("RGB")
    return np.asarray(picture, dtype=np.float64)


def axial(volume: NDArray[Any], affine: NDArray[np.float64]) -> tuple[NDArray[Any], tuple[float, float]]:
    """Slices as a viewer shows them, front up and the patient's right on the left, however they are stored.

    Args:
        volume: (X, Y, Z).
        affine: voxel index to RAS, mm.

    Returns:
        (slices from the feet up, rows, columns), and height and width of a pixel in mm.
    """
    there = nibabel.io_orientation(affine)
    turn = nibabel.orientations.ornt_transform(there, nibabel.orientations.axcodes2ornt("LPS"))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    _, rows, columns = (int(np.flatnonzero(there[:, 0] == axis)[0]) for axis in (2, 1, 0))
    pixel = float(spacing[rows]), float(spacing[columns])
    return nibabel.apply_orientation(volume, turn).transpose(2, 1, 0), pixel


def find_slice(
    picture: NDArray[np.float64], volume: NDArray[np.float64], pixel: tuple[float, float]
) -> Shown:
    """Finds the slice of a volume that a picture shows, fitted into its middle.

    Args:
        picture: (H, W, 3).
        volume: (slices, rows, columns).
        pixel: height and width of a pixel, mm.
    """
    grey = picture.mean(-1)
    found = []
    for number, plane in enumerate(volume):
        for margin in _MARGINS:
            size = np.array(plane.shape) * pixel
            scale = margin * float(np.min(np.array(grey.shape) / size))
            rows, columns = (_middle(grey.shape[axis], float(size[axis]) * scale) for axis in (0, 1))
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            there = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(shape[::-1], Image.BILINEAR))
            correlation = float(np.corrcoef(there.ravel(), grey[rows, columns].ravel())[0, 1])
            found.append(Shown(number, correlation, rows, columns))
    return max(found, key=lambda shown: -1.0 if np.isnan(shown.correlation) else shown.correlation)


def painted(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(H, W): pixels that look otherwise than before."""
    return np.abs(after - before).max(-1) > _CHANGED


def resized(mask: NDArray[np.uint8], shown: Shown) -> NDArray[np.uint8]:
    """A slice of a labelmap, (rows, columns), in the pixels of the canvas."""
    shape = (shown.columns.stop - shown.columns.start, shown.rows.stop - shown.rows.start)
    return np.asarray(Image.fromarray(mask).resize(shape, Image.NEAREST))


def blended(
    before: NDArray[np.float64], after: NDArray[np.float64], colour: tuple[int, int, int]
) -> tuple[float, float]:
    """How much of a colour was mixed into pixels (N, 3), and how well that explains them.

    after = (1 - a) before + a colour, by least squares; returns a and the root mean square of what is left.
    """
    towards = np.array(colour, dtype=np.float64) - before
    change = after - before
    share = float((towards * change).sum() / (towards**2).sum())
    return share, float(np.sqrt(((change - share * towards) ** 2).mean()))


def colour_of(structure: str) -> tuple[int, int, int]:
    """What OHIF's panel paints a structure in whose name is none of its own anatomy list."""
    number = 4 * len(structure) + sum(map(ord, structure))
    return 2 * number % 256, 3 * number % 256, 5 * number % 256


def _middle(length: int, size: float) -> slice:
    start = max(0, round((length - size) / 2))
    return slice(start, min(length, start + round(size)))

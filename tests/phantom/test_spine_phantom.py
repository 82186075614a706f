"""The spine phantom: discs where they belong, Dixon images as physics has them, the layout of IVDM3Seg."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from monai_sfda.errors import SettingError
from monai_sfda.phantom import Grid, SpineTissue, Tissue, make_spine, write_phantoms
from monai_sfda.phantom.geometry import Region
from monai_sfda.phantom.ivdm3seg import ivdm3seg_grid
from monai_sfda.phantom.mr_tissues import MrTissue
from monai_sfda.phantom.spine_column import LEVELS, ColumnSizes
from monai_sfda.phantom.spine_mr import DIXON_IMAGES, SpineScanner, draw_spine_scanner, echoes, image_spine
from monai_sfda.phantom.spine_tissues import SPINE_TISSUES

MATRIX = 128
FEWEST_DISCS = 7  # T11/T12 to L5/S1


@pytest.fixture(scope="module")
def grid() -> Grid:
    return ivdm3seg_grid(3, MATRIX)


def disc_volumes(labels: np.ndarray, grid: Grid) -> np.ndarray:
    """Volumes (ml) of the connected parts of at least 0.5 ml."""
    parts, count = ndimage.label(labels)
    volumes = ndimage.sum_labels(labels, parts, range(1, count + 1)) * np.prod(grid.spacing_mm) / 1000.0
    return volumes[volumes > 0.5]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_least_seven_separate_discs_of_adult_size(grid: Grid, seed: int) -> None:
    labels = make_spine(seed).labels(grid)
    assert set(np.unique(labels)) == {0, 1}
    volumes = disc_volumes(labels, grid)
    assert len(volumes) >= FEWEST_DISCS
    # lumbar discs have about 8 to 20 ml, thoracic ones less
    assert 6 < np.median(volumes) < 16
    assert volumes.max() < 30


@pytest.mark.parametrize("seed", range(20))
def test_the_column_is_lordotic_and_its_discs_lie_between_their_vertebrae(seed: int) -> None:
    column = ColumnSizes.draw(np.random.default_rng(seed)).build()
    heights = [v.frame.z for v in column.vertebrae]
    assert heights == sorted(heights, reverse=True)
    for upper, disc, lower in zip(column.vertebrae, column.discs, column.vertebrae[1:], strict=False):
        assert upper.frame.z > disc.frame.z > lower.frame.z
        assert (disc.upper, disc.lower) == (upper, lower)
        assert 1.0 < disc.height < 15.0
    # lordosis from L1 to S1 of people on their backs, about 25 to 75 degrees
    lordosis = np.rad2deg(column.vertebra("S1").frame.tilt - column.vertebra("L1").frame.tilt)
    assert 20 < lordosis < 80
    assert column.vertebra("L3").frame.y > column.vertebra("S1").frame.y + 10


def test_a_disc_ends_at_the_end_plates_of_its_vertebrae() -> None:
    column = ColumnSizes.draw(np.random.default_rng(4)).build()
    disc = column.discs[LEVELS.index("L4")]
    sin, cos = np.sin(disc.frame.tilt), np.cos(disc.frame.tilt)
    steps = np.arange(-12.0, 12.0, 0.05, dtype=np.float32)[:, None, None]
    everything = (slice(None), slice(None), slice(None))
    y, z = disc.frame.y + sin * steps, disc.frame.z + cos * steps
    inside = steps[disc.shape(Region(everything, disc.frame.x + 0 * steps, y, z)) < 0]
    # in the middle both hollow end plates add to the height between the rims
    expected = disc.height + disc.upper.dish + disc.lower.dish
    assert inside.max() - inside.min() == pytest.approx(expected, abs=0.5)


def test_time_in_bed_swells_discs_and_spares_worn_ones() -> None:
    spine = make_spine(5)
    before, after = spine.sizes.build().discs, spine.later(1.1).sizes.build().discs
    for old, new in zip(before, after, strict=True):
        assert new.height == pytest.approx(old.height * (1.0 + 0.1 * (1.0 - old.degeneration)))
    assert spine.later(1.1).marrow == spine.marrow


def test_discs_lie_between_bodies_in_front_of_fluid_and_beside_muscle(grid: Grid) -> None:
    kinds = [SpineTissue.ANNULUS, SpineTissue.NUCLEUS, Tissue.CEREBROSPINAL_FLUID, Tissue.ARTERIAL_BLOOD]
    values = {kind: tuple(float(kind is other) for other in kinds) for kind in SPINE_TISSUES}
    cover, labels = make_spine(1).paint(grid, values)
    annulus, nucleus, fluid, artery = (c > 0.5 for c in cover)
    assert (labels[annulus | nucleus] == 1).mean() > 0.95
    assert (labels[fluid | artery] == 1).sum() == 0

    def front(mask: np.ndarray) -> float:
        return float(grid.world(np.argwhere(mask).astype(float))[:, 1].mean())

    assert front(fluid) < front(labels == 1) - 15 < front(artery) - 30


def test_tissues_echo_as_dixon_describes() -> None:
    """Against the signal equation written out, with decay switched off by echo times of zero."""
    scanner = SpineScanner(repetition_ms=10.0, flip_degrees=30.0, in_phase_ms=0.0, opposed_ms=0.0)
    tissue = MrTissue(density=0.8, t1_ms=500.0, t2_ms=50.0, fat_share=0.25)
    fat_t1 = SPINE_TISSUES[Tissue.SUBCUTANEOUS_FAT].t1_ms

    def spoiled(density: float, t1: float) -> float:
        e1 = np.exp(-10.0 / t1)
        return density * 0.5 * (1 - e1) / (1 - np.sqrt(0.75) * e1)

    water, fat = spoiled(0.6, 500.0), spoiled(0.2, fat_t1)
    in_phase, opposed = echoes(tissue, scanner)
    assert in_phase == pytest.approx(water + fat, rel=1e-9)
    assert opposed == pytest.approx(water - fat, rel=1e-9)


def test_trabecular_bone_darkens_marrow_by_its_decay() -> None:
    scanner = SpineScanner(in_phase_ms=4.8)
    tissue = SPINE_TISSUES[SpineTissue.RED_MARROW]
    plain, darkened = (echoes(tissue, scanner, dephasing)[0] for dephasing in (0.0, 40.0))
    assert darkened / plain == pytest.approx(np.exp(-0.0048 * 40.0), rel=1e-9)


@pytest.fixture(scope="module")
def noiseless(grid: Grid) -> dict[str, np.ndarray]:
    scanner = replace(SpineScanner(), noise=0.0)
    images = image_spine(make_spine(2), grid, scanner, 7)
    return {name: array.astype(float) for name, array in images.arrays.items()} | {"labels": images.labels}


def test_in_phase_is_water_plus_fat_and_opposed_their_difference(noiseless: dict[str, np.ndarray]) -> None:
    """The identities of the two-point method; rounding to integers alone is left, one unit a summand."""
    wat, fat, inn, opp = (noiseless[name] for name in ("wat", "fat", "inn", "opp"))
    assert inn.max() > 300
    # pure fat decays between the echoes, which the two-point method shows as a little negative water
    both = (wat > 2) & (fat > 2) & (np.abs(inn - wat - fat) < np.abs(inn - np.abs(wat - fat)))
    assert both.mean() > 0.2
    assert np.abs(inn - (wat + fat))[both].max() <= 1.5
    assert np.abs(opp - np.abs(wat - fat))[both].max() <= 1.5


def test_contrast_is_high_in_water_and_low_in_phase(noiseless: dict[str, np.ndarray]) -> None:
    labels = noiseless["labels"] == 1
    ring = ndimage.binary_dilation(labels, iterations=5) & ~ndimage.binary_dilation(labels, iterations=2)

    def contrast(name: str) -> float:
        disc, beside = (float(np.median(noiseless[name][where])) for where in (labels, ring))
        return (disc - beside) / (disc + beside)

    assert contrast("wat") > 0.15
    assert abs(contrast("inn")) < contrast("wat")
    assert contrast("fat") < -0.4


def test_noise_of_water_is_that_of_half_the_sum_of_two_echoes(grid: Grid) -> None:
    """In air every image is Rayleigh distributed; water and fat average two echoes: 1 / sqrt(2)
    of the noise."""
    images = image_spine(make_spine(2), grid, replace(draw_spine_scanner(1), noise=0.1, gain=50000.0), 7)
    air = (slice(-6, None), slice(None), slice(None))
    mean = {name: float(images.arrays[name][air].mean()) for name in DIXON_IMAGES}
    assert mean["wat"] / mean["inn"] == pytest.approx(2**-0.5, rel=0.03)
    assert mean["fat"] / mean["opp"] == pytest.approx(2**-0.5, rel=0.03)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spine") / "data"
    write_phantoms("spine", out, 2, 7, matrix=32, workers=1)
    return out


def test_the_layout_is_that_of_ivdm3seg(written: Path) -> None:
    files = sorted(p.relative_to(written).as_posix() for p in written.rglob("*.nii"))
    sets = ["01", "02", "03", "04"]
    images = [f"{n}/{n}_{name}.nii" for n in sets for name in ("fat", "inn", "opp", "wat")]
    assert files == sorted(images + [f"labels/{n}_Labels.nii" for n in sets])
    subjects = json.loads((written / "subjects.json").read_text(encoding="utf-8"))
    assert subjects == {"01": "S01", "02": "S01", "03": "S02", "04": "S02"}
    image, mask = nibabel.load(written / "01" / "01_wat.nii"), nibabel.load(written / "labels/01_Labels.nii")
    assert image.shape == mask.shape == (36, 32, 32)
    assert image.get_data_dtype() == mask.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(image.header.get_zooms(), (2.0, 10.0, 10.0), rtol=1e-5)
    np.testing.assert_allclose(image.affine, mask.affine)
    assert b"not patient data" in image.header["descrip"].tobytes()


def test_an_interrupted_set_is_written_again_and_others_are_kept(written: Path) -> None:
    before = {p: p.read_bytes() for p in written.rglob("*.nii")}
    lost, kept = written / "labels" / "02_Labels.nii", written / "01" / "01_wat.nii"
    lost.unlink()
    time = kept.stat().st_mtime_ns
    write_phantoms("spine", written, 2, 7, matrix=32, workers=1)
    assert {p: p.read_bytes() for p in written.rglob("*.nii")} == before
    assert kept.stat().st_mtime_ns == time
    assert not list(written.glob(".*"))


def test_more_subjects_than_two_digits_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="give 1 to 49"):
        write_phantoms("spine", tmp_path / "out", 50, 0)

"""Preprocessed scans beyond the memory's share: in files, with the same values, and nothing left behind."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_sfda.data import cache as cache_module
from monai_sfda.data.cache import CachedVolume, free_memory, machine_cache
from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import DataError, OutputError
from monai_sfda.transforms import slice_grid
from tests.builders import toy_abdomen

GRID = slice_grid((8, 9, 3), np.eye(4), slice_axis=2, pixel_size_mm=None)


def volume(seed: int) -> CachedVolume:
    random = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 5, 8, 9, generator=random)
    label = torch.randint(0, 4, (3, 1, 8, 9), generator=random, dtype=torch.uint8)
    return CachedVolume(None, image, label, 3, (8, 9), 0.01, GRID)  # type: ignore[arg-type]


SIZE = 4 * 2 * 5 * 8 * 9 + 3 * 8 * 9


@pytest.mark.parametrize(("budget", "on_disk"), [(3 * SIZE, 0), (2 * SIZE, 1), (0, 3)])
def test_what_exceeds_the_budget_goes_to_files_with_the_same_values(tmp_path, monkeypatch, budget, on_disk):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = [volume(seed) for seed in range(3)]
    broken = DataError("is broken", remedy="mend it")
    with machine_cache(budget) as cache:
        for number, one in enumerate(given):
            cache.put(number, one)
        cache.put(3, broken)
        assert cache.on_disk == on_disk
        found = cache.volumes()
    assert list(tmp_path.iterdir()) == []  # and the values are still there
    assert found[3] is broken
    assert [found[n] is given[n] for n in range(3)].count(False) == on_disk
    for number, one in enumerate(given):
        kept = found[number]
        assert isinstance(kept, CachedVolume)
        assert torch.equal(kept.image, one.image)
        assert torch.equal(kept.label, one.label)
        assert (kept.num_slices, kept.plane_shape, kept.voxel_ml) == (3, (8, 9), 0.01)
        assert kept.grid == GRID


def test_a_full_disk_is_an_error_that_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(volume: CachedVolume, folder: Path, number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_write", full)
    with machine_cache(0) as cache, pytest.raises(OutputError, match=r"No space left on device.*set TMPDIR"):
        cache.put(0, volume(0))
    assert list(tmp_path.iterdir()) == []


def test_a_container_has_no_more_memory_than_its_limit(tmp_path, monkeypatch):
    everything = free_memory()
    monkeypatch.setattr(cache_module, "_CONTAINER", tmp_path)
    (tmp_path / "memory.current").write_text("1000\n", encoding="utf-8")
    (tmp_path / "memory.max").write_text("6000\n", encoding="utf-8")
    assert free_memory() == 5000
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert free_memory() == pytest.approx(everything, rel=0.5)


def test_a_data_set_larger_than_memory_gives_the_same_slices(tmp_path, monkeypatch, caplog):
    datalist = toy_abdomen(tmp_path)

    def slices() -> StackDataset:
        return StackDataset(
            "abdomen", "source", "train", tmp_path, datalist=datalist, image_size=32, pixel_size_mm=4.0
        )

    in_memory = slices().digest()
    monkeypatch.setattr(cache_module, "MEMORY_SHARE", 0.0)
    with caplog.at_level("INFO"):
        assert slices().digest() == in_memory
    assert "3 of 3 preprocessed scans are kept in files" in caplog.text

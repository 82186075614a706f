"""Segmentations as files: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from monai_sfda.data.listing import write_segmentation
from monai_sfda.data.scan import Scan
from monai_sfda.errors import OutputError

from . import build

MATRIX = build.affine((1.0, 1.0, 3.0))
SHAPE = (9, 8, 6)


def scan_of(shape: tuple[int, int, int] = SHAPE) -> Scan:
    return Scan(np.zeros((1, *shape), np.float32), MATRIX)


def test_segmentation_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"9 x 8 x 6 float32 for a scan of 9 x 8 x 6"):
        write_segmentation(tmp_path / "a.nii.gz", build.class_volume(np.float32), scan_of())
    with pytest.raises(OutputError, match=r"9 x 8 x 6 uint8 for a scan of 3 x 3 x 3"):
        write_segmentation(tmp_path / "a.nii.gz", build.class_volume(), scan_of((3, 3, 3)))
    with pytest.raises(OutputError, match=r"name is not that of a NIfTI file in a\.png"):
        write_segmentation(tmp_path / "a.png", build.class_volume(), scan_of())


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a_seg.nii.gz"
    write_segmentation(path, build.class_volume(), scan_of())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_segmentation(path, build.class_volume() // 2, scan_of())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a_seg.nii.gz"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_segmentation(tmp_path / "out" / "a.nii.gz", build.class_volume(), scan_of())


def test_the_same_segmentation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_segmentation(tmp_path / name, build.class_volume(), scan_of())
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[4:8] == bytes(4), "the gzip header holds a time"

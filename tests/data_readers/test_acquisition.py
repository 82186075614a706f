"""When scans were acquired: from DICOM headers, in whatever form and however incomplete."""

from __future__ import annotations

import os
from datetime import datetime

import pytest

from monai_sfda.data.acquisition import acquired, modified, parse_time
from monai_sfda.data.folder import find_scans
from tests.data_readers import build


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20260102", "030405", datetime(2026, 1, 2, 3, 4, 5)),
        ("20260102", "030405.25", datetime(2026, 1, 2, 3, 4, 5, 250000)),
        ("20260102", "", datetime(2026, 1, 2)),
        ("20260102030405.123456+0100", "", datetime(2026, 1, 2, 3, 4, 5, 123456)),
        ("20260102", "235960", datetime(2026, 1, 2, 23, 59, 59)),
        ("", "030405", None),
        ("20261302", "", None),
        ("Anonymous", "", None),
    ],
)
def test_dicom_times(date, time, expected):
    assert parse_time(date, time) == expected


def test_the_most_exact_time_of_a_series_counts_and_files_that_have_none_have_none(tmp_path):
    volume, matrix = build.volume((8, 9, 4)), build.affine()
    build.write_dicom(
        tmp_path / "a",
        volume,
        matrix,
        StudyDate="20250101",
        AcquisitionDate="20250203",
        AcquisitionTime="101112",
    )
    build.write_dicom(tmp_path / "b", volume, matrix, StudyDate="20240101", AcquisitionDate="")
    build.write_nifti(tmp_path / "c.nii.gz", volume, matrix)
    os.utime(tmp_path / "c.nii.gz", (1e9, 1e9))
    cases, _ = find_scans(tmp_path)
    times = [acquired(case) for case in cases]
    assert times == [datetime(2025, 2, 3, 10, 11, 12), datetime(2024, 1, 1), None]
    assert modified(cases[2]) == datetime.fromtimestamp(1e9)

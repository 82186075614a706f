"""What names a file, a folder, an address or a study does not reach a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_sfda.evaluation.privacy import WITHHELD, presentable_settings, withhold_locations


@pytest.mark.parametrize(
    "text",
    [
        "/data/SMITH_JOHN/ct",
        "~/SMITH/scan",
        "../SMITH/scan",
        "./SMITH",
        "C:\\scans\\SMITH\\1.dcm",
        "C:/scans/SMITH",
        "\\\\server\\SMITH",
        "SMITH_JOHN.nii.gz",
        "sub/SMITH.nii",
        "IMG-SMITH-0001.dcm",
        "http://pacs.hospital/SMITH",
        "file:///home/SMITH/x",
        "(/home/SMITH/x)",
        "'/home/SMITH/x'",
        "1.2.840.113619.2.55.3.SMITH".replace("SMITH", "6042"),
    ],
)
def test_locations_are_withheld(text: str) -> None:
    cleaned = withhold_locations(f"read {text} twice")
    assert WITHHELD in cleaned
    assert "SMITH" not in cleaned
    assert "6042" not in cleaned
    assert cleaned.startswith("read ")
    assert cleaned.endswith(" twice")


@pytest.mark.parametrize(
    "text",
    [
        "mean/std over AA/LAC/LVC",
        "torch 2.13.0+cpu, 1e-4, 0.5",
        "Dice 0.41 to 0.81 (n = 6); 24/6 split",
        "MR to CT, 50% of cases. Next sentence.",
        "2 |P and R| / (|P| + |R|)",
        "<b>bold</b>",
        "see cases.csv; stacked with small.json",
        "loss/entropy",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert withhold_locations(text) == text


def test_settings_are_flat_readable_and_without_locations() -> None:
    rows = presentable_settings(
        {
            "method": "sfs",
            "learning_rate": 5e-5,
            "largest_component": False,
            "checkpoint": None,
            "release": "SMITH_release",
            "dataset_dir": "SMITH",
            "target_images": ["SMITH_1", "SMITH_2"],
            "other": Path("SMITH"),
            "several": [Path("SMITH"), 3],
            "method_settings": {"projections": 100, "inner": {"atlas_file": "SMITH"}, "empty": {}},
        }
    )
    assert dict(rows) == {
        "method": "sfs",
        "learning_rate": "5e-05",
        "largest_component": "no",
        "checkpoint": "not set",
        "release": WITHHELD,
        "dataset_dir": WITHHELD,
        "target_images": WITHHELD,
        "other": WITHHELD,
        "several": f"{WITHHELD}, 3",
        "method_settings.projections": "100",
        "method_settings.inner.atlas_file": WITHHELD,
        "method_settings.empty": "{}",
    }

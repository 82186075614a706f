"""A plain folder of scans whose channels are files of their own: `<name>_t1.nii.gz` and others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_sfda.data.case import Case, stem, volume_suffix
from monai_sfda.data.checks import check_folder
from monai_sfda.data.dicom_headers import files_below
from monai_sfda.errors import DataError


def find_channel_scans(folder: Path, channels: Sequence[str]) -> tuple[list[Case], list[str]]:
    """All scans of a folder, in the order of their paths and without labels, and warnings (counts alone).

    The files of a scan lie in one folder and have one name but for the channel at its end; other files, such
    as labels, are left out.

    Args:
        folder: searched in any depth.
        channels: ends of the names, in the order of the channels.

    Raises:
        DataError: when the folder is missing or holds no scan, or a scan lacks a channel.
    """
    check_folder(folder)
    scans: dict[Path, dict[str, Path]] = {}
    others = 0
    for file in files_below(folder):
        name, _, channel = stem(file).rpartition("_")
        if volume_suffix(file) is None or not name or channel not in channels:
            others += 1
            continue
        scans.setdefault(file.parent / name, {})[channel] = file
    if not scans:
        raise DataError(
            "no scans" if others else "an empty folder",
            remedy=f"give the folder that holds <name>_{{{','.join(channels)}}}.nii.gz",
            path=folder,
        )
    for place, files in scans.items():
        missing = [channel for channel in channels if channel not in files]
        if missing:
            raise DataError(
                f"the scan has no {missing[0]} image",
                remedy=f"put <name>_{missing[0]}.nii.gz beside the others",
                path=place.parent / next(iter(files.values())).name,
            )
    cases = [
        Case(
            number=number,
            subject=str(place.relative_to(folder)),
            image=tuple(scans[place][channel] for channel in channels),
            label=None,
            reader="folder",
            root=folder,
        )
        for number, place in enumerate(sorted(scans), start=1)
    ]
    return cases, [f"{others} other files are left out"] if others else []

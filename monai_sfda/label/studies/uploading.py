"""Images that clients upload: whole, under names of our own, and never over another."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import NoReturn

from monai_sfda.data.case import volume_suffix
from monai_sfda.errors import DataError
from monai_sfda.files import cannot_write
from monai_sfda.label.studies.errors import TakenError
from monai_sfda.label.studies.grids import grid_of
from monai_sfda.label.studies.uploads import MOST_BYTES, check_upload, unpack_dicom

_LONGEST_NAME = 128


class Uploads:
    """The uploads of a datastore, each in a folder of its own.

    Args:
        folder: of the uploads; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, file: Path) -> Path:
        """Takes a file over; returns the folder that now holds it.

        Args:
            name: that the client gave, checked alone; nothing on disk is called by it.
            file: a volume, or a ZIP file of a DICOM series.

        Raises:
            DataError: when it is neither, names another file, or cannot be read.
        """
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable() or "/" in name:
            raise DataError(
                "an image's name that is empty, too long or holds odd characters",
                remedy=f"use at most {_LONGEST_NAME} plain characters",
            )
        folder = self.folder / secrets.token_hex(8)
        beside = self.folder / f".{folder.name}"
        try:
            beside.mkdir(parents=True)
            if file.name.lower().endswith(".zip"):
                unpack_dicom(file, beside / "series", most_bytes=MOST_BYTES)
            else:
                suffix = volume_suffix(Path("x" + file.name.lower()))
                if suffix is None:
                    raise DataError(
                        "a file of no known format",
                        remedy="send .nii.gz, .nii, .nrrd, .mha, or a .zip of a DICOM series",
                    )
                check_upload(file)
                target = beside / f"volume{suffix}"
                shutil.copyfile(file, target)
                grid_of(target)
            beside.rename(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return folder

    def remove(self, folder: Path) -> None:
        """Removes an upload."""
        if folder.is_relative_to(self.folder) and folder != self.folder:
            shutil.rmtree(folder, ignore_errors=True)

    def tidy(self, file: Path) -> None:
        """Removes the folder of an upload whose files are gone."""
        if file.is_relative_to(self.folder):
            folder = self.folder / file.relative_to(self.folder).parts[0]
            if not any(path.is_file() for path in folder.rglob("*")):
                self.remove(folder)

    def refuse(self) -> NoReturn:
        """Raises the error for a name that is taken."""
        raise TakenError("there is an image of that name already", remedy="choose another name")

    def refuse_unreadable(self) -> NoReturn:
        """Raises the error for an upload that holds no scan."""
        raise DataError(
            "no scan in the upload (localizers, screenshots and colour images are none)",
            remedy="send a volume, or the DICOM files of one series",
        )

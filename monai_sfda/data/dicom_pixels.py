"""Stored DICOM pixel values: plain ones through pydicom, compressed ones through SimpleITK's GDCM."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid

from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

_SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
_MULTI_FRAME_BYTE = UID("1.2.840.10008.5.1.4.1.1.7.2")
_MULTI_FRAME_WORD = UID("1.2.840.10008.5.1.4.1.1.7.3")
_PIXEL_TAGS = (
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "PixelData",
)


def stored_frames(path: Path) -> NDArray[Any]:
    """The frames of a DICOM image as stored, before rescaling.

    Args:
        path: a single- or multi-frame grey image of any transfer syntax that pydicom or GDCM reads.

    Returns:
        (frames, rows, columns), integers (or floats for float pixel data). Bits outside BitsStored are cut
        away.

    Raises:
        DataError: when pixels are missing, cut short, of an unknown compression, or need a lookup table.
    """
    try:
        with quiet():
            dataset = pydicom.dcmread(path, force=True)
            if "ModalityLUTSequence" in dataset:
                raise DataError(
                    "values that need a Modality LUT",
                    remedy="export the series with rescaled values",
                    path=path,
                )
            if not any(k in dataset for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                raise DataError(
                    "the file holds no pixels", remedy="export or transfer the series again", path=path
                )
            shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
            syntax = _transfer_syntax(dataset)
            if syntax.is_encapsulated:
                return _decompress(dataset, syntax, path).reshape(shape)
            dataset.file_meta.TransferSyntaxUID = syntax
            return _stored_bits(dataset.pixel_array.reshape(shape), dataset)
    except UNREADABLE as error:
        raise DataError(
            "the pixel data are cut short or damaged",
            remedy="transfer the series again",
            path=path,
        ) from error


def _transfer_syntax(dataset: Dataset) -> UID:
    """What the file says; without a statement, the DICOM default."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    return UID(str(dataset.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian))


def _stored_bits(frames: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Cuts away overlay bits above HighBit and extends the sign of fewer bits than allocated."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high = int(dataset.get("HighBit", stored - 1))
    if (
        frames.dtype.kind == "f"
        or stored >= allocated
        or high >= allocated
        or allocated != frames.dtype.itemsize * 8
    ):
        return frames
    bits = frames.astype(frames.dtype.newbyteorder("="))
    return np.right_shift(np.left_shift(bits, allocated - 1 - high), allocated - stored)


def _decompress(dataset: Dataset, syntax: UID, source: Path) -> NDArray[Any]:
    """Decodes through GDCM; the temporary file holds pixels alone, no rescaling, geometry or patient data.

    Raises:
        DataError: when GDCM cannot, which names the transfer syntax.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    byte = int(dataset.BitsAllocated) <= 8
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = (
        _SECONDARY_CAPTURE if frames == 1 else _MULTI_FRAME_BYTE if byte else _MULTI_FRAME_WORD
    )
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixels.dcm")
        bare = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        bare.is_little_endian, bare.is_implicit_VR = True, False
        bare.SOPClassUID, bare.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        bare.PhotometricInterpretation = "MONOCHROME2"
        for keyword in _PIXEL_TAGS:
            if keyword in dataset:
                bare[keyword] = dataset[keyword]
        try:
            bare.save_as(path)
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO")))
        except UNREADABLE as error:
            raise DataError(
                f"compressed pixels ({syntax.name}) that are damaged or of a kind that is not supported",
                remedy="transfer the series again, uncompressed (Explicit VR Little Endian)",
                path=source,
            ) from error

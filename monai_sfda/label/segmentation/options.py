"""What a client may ask of a segmentation: listed, typed, bounded; everything else is not looked at."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from monai_sfda.label.values import Flag, Options

ACTIVE = "active"


def _version(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in (ACTIVE, "latest") else value


def _extension(value: Any) -> Any:
    text = str(value).strip().lower()
    return text if text.startswith(".") else f".{text}"


class ResultOptions(Options):
    """How the result's file is written.

    Attributes:
        result_extension: of the file.
        result_dtype: of its voxels; all hold every label there is.
        result_compress: whether a NRRD file is compressed; what NIfTI does its name says.
    """

    result_extension: Annotated[Literal[".nii.gz", ".nii", ".nrrd"], BeforeValidator(_extension)] = ".nii.gz"
    result_dtype: Literal["uint8", "uint16", "int16", "int32", "uint32", "float32"] = "uint8"
    result_compress: Flag = True


class SegmentationOptions(ResultOptions):
    """Of a segmentation.

    Attributes:
        version: of the model; None: the active one.
        largest_component: keep the largest connected component of each structure alone.
        uncertainty: also make the map of the entropy, and say where it can be fetched.
        device: where to compute, of those that `/info` lists; None: the app's own.
    """

    version: Annotated[Annotated[int, Field(ge=1, le=10**6)] | None, BeforeValidator(_version)] = None
    largest_component: Flag = False
    uncertainty: Flag = False
    device: str | None = Field(default=None, max_length=100)

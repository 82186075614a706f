"""`/sfda/uncertainty/{key}`: the map that a segmentation was asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from monai_sfda.label.segmentation.maps import ADDRESS
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.stock import prepare

router = APIRouter(tags=["Infer"])


@router.get(ADDRESS + "{key}", summary="The entropy of every voxel of a segmentation, in nats, as NIfTI")
def uncertainty_map(key: str, user: Annotated[User, Depends(current_user)]) -> FileResponse:
    """The map of that key.

    Raises:
        DataError: when it is not there (any more).
    """
    prepare()
    from monailabel.interfaces.utils.app import app_instance

    path = app_instance().maps.find(key)
    return FileResponse(path, media_type="application/gzip", filename="uncertainty.nii.gz")

"""HTTP: `/train/...` as MONAI Label answers it, `/sfda/jobs`, `/sfda/models`, and the sign-off page `/sfda/`."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["Adaptation"])

"""HTTP: `/train/...` as MONAI Label answers it, `/sfda/jobs`, `/sfda/models`, and the sign-off page."""

from __future__ import annotations

from fastapi import APIRouter

from monai_sfda.label.adaptation import routes_jobs, routes_models, routes_train

router = APIRouter()
for _part in (routes_train, routes_jobs, routes_models):
    router.include_router(_part.router)

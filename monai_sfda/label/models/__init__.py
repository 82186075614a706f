"""The models that the app serves: those installed in the store, their versions, the loaded ones."""

from __future__ import annotations

from monai_sfda.label.models.installed import InstalledModel
from monai_sfda.label.models.loaded import LoadedModel, Segmentation
from monai_sfda.label.models.models import Models
from monai_sfda.label.models.publishing import publish_bundles

__all__ = ["InstalledModel", "LoadedModel", "Models", "Segmentation", "publish_bundles"]

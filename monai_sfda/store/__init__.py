"""The model store: versions of models, which one is active, and who changed what when. Needs no torch.

One folder, readable by hand; docs/how_to_model_store.md describes it.
"""

from __future__ import annotations

from monai_sfda.store.change_log import ChangeLog, read_log
from monai_sfda.store.model_store import ModelStore
from monai_sfda.store.reader import StoreReader
from monai_sfda.store.run import SOURCE, ModelRun, read_run
from monai_sfda.store.version import Version

__all__ = ["SOURCE", "ChangeLog", "ModelRun", "ModelStore", "StoreReader", "Version", "read_log", "read_run"]

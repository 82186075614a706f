"""The app's settings: what `--conf` gives, typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monai_sfda.errors import SettingError, nearest
from monai_sfda.label.values import TextList, setting_error

STOCK_KEYS = frozenset(
    {
        *("server_mode", "zoo_source", "zoo_repo", "auth_token", "sam2", "preload", "scribbles"),
        *("skip_scoring", "skip_strategies", "use_pretrained_model", "use_pretrained", "epistemic_enabled"),
        *("epistemic_samples", "heuristic_planner", "tracking", "tracking_uri", "skip_trainers"),
    }
)
"""Keys that MONAI Label's own server and sample apps pass; they mean nothing here."""


class AppSettings(BaseModel):
    """What the administrator chose when the app was started.

    Attributes:
        models: names of the store's models to serve, or `["all"]`.
        bundles: folder of MONAI bundles whose `models/` hold a release, or of run folders; those whose model
            is not in the store yet are published into it when the app starts.
        store: the model store.
        jobs: folder of the adaptations: records, run folders, logs.
        cache: folder of downloads, saved labels and what is known of the studies.
        cache_gb: how large downloads may grow together; the least recently used go first.
        activation: whether an accepted version becomes active by itself.
        device: where to compute; None: a GPU where there is one.
        cached_models: so many versions stay loaded.
        most_voxels: a scan with more is refused, since it would not fit in memory.
        score_every: minutes between two looks for studies without a score; 0: only when asked to.
        threads: of a computation on the CPU; None: PyTorch's own choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    models: TextList = Field(default_factory=lambda: ["all"])
    bundles: Path | None = None
    store: Path
    jobs: Path
    cache: Path
    cache_gb: float = Field(default=50.0, gt=0, le=1e6)
    activation: Literal["manual", "automatic"] = "manual"
    device: str | None = Field(default=None, pattern=r"^(cpu|cuda(:\d{1,2})?|mps)$")
    cached_models: int = Field(default=4, ge=1, le=64)
    most_voxels: int = Field(default=400_000_000, ge=1000)
    score_every: float = Field(default=0.0, ge=0, le=525_600, allow_inf_nan=False)
    threads: int | None = Field(default=None, ge=1, le=1024)

    @staticmethod
    def read(conf: Mapping[str, Any], app_dir: Path | str) -> AppSettings:
        """The settings of an app.

        Args:
            conf: as `--conf key value` gives them, all texts.
            app_dir: the app's folder, below which store and jobs lie unless they are set.

        Raises:
            SettingError: when a key is unknown (the message names the nearest) or a value is wrong.
        """
        given = {key: value for key, value in conf.items() if key not in STOCK_KEYS}
        unknown = [key for key in given if key not in AppSettings.model_fields]
        if unknown:
            close = nearest(unknown[0], AppSettings.model_fields)
            raise SettingError(f"--conf {unknown[0]} is unknown", remedy=f"use one of {', '.join(close)}")
        place = Path(app_dir)
        values = {"store": place / "store", "jobs": place / "jobs", "cache": place / "cache"} | {
            key: value for key, value in given.items() if not (isinstance(value, str) and not value.strip())
        }
        try:
            return AppSettings.model_validate(values)
        except ValidationError as error:
            raise setting_error(error) from error

    def serves(self, model: str) -> bool:
        """Whether a model of the store is to be served."""
        return "all" in self.models or model in self.models

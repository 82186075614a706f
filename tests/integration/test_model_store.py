"""The model store takes what a real training leaves, and its active version can be adapted from."""

from __future__ import annotations

from monai_sfda.release import Release
from monai_sfda.store import ModelStore


def test_a_trained_source_is_published_and_read_as_a_release(source_run, tmp_path):
    store = ModelStore(tmp_path / "store")
    version = store.publish(source_run)
    assert (version.number, version.kind, version.model) == (1, "source", "abdomen")
    active = store.active("abdomen")
    release = Release.read(active.bundle / "models")
    assert release.task == "abdomen"
    assert release.model_sha256 == active.manifest["model_sha256"]
    assert str(source_run.parent) not in (active.folder / "manifest.json").read_text(encoding="utf-8")
    assert store.verify("abdomen") == {}

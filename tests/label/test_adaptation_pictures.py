"""Pictures before and after: computed once and in turn, kept for a while, gone with their studies."""

import os
import threading
import time

import pytest

from monai_sfda.label.adaptation import before_after
from monai_sfda.label.adaptation.before_after import BusyDrawingError, forget_pictures


@pytest.fixture
def drawn(monkeypatch):
    """How often a picture was computed, and how many at once."""
    counts = {"drawn": 0, "now": 0, "most": 0}

    def draw(app, found, name, study, png, numbers):
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        time.sleep(0.2)
        png.parent.mkdir(exist_ok=True)
        png.write_bytes(b"png")
        numbers.write_text("{}")
        counts["now"] -= 1
        counts["drawn"] += 1

    monkeypatch.setattr(before_after, "_draw", draw)
    return counts


def test_many_requests_compute_a_picture_once_and_only_a_few_wait(drawn, tmp_path):
    refused = []

    def look(place):
        png = tmp_path / "before_after" / f"v-{place}.png"
        try:
            before_after._draw_in_turn(None, None, "abdomen", "x", png, png.with_suffix(".json"))
        except BusyDrawingError as error:
            refused.append(error)

    threads = [threading.Thread(target=look, args=(n % 2,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == {"drawn": 2, "now": 0, "most": 1}
    assert len(refused) == 10 - before_after.MOST_WAITING
    assert refused[0].http_status == 503


def test_pictures_of_studies_that_are_gone_and_old_ones_are_removed(tmp_path):
    folder = tmp_path / "before_after"
    folder.mkdir()

    def write(study, version, days=0.0):
        path = folder / f"{version}-{before_after._digest(study)}.png"
        for file in (path, path.with_suffix(".json")):
            file.touch()
            os.utime(file, (time.time() - 86400 * days,) * 2)
        return path

    here, gone, old = write("a", "v1"), write("b", "v1"), write("a", "v2", days=31)
    many = [write("a", f"w{n}", days=1 + n / 1000) for n in range(before_after.MOST_PICTURES)]
    forget_pictures(tmp_path, ["a"])
    assert here.is_file()
    assert not gone.exists()
    assert not old.exists()
    assert sum(path.exists() for path in many) == before_after.MOST_PICTURES - 1
    assert len(list(folder.iterdir())) == 2 * before_after.MOST_PICTURES
    forget_pictures(tmp_path)
    assert not list(folder.iterdir())

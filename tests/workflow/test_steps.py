"""Steps of an experiment: run once, recorded, never taken for another, never twice at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monai_sfda.errors import SettingError, SfdaError
from monai_sfda.workflow.steps import exclusive, read_step, run_process, run_step


def step(out, settings, work, said):
    product = out / "product"
    run_step(out, "one", "step one", product, settings, work, lambda *a: said.append(a))


def test_a_step_is_run_once_and_recorded(tmp_path):
    said, runs = [], []

    def work():
        runs.append(1)
        (tmp_path / "product").write_text("x", encoding="utf-8")
        return 123

    step(tmp_path, {"rho": "0.8"}, work, said)
    step(tmp_path, {"rho": "0.8"}, work, said)
    assert len(runs) == 1
    record = read_step(tmp_path, "one")
    assert (record.attempts, record.peak_memory_bytes, record.settings) == (1, 123, {"rho": "0.8"})
    assert record.whole_seconds is not None
    assert [title for title, _ in said] == ["step one", "step one"]
    with pytest.raises(SettingError, match=r"another rho in one: use another --out"):
        step(tmp_path, {"rho": "0"}, work, said)


def test_an_interrupted_step_has_no_time(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(tmp_path, {}, interrupted, [])
    assert read_step(tmp_path, "one").seconds is None
    step(tmp_path, {}, lambda: (tmp_path / "product").touch(), [])
    record = read_step(tmp_path, "one")
    assert record.attempts == 2
    assert record.seconds is not None
    assert record.whole_seconds is None


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system does not tell")
def test_the_peak_memory_is_that_of_the_process(tmp_path):
    """Its own, however large the process that started it is."""
    mine = bytearray(400 * 2**20)
    for size in (0, 200):
        code = f"import time; x = bytearray({size} * 2**20); time.sleep(1.5)"
        used = run_process([sys.executable, "-c", code], tmp_path / "logs" / "x.log", "x", None)
        assert size * 2**20 < used < (size + 60) * 2**20
    assert len(mine) > used


def test_a_failing_process_gives_its_last_line(tmp_path):
    code = "import sys; print('monai_sfda: error: it is bad: mend it'); sys.exit(1)"
    with pytest.raises(SfdaError, match=r"step 'the step' failed: it is bad: mend it: read logs/x\.log"):
        run_process([sys.executable, "-c", code], tmp_path / "logs" / "x.log", "the step", None)


def test_a_killed_holders_step_keeps_the_folder_until_it_ends(tmp_path):
    """The holder starts a step of its own and is killed; who comes next waits for that step."""
    code = """
import sys
from pathlib import Path
from monai_sfda.workflow.steps import exclusive, run_process
out = Path(sys.argv[1])
slow = "import time; from pathlib import Path; time.sleep(3); Path(r'%s').touch()" % (out / "product")
with exclusive(out, lambda: None) as lock:
    (out / "begun").touch()
    run_process([sys.executable, "-c", slow], out / "log", "slow", lock)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    waited = []
    with exclusive(tmp_path, lambda: waited.append(True)):
        assert waited == [True]
        assert (tmp_path / "product").exists()

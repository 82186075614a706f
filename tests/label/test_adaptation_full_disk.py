"""A real file system that becomes full during a job: a reason, a readable record, and the job goes on."""

import shutil
import subprocess
import sys

import pytest

from tests.builders import REPOSITORY

pytestmark = pytest.mark.long

STORY = """
import sys
from pathlib import Path
import pytest
from tests.label.adaptation_site import Site, until
from monai_sfda.label.adaptation import jobs as module
from monai_sfda.label.adaptation.record import Status, read_job
from monai_sfda.errors import OutputError
root = Path(sys.argv[1])
with pytest.MonkeyPatch.context() as patch:
    site = Site(root / "room", patch)
    site.root = root
    (root / "finished").symlink_to(root / "room" / "finished")
    jobs = site.jobs()
    with pytest.raises(OutputError, match="nearly full"):
        jobs.submit("adapt", "abdomen", {}, "erwin")
    patch.setattr(module, "LEAST_FREE_BYTES", 0)
    site.script = '''
with open(run.parent / "filler", "wb") as filler:
    while True:
        filler.write(b"x" * 4096)
        filler.flush()
'''
    job = jobs.submit("adapt", "abdomen", {}, "erwin")
    found = until(lambda: jobs.job(job.id).status.is_over and jobs.job(job.id))
    assert found.status is Status.ERROR, found
    print("REASON", found.reason)
    kept = read_job(jobs.folder / job.id)
    print("RECORD", kept.status.value)
    (jobs.folder / job.id / "private" / "filler").unlink()
    site.script = "finish()"
    jobs.resume(job.id, "erwin")
    found = until(lambda: jobs.job(job.id).status.is_over and jobs.job(job.id))
    print("END", found.status.value, read_job(jobs.folder / job.id).status.value)
    jobs.close()
"""


def test_a_job_on_a_disk_that_becomes_full(tmp_path):
    """Only `jobs/` lies on the small disk."""
    tool = shutil.which("unshare")
    small = tmp_path / "jobs"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=1m tmpfs {small}"
    if tool is None or subprocess.run([tool, "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("this user may not mount a small file system (unshare -rm)")
    words = [tool, "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", STORY]
    done = subprocess.run(
        [*words, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "REASON the disk is full: make room on the server and resume the job" in done.stdout
    assert "END DONE DONE" in done.stdout
    assert "RECORD ERROR" in done.stdout

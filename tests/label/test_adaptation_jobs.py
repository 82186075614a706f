"""The queue of jobs with real processes: order, stop, restart, orphans, reasons."""

import json
import os
import signal
import subprocess
import sys

import pytest

from monai_sfda.errors import SettingError
from monai_sfda.label.adaptation.job_process import identity_of, marked, start_process
from monai_sfda.label.adaptation.record import Status, read_job
from tests.label.adaptation_site import Site, site, until
from tests.store_runs import write_adapted_run

__all__ = ["site"]
SLOW = "say(1); time.sleep(300)"


def ended(jobs, identifier):
    return until(lambda: jobs.job(identifier).status.is_over and jobs.job(identifier))


def nothing_left(identifier):
    until(lambda: not marked(identifier))


def test_a_job_goes_from_its_request_to_a_version(site):
    jobs = site.jobs()
    job = jobs.submit("adapt", "abdomen", {"budget": "quick"}, "erwin")
    assert (job.studies, job.subjects, job.total_epochs, job.parent) == (6, 6, 2, 1)
    done = ended(jobs, job.id)
    assert done.status is Status.DONE, done.reason
    assert (done.version, done.verdict, done.gain, done.activated) == (2, "accept", 0.062, False)
    version = site.store.version("abdomen", 2)
    assert (version.published["by"], version.parent) == ("erwin", 1)
    assert site.store.active("abdomen").number == 1
    task = jobs.status()
    assert task["status"] == "DONE"
    assert task["request"]["model"] == "adapt_abdomen"
    assert task["report"] == f"/sfda/jobs/{job.id}/report"
    assert {"id", "start_ts", "end_ts", "details"} <= task.keys()
    stats = jobs.progress("abdomen", "adapt")
    assert (stats["epoch"], stats["best_metric"]) == (stats["total_epochs"], 0.062)
    assert "estimate" in stats["best_metric_name"]
    assert "total_time" in stats
    assert not (jobs.folder / job.id / "private" / "scans").exists()
    served = json.dumps([task, stats]) + (jobs.folder / job.id / "job.json").read_text()
    for private in ("MUSTER", "scan-", str(site.root)):
        assert private not in served, private
    jobs.close()


def test_the_run_sees_numbers_instead_of_names(site):
    site.script = "print(sorted(p.name for p in (run.parent / 'scans').iterdir())); finish()"
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    private = jobs.folder / job.id / "private"
    listed = json.loads((private / "datalist.json").read_text())
    assert list(listed) == ["target_train"]
    assert [item["image"] for item in listed["target_train"]] == [f"{n:04d}.nii.gz" for n in range(1, 7)]
    assert len({item["subject"] for item in listed["target_train"]}) == 6
    assert "MUSTER" not in (private / "log.txt").read_text() + (private / "datalist.json").read_text()
    assert (jobs.folder.stat().st_mode & 0o077, private.stat().st_mode & 0o077) == (0, 0)
    jobs.close()


def test_automatic_activation_is_for_accepted_versions_alone(site):
    jobs = site.jobs(activation="automatic")
    assert ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id).activated
    assert site.store.active("abdomen").number == 2
    site.script = "finish('unsure')"
    assert not ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id).activated
    assert site.store.active("abdomen").number == 2
    jobs.close()


def test_an_adaptation_does_not_take_the_place_of_a_fine_tuned_version_by_itself(site):
    write_adapted_run(site.root / "tuned", weights=b"tuned", verdict="unsure", target_labels_read=True)
    site.store.publish(site.root / "tuned", activate=True)
    jobs = site.jobs(activation="automatic")
    job = jobs.submit("adapt", "abdomen", {}, "erwin")
    assert "starts from version 1, the source model" in job.notes[-1]
    done = ended(jobs, job.id)
    assert (done.verdict, done.activated, done.notes[-1]) == ("accept", False, job.notes[-1])
    assert site.store.active("abdomen").number == 2
    jobs.close()


def test_one_at_once_in_the_order_of_their_submission_and_one_that_waits_can_be_taken_out(site):
    site.script = (
        "say(1); time.sleep(0.5); "
        "(run.parents[2] / (run.parents[1].name + '.t')).write_text(str(time.time())); finish()"
    )
    jobs = site.jobs()
    submitted = [jobs.submit("adapt", "abdomen", {}, "erwin").id for _ in range(3)]
    assert [job.id for job in jobs.running()][-1] == submitted[2]
    assert sum(job.status is Status.RUNNING for job in jobs.jobs()) <= 1
    out = jobs.stop(submitted[1], by="anna")
    assert (out.status, out.reason) == (Status.STOPPED, "stopped by anna")
    assert [ended(jobs, i).status for i in submitted] == [Status.DONE, Status.STOPPED, Status.DONE]
    times = [float((jobs.folder / f"{i}.t").read_text()) for i in (submitted[0], submitted[2])]
    assert times == sorted(times)
    assert not (jobs.folder / f"{submitted[1]}.t").exists()
    jobs.close()


def test_stopping_leaves_nothing_behind_and_resuming_goes_on(site):
    site.script = f"subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(300)']); {SLOW}"
    jobs = site.jobs()
    job = jobs.submit("adapt", "abdomen", {}, "erwin")
    until(lambda: jobs.progress("abdomen", "adapt").get("epoch") == 1 and len(marked(job.id)) == 2)
    stats = jobs.progress("abdomen", "adapt")
    assert (stats["total_epochs"], stats["losses"], stats["best_metric"]) == (4, {"entropy": 0.25}, 0)
    assert "total_time" not in stats
    assert jobs.stop(by="anna").status is Status.STOPPED
    nothing_left(job.id)
    site.script = "finish()"
    assert jobs.resume(job.id, "anna").status is Status.SUBMITTED
    done = ended(jobs, job.id)
    assert (done.status, done.attempts, done.by) == (Status.DONE, 2, "anna")
    with pytest.raises(SettingError, match="DONE"):
        jobs.resume(job.id, "anna")
    jobs.close()


def test_a_process_that_ignores_every_plea_is_killed(site, monkeypatch):
    monkeypatch.setattr("monai_sfda.label.adaptation.work.GRACE_SECONDS", 0.4)
    site.script = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLOW
    )
    jobs = site.jobs()
    job = jobs.submit("adapt", "abdomen", {}, "erwin")
    until(lambda: jobs.progress("abdomen", "adapt").get("epoch") == 1)
    assert jobs.stop(job.id, by="anna").status is Status.STOPPED
    nothing_left(job.id)
    jobs.close()


def test_a_clean_shutdown_ends_the_jobs_and_says_so(site):
    site.script = SLOW
    jobs = site.jobs()
    first, second = (jobs.submit("adapt", "abdomen", {}, "erwin").id for _ in range(2))
    until(lambda: marked(first))
    jobs.close()
    nothing_left(first)
    for identifier in (first, second):
        record = read_job(jobs.folder / identifier)
        assert (record.status, record.interrupted) == (Status.STOPPED, True)
        assert "shut down" in record.reason
    with pytest.raises(SettingError):
        jobs.submit("adapt", "abdomen", {}, "erwin")
    site.script = "finish()"
    again = site.jobs()
    assert again.jobs()[0].interrupted
    again.resume(first, "erwin")
    assert ended(again, first).status is Status.DONE
    again.close()


KILLED = """
import sys
from pathlib import Path
import pytest
from tests.label.adaptation_site import Site, until
from monai_sfda.label.adaptation.job_process import marked
with pytest.MonkeyPatch.context() as patch:
    site = Site(Path(sys.argv[1]), patch)
    site.script = sys.argv[2]
    jobs = site.jobs()
    job = jobs.submit("adapt", "abdomen", {}, "erwin")
    until(lambda: marked(job.id) and jobs.progress("abdomen", "adapt").get("epoch") == 1)
    print(job.id, flush=True)
    input()
"""


@pytest.mark.long
def test_a_killed_servers_orphan_is_ended_by_the_next_and_its_job_is_interrupted(tmp_path, monkeypatch):
    words = [sys.executable, "-c", KILLED, str(tmp_path / "a"), SLOW]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        identifier = server.stdout.readline().strip()
        other = Site(tmp_path / "b", monkeypatch)
        other.root = tmp_path / "a"
        passive = other.jobs()
        assert not passive.owns_folder
        assert marked(identifier), "a second server must leave the first one's job alone"
        server.send_signal(signal.SIGKILL)
        server.wait()
    assert marked(identifier)
    jobs = other.jobs()
    assert jobs.owns_folder
    nothing_left(identifier)
    record = read_job(jobs.folder / identifier)
    assert (record.status, record.interrupted) == (Status.STOPPED, True)
    assert "without shutting down" in record.reason
    jobs.close()


def test_a_number_that_was_given_again_is_not_killed(site):
    """An old record names a living process of somebody else by its number alone."""
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    jobs.close()
    folder = jobs.folder / job.id
    bystander = start_process(
        [sys.executable, "-S", "-c", "import time; time.sleep(300)"], "other", folder / "x", folder
    )
    try:
        identity = identity_of(bystander.pid)
        (folder / "private" / "process.json").write_text(
            json.dumps({**identity.to_json(), "started": identity.started - 1})
        )
        content = json.loads((folder / "job.json").read_text()) | {"status": "RUNNING"}
        (folder / "job.json").write_text(json.dumps(content))
        again = site.jobs()
        assert again.job(job.id).interrupted
        assert bystander.poll() is None
        again.close()
    finally:
        os.killpg(bystander.pid, signal.SIGKILL)
        bystander.wait()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("os.kill(os.getpid(), 9)", "signal 9: probably the machine was out of memory"),
        ("print('OSError: [Errno 28] No space left on device'); sys.exit(1)", "the disk is full"),
        ("print('torch.OutOfMemoryError: CUDA out of memory'); sys.exit(1)", "memory was too small"),
        (
            "print('monai_sfda: error: constant image in /srv/MUSTER_ERIKA/scan.nii.gz: leave it out')\n"
            "sys.exit(1)",
            "constant image in [withheld]: leave it out",
        ),
        (
            "print('monai_sfda: error: unexpected KeyError: /home/x/MUSTER: report it'); sys.exit(1)",
            "a fault of the software (KeyError)",
        ),
        ("sys.exit(3)", "ended with status 3"),
        ("pass", "ended with status 0"),
    ],
    ids=range(7),
)
def test_reasons_are_for_everybody(site, script, words):
    site.script = script
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    assert job.status is Status.ERROR
    assert words in job.reason
    assert "MUSTER" not in json.dumps(jobs.status(job.id))
    assert site.store.versions("abdomen")[-1].number == 1
    jobs.close()


def test_a_version_is_published_once_though_the_server_was_killed_before_the_record_was_written(site):
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    jobs.close()
    path = jobs.folder / job.id / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "RUNNING", "version": None}))
    (jobs.folder / job.id / "private" / "scans").mkdir()
    site.script = "sys.exit('it must not run again')"
    again = site.jobs()
    again.resume(job.id, "erwin")
    done = ended(again, job.id)
    assert (done.status, done.version) == (Status.DONE, 2)
    assert len(site.store.versions("abdomen")) == 2
    again.close()


def test_damaged_records_do_not_keep_a_server_from_starting(site):
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    jobs.close()
    for name, text in {"a1": "{", "b2": "[]", "c3": '{"schema_version": 9}'}.items():
        (jobs.folder / name).mkdir()
        (jobs.folder / name / "job.json").write_text(text)
    again = site.jobs()
    assert [found.id for found in again.jobs()] == [job.id]
    again.delete(job.id)
    assert not (again.folder / job.id).exists()
    again.close()


def test_a_jobs_process_gets_the_servers_environment_without_its_secrets(site, monkeypatch):
    for name in ("MONAI_LABEL_DICOMWEB_PASSWORD", "PACS_TOKEN", "API_KEY", "MY_SECRET"):
        monkeypatch.setenv(name, "hidden")
    site.script = "print([n for n, v in os.environ.items() if v == 'hidden'], os.environ['PATH']); finish()"
    jobs = site.jobs()
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    assert job.status is Status.DONE
    assert jobs.log(job.id).read_text().startswith("[] /")
    jobs.close()


def test_a_job_is_resumed_once_and_its_deletion_does_not_stop_the_queue(site):
    site.script = SLOW
    jobs = site.jobs()
    first, second = (jobs.submit("adapt", "abdomen", {}, "erwin").id for _ in range(2))
    jobs.stop(second, by="erwin")
    jobs.resume(second, "erwin")
    with pytest.raises(SettingError, match="SUBMITTED"):
        jobs.resume(second, "erwin")
    assert [job.id for job in jobs.running()] == [first, second]
    del jobs._records[second]  # as if it were deleted at this moment
    site.script = "finish()"
    jobs.stop(first, by="erwin")
    third = jobs.submit("adapt", "abdomen", {}, "erwin")
    assert ended(jobs, third.id).status is Status.DONE
    jobs.close()


def test_a_resumed_job_does_not_activate_what_somebody_rolled_back(site):
    jobs = site.jobs(activation="automatic")
    job = ended(jobs, jobs.submit("adapt", "abdomen", {}, "erwin").id)
    assert job.activated
    jobs.close()
    site.store.rollback("abdomen")
    path = jobs.folder / job.id / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "STOPPED", "version": None}))
    again = site.jobs(activation="automatic")
    again.resume(job.id, "erwin")
    assert ended(again, job.id).version == 2
    assert site.store.active("abdomen").number == 1
    again.close()

"""A release is signed at the source, inspected and verified at the target, and adapted from, by the commands
that people type.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from monai_sfda.errors import KeyFileError, SignatureError
from tests.builders import BUNDLES, REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, run_command, run_in_process

SMALL = f"['{ABDOMEN}/configs/adapt.json','{ABDOMEN}/configs/small.json']"


def sfda(*words, **environment) -> subprocess.CompletedProcess[str]:
    """`monai-sfda ...` as a process that has no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "monai_sfda", *map(str, words)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """Checks that a command ended with our error line."""
    assert done.returncode == 1
    lines = (done.stderr or done.stdout).strip().splitlines()
    assert lines[-1].startswith("monai_sfda: error: "), lines[-5:]
    assert message in lines[-1]
    assert "Traceback" not in (done.stderr or done.stdout)


@pytest.fixture(scope="module")
def site(source_run, tmp_path_factory):
    """A source site: its key, locked by a passphrase, another's key, and a release that it has signed."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(source_run / "bundle" / "models", folder / "models")
    made = sfda("release", "keygen", folder / "site.pem", MONAI_SFDA_KEY_PASSPHRASE="correct horse")
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE((folder / "site.pem").stat().st_mode) == 0o600
    assert sfda("release", "keygen", folder / "other.pem").returncode == 0
    return folder


def test_from_the_key_to_the_adapted_model(site, phantoms, tmp_path):
    sign = ("release", "sign", site / "models", "--key", site / "site.pem")
    refused(sfda(*sign), "locked by a passphrase")
    refused(sfda(*sign, MONAI_SFDA_KEY_PASSPHRASE="battery staple"), "passphrase is wrong")
    assert not (site / "models" / "signature.json").exists()
    done = sfda(*sign, MONAI_SFDA_KEY_PASSPHRASE="correct horse")
    assert done.returncode == 0, done.stderr
    fingerprint = done.stdout.split()[-1]

    verify = ("release", "verify", site / "models", "--key")
    assert fingerprint in sfda(*verify, site / "site.pub.pem").stdout
    refused(sfda(*verify, site / "other.pub.pem"), "another key")

    inspected = sfda("release", "inspect", site / "models", "--json")
    assert inspected.returncode == 0, inspected.stderr
    found = json.loads(inspected.stdout)
    assert (found["nothing_else"], found["unknown"], found["few_subjects"]) == (True, [], [])
    assert found["signature"] == {"state": "valid", "key": fingerprint}
    page = sfda("release", "inspect", site / "models").stdout
    assert f"Signed by the key with the fingerprint {fingerprint}" in page
    assert str(site) not in page
    assert "is not as a release of this version writes it" not in page

    options = {"dataset_dir": phantoms, "release": site / "models", "method": "none", **QUICK_ADAPT}
    keys = {"ours": site / "site.pub.pem", "theirs": site / "other.pub.pem"}
    other = run_command(
        ABDOMEN, SMALL, **options, output_dir=tmp_path / "theirs", release_public_key=keys["theirs"]
    )
    refused(other, "another key")
    assert not (tmp_path / "theirs").exists()
    ours = run_command(
        ABDOMEN, SMALL, **options, output_dir=tmp_path / "ours", release_public_key=keys["ours"]
    )
    assert ours.returncode == 0, ours.stdout[-2000:]
    record = json.loads((tmp_path / "ours" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["release_signed_by"] == fingerprint


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [("site.pub.pem", SignatureError, "not signed"), ("nowhere.pem", KeyFileError, "cannot be read")],
)
def test_without_signature_or_key_nothing_is_adapted(
    site, source_run, phantoms, tmp_path, key, error, message
):
    with pytest.raises(RuntimeError) as caught:  # MONAI's, round ours
        run_in_process(
            ABDOMEN,
            ("adapt", "small"),
            dataset_dir=phantoms,
            release=source_run / "release",
            method="none",
            output_dir=tmp_path / "run",
            release_public_key=site / key,
            **QUICK_ADAPT,
        )
    assert isinstance(caught.value.__cause__, error)
    assert message in str(caught.value.__cause__)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bundle", sorted(path.name for path in BUNDLES.iterdir()))
def test_every_bundle_can_ask_for_a_key_and_by_default_does_not(bundle):
    text = (BUNDLES / bundle / "configs" / "adapt.json").read_text(encoding="utf-8")
    assert json.loads(text)["release_public_key"] is None


def test_help_of_the_group():
    text = " ".join(sfda("release", "--help").stdout.split())
    assert all(word in text for word in ("inspect", "keygen", "sign", "verify", "not for diagnosis"))

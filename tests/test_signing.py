"""Signatures of releases: a key says who made it, and nothing can be changed, swapped or added unseen."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from monai_sfda.errors import KeyFileError, OutputError, ReleaseError, SignatureError
from monai_sfda.release import Release
from monai_sfda.signing import (
    fingerprint,
    public_path,
    read_private_key,
    read_public_key,
    sign_release,
    verify_release,
    write_keys,
)
from tests.builders import release, small_network


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two sites' private keys."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        write_keys(folder / f"{name}.pem")
    return folder / "ours.pem", folder / "theirs.pem"


@pytest.fixture
def signed(tmp_path, keys):
    """A release that our site signed."""
    folder = tmp_path / "release"
    release(small_network()).write(folder)
    sign_release(folder, read_private_key(keys[0]))
    return folder


def test_a_signed_release_is_verified_and_read(signed, keys):
    public = read_public_key(public_path(keys[0]))
    assert set(verify_release(signed, public)) == {"model.pt", "prototypes.safetensors"}
    found = Release.read(signed, public_key=public_path(keys[0]))
    assert found.signed_by == fingerprint(public)
    assert Release.read(signed).signed_by is None


def test_the_signature_is_openssls(signed, keys, tmp_path):
    """Another library verifies it: Ed25519 over the manifest's bytes, and the key's fingerprint."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    content = json.loads((signed / "signature.json").read_text(encoding="utf-8"))
    raw = tmp_path / "raw"
    raw.write_bytes(base64.b64decode(content["signature"]))
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public_path(keys[0])), "-rawin"]
    words += ["-in", str(signed / "release.json"), "-sigfile", str(raw)]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=False)
    assert "Verified Successfully" in done.stdout, done.stderr
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(public_path(keys[0])), "-outform", "DER"],
        capture_output=True,
        check=True,
    )
    digest = subprocess.run(["openssl", "sha256"], input=der.stdout, capture_output=True, check=True)
    assert content["public_key_sha256"] in digest.stdout.decode()


def test_an_unsigned_release_is_refused_where_a_key_is_asked_for(tmp_path, keys):
    release(small_network()).write(tmp_path / "release")
    with pytest.raises(SignatureError, match="not signed"):
        Release.read(tmp_path / "release", public_key=public_path(keys[0]))


def test_another_sites_signature_is_refused_by_name(signed, keys):
    theirs = read_public_key(public_path(keys[1]))
    with pytest.raises(SignatureError, match="another key") as caught:
        Release.read(signed, public_key=public_path(keys[1]))
    assert fingerprint(theirs) in str(caught.value)
    assert fingerprint(read_public_key(public_path(keys[0]))) in str(caught.value)


def alter_manifest(folder):
    path = folder / "release.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 1'))


def swap_model(folder):
    other = folder.parent / "other"
    release(small_network(seed=1)).write(other)
    shutil.copy(other / "model.pt", folder / "model.pt")


def swap_model_and_its_hash(folder):
    swap_model(folder)
    hashes = [
        json.loads((f / "release.json").read_text(encoding="utf-8"))["files"]["model.pt"]
        for f in (folder, folder.parent / "other")
    ]
    path = folder / "release.json"
    path.write_text(path.read_text(encoding="utf-8").replace(*hashes), encoding="utf-8")


def add_file(folder):
    (folder / "notes.txt").write_text("look at me", encoding="utf-8")


def add_hidden_folder(folder):
    (folder / ".cache").mkdir()


def add_words_to_the_signature(folder):
    path = folder / "signature.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"note": "unsigned words"}), encoding="utf-8")


def damage_signature(folder):
    path = folder / "signature.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    value = bytearray(base64.b64decode(content["signature"]))
    value[3] ^= 1
    content["signature"] = base64.b64encode(value).decode()
    path.write_text(json.dumps(content), encoding="utf-8")


def remove_file(folder):
    (folder / "prototypes.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alter_manifest, "altered"),
        (swap_model, r"altered.*model\.pt"),
        (swap_model_and_its_hash, "altered"),
        (add_file, r"does not list notes\.txt"),
        (add_hidden_folder, r"does not list \.cache"),
        (add_words_to_the_signature, "cannot be read"),
        (damage_signature, "altered"),
        (remove_file, r"prototypes\.safetensors.*missing"),
    ],
)
def test_nothing_is_changed_swapped_or_added_unseen(signed, keys, change, message):
    change(signed)
    public = public_path(keys[0])
    with pytest.raises(ReleaseError, match=message):
        verify_release(signed, read_public_key(public))
    with pytest.raises(ReleaseError, match=message):
        Release.read(signed, public_key=public)


@pytest.mark.parametrize("change", [swap_model, add_file, remove_file])
def test_a_release_that_is_not_whole_is_not_signed(signed, keys, change):
    (signed / "signature.json").unlink()
    change(signed)
    with pytest.raises(ReleaseError):
        sign_release(signed, read_private_key(keys[0]))
    assert not (signed / "signature.json").exists()


def test_the_private_key_is_its_owners_and_nothing_is_replaced(keys):
    private = keys[0]
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    with pytest.raises(OutputError, match="there already"):
        write_keys(private)
    assert private.read_bytes() == before


def test_a_passphrase_locks_the_key(tmp_path):
    path = tmp_path / "locked.pem"
    made = write_keys(path, b"correct horse")
    assert fingerprint(read_private_key(path, b"correct horse").public_key()) == made
    with pytest.raises(KeyFileError, match="locked by a passphrase"):
        read_private_key(path)
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        read_private_key(path, b"battery staple")


def test_wrong_kinds_of_key_say_what_they_are(tmp_path, keys):
    private, public = keys[0], public_path(keys[0])
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.pem").write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "rsa.pub.pem").write_bytes(
        other.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with pytest.raises(KeyFileError, match="kind RSA"):
        read_private_key(tmp_path / "rsa.pem")
    with pytest.raises(KeyFileError, match="kind RSA"):
        read_public_key(tmp_path / "rsa.pub.pem")
    with pytest.raises(KeyFileError, match="public key, which cannot sign"):
        read_private_key(public)
    with pytest.raises(KeyFileError, match="belongs to the source site alone"):
        read_public_key(private)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nMC4CAQ\n", None])
def test_damaged_and_missing_keys(tmp_path, content):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"read.*key\.pem|key\.pem"):
        read_private_key(path)
    with pytest.raises(KeyFileError, match=r"key\.pem"):
        read_public_key(path)


def test_a_key_that_names_itself_is_no_proof(signed, keys):
    """Whoever alters a release can sign it anew with a key of his own: only the key given counts."""
    alter_manifest(signed)
    sign_release(signed, ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(SignatureError, match="another key"):
        verify_release(signed, read_public_key(public_path(keys[0])))

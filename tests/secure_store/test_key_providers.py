"""Each provider gives its key to its own box and to nobody else; each says plainly what it is worth."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from secure_store import FileKeyProvider
from secure_store.backup import restore
from secure_store.credential_key import CredentialKeyProvider
from secure_store.errors import KeyFileExposed, KeyMissing, StoreRolledBack, WitnessUnreachable, WrongKey
from secure_store.thief import main, steal
from secure_store.tpm2 import Tpm2KeyProvider, Tpm2Options, Tpm2Witness
from secure_store.witness import FileWitness, FlooredWitness, NoWitness, Witness

TOOLS = ("swtpm", "tpm2_nvread", "tpm2_flushcontext", "systemd-creds")
needs_tpm = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason="needs swtpm, tpm2-tools and systemd-creds"
)


def test_a_key_file_that_is_missing_short_or_open_to_others_is_not_used(tmp_path) -> None:
    path = tmp_path / "box.key"
    with pytest.raises(KeyMissing):
        FileKeyProvider(path, create=False).load()
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(KeyMissing):
        FileKeyProvider(path, create=True).load()
    path.write_bytes(bytes(32))
    path.chmod(0o644)
    with pytest.raises(KeyFileExposed):
        FileKeyProvider(path, create=True).load()


def test_a_key_file_is_not_followed_through_a_link(tmp_path) -> None:
    real = FileKeyProvider(tmp_path / "real.key", create=True)
    real.load()
    (tmp_path / "box.key").symlink_to(real.path)
    with pytest.raises(KeyMissing):
        FileKeyProvider(tmp_path / "box.key", create=False).load()


def test_the_file_provider_says_on_every_start_that_the_key_lies_beside_the_data(store) -> None:
    assert store.status().conditions[0] == "key_beside_data"


def test_a_credential_is_read_from_where_systemd_put_it(reopen, person, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "kingfisher-store").write_bytes(bytes(range(32)))
    store = reopen(provider=CredentialKeyProvider())
    store.enrol(person("p-1", 1))
    assert store.status().key_warning is None
    assert "key_beside_data" not in store.status().conditions
    store.rotate()
    assert reopen(provider=CredentialKeyProvider()).people() == ("p-1",)


def test_without_systemd_the_credential_provider_says_what_to_add_to_the_unit(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(KeyMissing, match="LoadCredentialEncrypted"):
        CredentialKeyProvider().load()
    with pytest.raises(KeyMissing):
        CredentialKeyProvider(folder=tmp_path).load()


@pytest.mark.parametrize("who", ["a file elsewhere", "the fleet"])
def test_an_older_copy_of_the_whole_store_put_back_is_noticed(who, reopen, person, folder, options, tmp_path) -> None:
    witness: Witness = FileWitness(tmp_path / "elsewhere") if who == "a file elsewhere" else NoWitness()
    watched = dataclasses.replace(options, witness=witness)
    store = reopen(options=watched)
    store.enrol(person("p-1", 1, pin="1111"))
    store.close()
    shutil.copytree(folder, tmp_path / "copy")
    store = reopen(options=watched)
    store.erase("p-1")
    reached = store.counter
    store.close()
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    if who == "the fleet":
        watched = dataclasses.replace(options, witness=FlooredWitness(witness, reached))
    with pytest.raises(StoreRolledBack, match="counter"):
        reopen(options=watched)
    store = reopen(options=dataclasses.replace(watched, accept_present_state=True))
    assert store.status().counter > 2
    reopen(options=watched)


def test_a_thief_of_a_card_with_a_key_file_has_everything(reopen, person, tmp_path, capsys) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    store.close()
    assert main([str(tmp_path), "--tenant", "canteen"]) == 1
    said = capsys.readouterr().out
    assert "1 records open with" in said
    assert "box.key" in said


def test_a_thief_of_a_card_without_a_key_has_opaque_handles(reopen, person, tmp_path, capsys, provider) -> None:
    store = reopen(provider=CredentialKeyProvider(folder=credential_folder(tmp_path / "of-systemd")))
    store.enrol(person("p-1", 1))
    store.close()
    shutil.rmtree(tmp_path / "of-systemd")  # it lies in the memory of the running box, not on the card
    assert main([str(tmp_path), "--tenant", "canteen"]) == 0
    assert "no key on the card" in capsys.readouterr().out
    assert main([str(tmp_path / "empty"), "--tenant", "canteen", "--json"]) == 0


def credential_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "kingfisher-store").write_bytes(bytes(range(32)))
    return folder


# -- a real TPM 2.0 in software


class ManagedTpm2KeyProvider(Tpm2KeyProvider):
    """What the kernel's /dev/tpmrm0 does for every process: its sessions are flushed when it is done."""

    def _run(self, verb: str, *arguments: str, given: bytes) -> bytes:
        try:
            return super()._run(verb, *arguments, given=given)
        finally:
            for what in ("-t", "-l", "-s"):
                subprocess.run(
                    ["tpm2_flushcontext", f"--tcti={self._options.device}", what], capture_output=True, check=False
                )


@needs_tpm
def test_a_key_sealed_to_one_tpm_opens_on_that_box_alone(tpm, tmp_path, reopen, person, face, model) -> None:
    here, there = tpm("here"), tpm("there")
    sealed = tmp_path / "box.sealed"
    provider = ManagedTpm2KeyProvider(sealed, create=True, options=Tpm2Options(here))
    store = reopen(provider=provider)
    store.enrol(person("p-1", 1, pin="2468"))
    store.rotate()
    assert reopen(provider=provider).check_pin("p-1", "2468", "pay") == "ok"
    with pytest.raises(KeyMissing):
        reopen(provider=ManagedTpm2KeyProvider(sealed, create=False, options=Tpm2Options(there)))
    card = tmp_path / "card"
    shutil.copytree(tmp_path / "store", card / "store")
    shutil.copyfile(sealed, card / "box.sealed")
    assert [(loot.handles, loot.opening_key) for loot in steal(card, "canteen")] == [(1, None)]
    assert all(provider.load() not in path.read_bytes() for path in card.rglob("*") if path.is_file())


@needs_tpm
def test_a_store_moves_from_a_key_file_to_the_tpm_and_the_file_opens_nothing_more(
    tpm, tmp_path, reopen, person
) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    provider = ManagedTpm2KeyProvider(tmp_path / "box.sealed", create=True, options=Tpm2Options(tpm("here")))
    store.rotate(to=provider)
    assert reopen(provider=provider).people() == ("p-1",)
    with pytest.raises(WrongKey):
        reopen()


def copied_before_an_erasure(reopen, person, folder, copy, options) -> None:
    """The store as a thief would put it back: with somebody in it who is erased in the real one."""
    store = reopen(options=options())
    store.enrol(person("p-1", 1))
    store.close()
    shutil.copytree(folder, copy)
    store = reopen(options=options())
    store.erase("p-1")
    store.close()


@needs_tpm
def test_the_tpm_counter_notices_an_older_store_put_back(tpm, tmp_path, reopen, person, folder, options) -> None:
    address = tpm("here")

    def watched():
        return dataclasses.replace(options, witness=Tpm2Witness(tcti=address))

    copied_before_an_erasure(reopen, person, folder, tmp_path / "copy", watched)
    assert reopen(options=watched()).people() == ()
    reopen(options=watched()).close()
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with pytest.raises(StoreRolledBack):
        reopen(options=watched())


@needs_tpm
def test_a_store_goes_on_from_where_a_new_tpm_counter_begins(tpm, reopen, person, options) -> None:
    """A TPM begins a counter above every one it ever had: here nine steps of another one."""
    address = tpm("here")
    before = Tpm2Witness(0x01500F01, address)
    before.advance(9)
    store = reopen()
    store.enrol(person("p-1", 1))
    watched = dataclasses.replace(options, witness=Tpm2Witness(tcti=address))
    reached = reopen(options=watched).counter
    assert reached == watched.witness.read()
    store = reopen(options=dataclasses.replace(options, witness=Tpm2Witness(tcti=address)))
    store.enrol(person("p-2", 2))
    assert store.counter == reached + 1
    assert reopen(options=dataclasses.replace(options, witness=Tpm2Witness(tcti=address))).people() == ("p-1", "p-2")


@needs_tpm
def test_a_tpm_counter_that_was_made_and_never_counted_says_so(tpm) -> None:
    """A plug was pulled between the two steps of making it."""
    address = tpm("here")
    attributes = "ownerread|ownerwrite|authread|authwrite|nt=counter"
    made = ["tpm2_nvdefine", f"--tcti={address}", "-C", "o", "-s", "8", "-a", attributes, "0x01500F00"]
    subprocess.run(made, check=True, capture_output=True)
    witness = Tpm2Witness(tcti=address)
    assert witness.read() is None
    witness.advance(1)
    assert Tpm2Witness(tcti=address).read() == 1


@needs_tpm
def test_a_tpm_that_does_not_give_its_counter_lets_no_older_store_pass(
    tpm, tmp_path, reopen, person, folder, options, monkeypatch
) -> None:
    """For once the read fails, as it does when the TPM is busy or locked out; everything else of the TPM answers."""
    address = tpm("here")

    def watched():
        return dataclasses.replace(options, witness=Tpm2Witness(tcti=address))

    copied_before_an_erasure(reopen, person, folder, tmp_path / "copy", watched)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with monkeypatch.context() as busy:
        busy.setenv("PATH", f"{failing('tpm2_nvread', tmp_path / 'bin')}:{os.environ['PATH']}")
        with pytest.raises(WitnessUnreachable, match="TPM_RC_RETRY"):
            reopen(options=watched())
    with pytest.raises(StoreRolledBack):
        reopen(options=watched())


def failing(tool: str, folder: Path) -> Path:
    folder.mkdir()
    (folder / tool).write_text("#!/bin/sh\necho 'ERROR: TPM_RC_RETRY: the TPM was not able to start' >&2\nexit 1\n")
    (folder / tool).chmod(0o700)
    return folder


@pytest.mark.parametrize("garbage", [b"", b"seven\n", b"-3\n", b"\xff\xfe", b"1_0", b"9" * 5000])
def test_a_witness_file_that_holds_no_counter_is_not_taken_for_a_new_one(
    garbage, reopen, person, options, tmp_path
) -> None:
    path = tmp_path / "elsewhere"
    watched = dataclasses.replace(options, witness=FileWitness(path))
    store = reopen(options=watched)
    store.enrol(person("p-1", 1))
    path.write_bytes(garbage)
    store.enrol(person("p-2", 2))
    assert "witness_unreachable" in store.status().conditions, "who is enrolled meanwhile is not lost"
    store.close()
    with pytest.raises(WitnessUnreachable, match=r"elsewhere: .* holds no counter"):
        reopen(options=watched)
    assert path.read_bytes() == garbage, "nothing is made in its place"
    path.unlink()
    assert reopen(options=watched).people() == ("p-1", "p-2")


def test_a_new_store_is_not_made_beside_a_witness_that_does_not_answer(reopen, options, tmp_path, folder) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(WitnessUnreachable, match="Is a directory"):
        reopen(options=dataclasses.replace(options, witness=FileWitness(tmp_path / "elsewhere")))


def test_a_backup_is_not_put_back_beside_a_witness_that_does_not_answer(
    reopen, person, options, provider, tmp_path, folder
) -> None:
    """Whom the present store erased would come back."""
    path = tmp_path / "elsewhere"
    watched = dataclasses.replace(options, witness=FileWitness(path))
    store = reopen(options=watched)
    store.enrol(person("p-1", 1))
    store.backup(tmp_path / "backup")
    store.erase("p-1")
    store.close()
    path.write_bytes(b"garbage")
    with pytest.raises(WitnessUnreachable):
        restore(tmp_path / "backup", folder, provider, tenant="canteen", profile="closed-loop", options=watched)
    path.unlink()
    assert reopen(options=watched).people() == ()


def test_a_tpm_that_is_not_there_is_said_so_by_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KeyMissing, match="not installed"):
        Tpm2KeyProvider(tmp_path / "box.sealed", create=True).load()

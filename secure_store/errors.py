"""What can go wrong with the store, each by its own name; none of them ever carries a template, a PIN, a phone
number or a key.
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of this package.

    `what` names the thing concerned (a path, a handle, a table), `why` says what was found, `hint` what a person can
    do about it.
    """

    default_hint = "Run `kingfisher store verify` and keep its answer."

    def __init__(self, what: str, why: str, hint: str | None = None) -> None:
        self.what = what
        self.why = why
        self.hint = hint if hint is not None else self.default_hint
        super().__init__(what, why, self.hint)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.hint}"


class KeyMissing(StoreError):
    """The key provider has no key to give."""

    default_hint = "Provision the box again, or name the right key in box.toml; without its key a store cannot be read."


class KeyFileExposed(StoreError):
    """A key file that other users could read is not used."""

    default_hint = "chmod 600 the file, and treat the key as known to others: rotate it."


class WrongKey(StoreError):
    """The key opens nothing here: another box's key, another TPM, or a damaged key ring."""

    default_hint = "Use the key this store was made with; a backup opens only with the key of its own box."


class StoreBusy(StoreError):
    """Another process holds this store."""

    default_hint = "Stop the other daemon first: one store, one process."


class StoreClosed(StoreError):
    """The store was used after close()."""

    default_hint = "Open it again."


class NotAStore(StoreError):
    """The file is a database, but not one of ours."""

    default_hint = "Check the folder's path; nothing was changed."


class SchemaTooNew(StoreError):
    """A later release wrote this store."""

    default_hint = "Install that release again, or restore a backup made by this one; nothing was changed."


class StoreDamaged(StoreError):
    """The file, or one record in it, is not what was written."""

    default_hint = "Run `kingfisher store verify`; restore a backup, or erase and enrol the named person again."


class StoreRolledBack(StoreError):
    """A record, or the whole store, is older than what this box wrote last, or is missing."""

    default_hint = (
        "Somebody put an old copy back: restore the newest backup, or accept this state with the operator's authority."
    )


class StoreFull(StoreError):
    """The disk refused the write; nothing of it was kept."""

    default_hint = "Free some space on the data partition and try again."


class StoreUnwritable(StoreError):
    """The folder or file cannot be written by this process."""

    default_hint = "Check owner and mode of the folder, and whether the file system went read-only."


class WitnessUnreachable(StoreError):
    """Who remembers the store's counter is there and does not say it: an older copy of the store would not show."""

    default_hint = (
        "Is the TPM well, or the medium of [store] witness_file, and is that mounted? Start again once it is. Where it "
        "is lost for good, write 0 into a new witness_file, or set another [store] witness: then nothing shows that "
        "the store is not an older copy."
    )


class ProfileRefused(StoreError):
    """An open-loop box holds no templates and takes none."""

    default_hint = "Open-loop boxes ask the gateway's matcher; `kingfisher-fleet face` looks after its people."


class TenantMismatch(StoreError):
    """The store belongs to another tenant."""

    default_hint = "Check `tenant` in box.toml, or start this tenant in an empty folder."


class PersonExists(StoreError):
    """The handle is enrolled already."""

    default_hint = "Enrol with replace=True to renew it, or erase the person first."


class PersonUnknown(StoreError):
    """Nobody with this handle is enrolled here."""

    default_hint = "Enrol the person on this box, or import the roster that holds them."


class PersonRefused(StoreError):
    """What was given to enrol is not usable."""

    default_hint = "Correct the named field and enrol again; nothing was stored."


class ConsentMissing(StoreError):
    """No valid consent covers this purpose."""

    default_hint = "Ask the person for consent to this purpose; a read for another purpose is not a way around it."


class ErasureIncomplete(StoreError):
    """Something of an erased record is still in a file."""

    default_hint = "Erase again; if it stays, rotate the keys: then what is left cannot be opened by anybody."


class BackupRefused(StoreError):
    """This backup is not put back; the store that was there is untouched."""

    default_hint = "Try an older backup; `kingfisher store verify` shows what the present store can still give."


class TransferRefused(StoreError):
    """An export from another box is not taken in."""

    default_hint = "Export again on the other box, for this box's public key, and name that box's key as the sender."

"""What to do about each named condition of the box: one sentence for the person who stands before it."""

from __future__ import annotations

SUGGESTIONS = {
    "offline": "see `net`: cable, address, broker; payments wait for the network meanwhile",
    "no_camera": "check the camera's cable, then `camera`",
    "no_keypad": "plug the keypad in again, then `keypad`",
    "no_display": "check the display's cable, then `display`",
    "no_clock": "let the box reach its fleet or an NTP server; orders are refused until it knows the time",
    "no_models": "the models are missing or damaged: `doctor` names the file; reinstall them",
    "no_payers": "nobody is enrolled yet: `kingfisher-fleet enrol`",
    "no_gallery": "the templates can't be read: `doctor` says why",
    "faces_refused": "gallery, models and thresholds do not go together: calibrate for so many, or enrol again",
    "faces_loading": "wait: the models are being loaded, which takes some seconds, a minute on a slow box",
    "store_locked": "`store verify` says why; then bring the key back, or restore a backup: docs/security.md",
    "key_refused": "was the card or the TPM exchanged? without the right one the templates are lost: docs/security.md",
    "no_data": "put in a new card and provision it; the fleet knows every payment that this one had sent",
    "disk_full": "make room on the data partition, then `restart`",
    "disk_read_only": "the data partition was mounted read-only or its files belong to somebody else: `logs`, `reboot`",
    "disk_failing": "the card is dying: put in a new one and provision it; the fleet knows what this one had sent",
    "write_refused": "box.db refused what was to be written: `logs` says what; `restart` takes up what is open",
    "key_beside_data": 'right for a desk; in a shop, [store] key_provider = "credential"',
    "memory_not_locked": "raise LimitMEMLOCK in the daemon's unit",
    "swap_on": "swapoff, or MemorySwapMax=0 in the daemon's unit",
    "process_dumpable": "the kernel refused prctl: other processes of this user can read the daemon's memory",
    "record_damaged": "`kingfisher store verify` names who; restore a backup, or erase and enrol them again",
    "key_ring_repaired": "the card is failing: `kingfisher store backup`, then replace it",
    "key_ring_copy_repaired": "the card is failing: `kingfisher store backup`, then replace it",
    "census_damaged": "stop the daemon, then `kingfisher store restore` with the newest backup",
    "witness_unreachable": "see [store] witness in box.toml: is the TPM there, or the other medium mounted?",
    "store_behind": "stop the daemon, then `kingfisher store restore` with the newest backup, or --accept",
    "rotation_unfinished": "`kingfisher store rotate` finishes it",
    "config_refused": "the fleet's newest settings are not in force: `kingfisher-fleet config status` says why",
    "not_provisioned": "`provision` with a ticket from the fleet",
    "unsettled": "payments are being settled with the gateway; the box goes on by itself",
    "too_hot": "give the box air",
    "disk_low": "`logs` and old backups take room; `journalctl --vacuum-size=50M`, or a larger card",
    "certificate_expiring": "provision the box again with a ticket from the fleet before it ends",
    "certificate_expired": "no broker takes it any more: provision the box again with a ticket from the fleet",
    "journal_broken": "keep box.db as evidence: `journal verify` names the entry; compare with the fleet's checkpoints",
    "content_stale": "see `net`: the box has not reached what the fleet publishes",
    "content_refused": "what the content server sent is not believed or did not arrive: `logs` names which and why",
    "content_incomplete": "a file of a campaign could not be had: `logs` names it; the others are shown",
    "no_scanner": "check the scanner's cable; payers can still pay, and amounts can be typed",
    "no_gate": "check the gate's cable and devices.gate in box.toml; nobody is charged while it does not open",
    "no_till": "check the till's cable and [till.line] in box.toml; the till asks again by itself",
    "no_printer": "is the printer switched on? `kingfisher receipt ORDER` prints what is missing",
    "no_paper": "put in a new roll: receipts that wait come out by themselves",
    "catalogue_refused": "`kingfisher catalogue check` says why; nothing can be scanned into a cart until it is mended",
    "identity_twice": "another box has this one's key: take both out of service, and provision each anew",
}


# What a technician or an operator does something about; a payer at the idle screen need not read it.
NOT_FOR_PAYERS = frozenset(
    {
        "disk_low", "certificate_expiring", "config_refused", "content_stale", "content_refused",
        "content_incomplete", "journal_broken", "identity_twice",
        "memory_not_locked", "swap_on", "process_dumpable", "witness_unreachable", "rotation_unfinished",
        "no_scanner", "no_till", "no_printer", "no_paper", "catalogue_refused",
        "key_ring_repaired", "key_ring_copy_repaired", "record_damaged", "census_damaged",
    }
)  # fmt: skip


def suggestion(condition: str) -> str:
    return SUGGESTIONS.get(condition, "see `doctor` and `logs`")

"""Why content could not be fetched or used."""

from __future__ import annotations

from enum import StrEnum

from daemon.errors import DaemonError


class Why(StrEnum):
    """Machine words: for the journal, the fleet and `doctor`."""

    UNREACHABLE = "unreachable"
    CUT_OFF = "cut_off"
    EXPIRED = "metadata_expired"  # someone shows an old truth (freeze), or the fleet stopped signing
    ROLLED_BACK = "rolled_back"
    FORGED = "signature_missing"
    MISMATCH = "length_or_hash_differs"
    TOO_LARGE = "larger_than_announced"
    OVER_QUOTA = "over_quota"
    NO_ROOM = "disk_full"
    BAD_DOCUMENT = "bad_document"
    NO_ROOT = "no_root"
    UNREADABLE = "metadata_unreadable"


_HINTS = {
    Why.UNREACHABLE: "Is the content server's address right, and the network there?",
    Why.CUT_OFF: "The next try goes on where this one stopped.",
    Why.EXPIRED: "Is the gateway running? It signs the timestamp anew. And is this box's clock right?",
    Why.ROLLED_BACK: "An older state is being served: look at who answers at that address.",
    Why.FORGED: "Not signed by the fleet's content keys: look at who answers at that address.",
    Why.MISMATCH: "What came is not what was signed: look at who answers at that address.",
    Why.TOO_LARGE: "More was sent than was signed: look at who answers at that address.",
    Why.OVER_QUOTA: "Publish less, or raise content.quota_mib.",
    Why.NO_ROOM: "Make room on the data partition.",
    Why.BAD_DOCUMENT: "What stands stays in force; publish a good one.",
    Why.UNREADABLE: (
        "The card fails: change it. What the box shows goes on meanwhile. If the file is surely lost, remove it: then "
        "the box believes any state that is signed and has not expired, an older one too."
    ),
    Why.NO_ROOT: "Give the box the fleet's first root: content.root.",
}


class ContentRefused(DaemonError):
    """Nothing of it was taken over; what the box has stays in use."""

    def __init__(self, why: Why, what: str, detail: str = "") -> None:
        self.why, self.what, self.detail = why, what, detail
        self.hint = _HINTS[why]
        told = f"{what}: {why.value}" + (f" ({detail})" if detail else "")
        super().__init__(f"{told}. {self.hint}")

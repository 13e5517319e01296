"""What a person agreed to: receipts that are kept, the last of which counts until it is withdrawn or expires."""

from __future__ import annotations

from secure_store.errors import ConsentMissing, PersonRefused
from secure_store.person import Consent, Receipt

Profile = dict[str, object]


def checked(consent: Consent) -> Consent:
    """Raises PersonRefused, naming the field."""
    if not consent.purposes or any(not p or "\0" in p or len(p) > 64 for p in consent.purposes):
        raise PersonRefused(
            "consent.purposes", "each purpose is a word of up to 64 characters, and there is one at least"
        )
    if not consent.notice_version or not consent.channel or consent.given_at <= 0:
        raise PersonRefused("consent", "a receipt has the notice's version, the channel and the time")
    if consent.under_14 and not consent.guardian:
        raise PersonRefused("consent.guardian", "for a child under 14 a guardian consents")
    return consent


def receipts(profile: Profile) -> tuple[Receipt, ...]:
    """Oldest first."""
    kept = profile["consent"]
    assert isinstance(kept, list)
    return tuple(_from_json(one) for one in kept)


def give(profile: Profile, consent: Consent) -> None:
    """A new receipt; it takes the place of the one before."""
    kept = profile.setdefault("consent", [])
    assert isinstance(kept, list)
    kept.append(
        {
            "purposes": sorted(consent.purposes),
            "notice_version": consent.notice_version,
            "given_at": consent.given_at,
            "channel": consent.channel,
            "expires_at": consent.expires_at,
            "guardian": consent.guardian,
            "authority": consent.authority,
            "under_14": consent.under_14,
            "withdrawn_at": None,
        }
    )


def withdraw(profile: Profile, purposes: frozenset[str] | None, now: int) -> None:
    """Ends the consent for these purposes (None: for all). What is left of it goes on as a receipt of its own."""
    kept = profile["consent"]
    assert isinstance(kept, list)
    last = kept[-1]
    left = [] if purposes is None else [p for p in last["purposes"] if p not in purposes]
    if last["withdrawn_at"] is None:
        kept[-1] = last | {"withdrawn_at": now}
        if left:
            kept.append(last | {"purposes": left})


def in_force(profile: Profile) -> Consent | None:
    """The consent that counts, expired or not; None when it was withdrawn."""
    last = receipts(profile)[-1]
    return None if last.withdrawn_at is not None else last.consent


def allows(profile: Profile, purpose: str, now: int) -> bool:
    consent = in_force(profile)
    if consent is None or purpose not in consent.purposes:
        return False
    return consent.expires_at is None or consent.expires_at > now


def demand(handle: str, profile: Profile, purpose: str, now: int) -> None:
    """Raises ConsentMissing."""
    if not allows(profile, purpose, now):
        raise ConsentMissing(handle, f"no valid consent to the purpose {purpose!r}")


def _from_json(kept: dict[str, object]) -> Receipt:
    purposes, given_at = kept["purposes"], kept["given_at"]
    assert isinstance(purposes, list)
    assert isinstance(given_at, int)

    def number(name: str) -> int | None:
        value = kept.get(name)
        return value if isinstance(value, int) else None

    def text(name: str) -> str | None:
        value = kept.get(name)
        return value if isinstance(value, str) else None

    consent = Consent(
        frozenset(str(purpose) for purpose in purposes),
        str(kept["notice_version"]),
        given_at,
        str(kept["channel"]),
        number("expires_at"),
        text("guardian"),
        text("authority"),
        bool(kept.get("under_14", False)),
    )
    return Receipt(consent, number("withdrawn_at"))

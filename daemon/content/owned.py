"""What sub-tenants have signed: taken in where a slot is open to them, left out where it is closed.

An owner's fault is its own: a document that is forged, expired, or speaks for somebody else is refused by its name, and
the other campaigns go on.
"""

from __future__ import annotations

from pathlib import Path

from tuf.api.metadata import Targets
from tuf.ngclient import Updater

from daemon.content.errors import ContentRefused, Why
from daemon.content.naming import named
from mqtt.campaigns import (
    MAX_BYTES,
    OWNER_MAX_BYTES,
    Campaigns,
    CampaignsRefused,
    document_of,
    joined,
    owner_of_role,
    parse_owned,
)


def take_in(
    updater: Updater, targets: Targets, campaigns: Campaigns, folder: Path
) -> tuple[Campaigns, tuple[str, ...], tuple[ContentRefused, ...]]:
    """`campaigns` with those of every owner that `targets` entrusts with a folder; the ids of those whose slot is
    closed; and what was refused."""
    roles = (targets.delegations and targets.delegations.roles) or {}
    closed: list[str] = []
    refused: list[ContentRefused] = []
    for owner in filter(None, map(owner_of_role, sorted(roles))):
        try:
            theirs = _document(updater, owner, folder)
            if theirs is None:
                continue
            whole, shut = joined(campaigns, owner, theirs)
            if len(whole.model_dump_json()) > MAX_BYTES:
                raise ContentRefused(Why.BAD_DOCUMENT, document_of(owner), f"more than {MAX_BYTES} bytes with it")
        except CampaignsRefused as bad:
            refused.append(ContentRefused(Why.BAD_DOCUMENT, document_of(owner), str(bad)))
        except ContentRefused as one:
            refused.append(one)
        else:
            campaigns = whole
            closed += shut
    return campaigns, tuple(closed), tuple(refused)


def _document(updater: Updater, owner: str, folder: Path) -> Campaigns | None:
    """None: nothing was signed for it yet. Raises ContentRefused, CampaignsRefused."""
    wanted = document_of(owner)
    with named(wanted):
        info = updater.get_targetinfo(wanted)
        if info is None:
            return None
        if info.length > OWNER_MAX_BYTES:
            raise ContentRefused(Why.BAD_DOCUMENT, wanted, f"{info.length} bytes")
        file = folder / f"{owner}.new"
        updater.download_target(info, str(file))
        document = file.read_bytes()
        file.unlink()
    return parse_owned(document, owner)

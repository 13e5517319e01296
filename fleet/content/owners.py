"""Sub-tenants of the boxes' owner: who signs campaigns with a key of its own, and which slots are open to whom.

What an owner signs is packed wherever its key is (`pack`) and needs nothing of the fleet; the fleet takes it in
(`unpack`, `Repository.take`) only while the slots it uses are open. Closing a slot takes what stands in it off the
displays at the boxes' next look, which is at once where a gateway runs.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, TargetFile, Targets
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from fleet.content import book
from fleet.content.repository import ContentRefused, Published, Repository
from mqtt.campaigns import (
    TARGET,
    Campaigns,
    OpenSlot,
    Slot,
    document_of,
    is_owner,
    joined,
    parse,
    parse_owned,
    too_heavy,
)
from mqtt.identity import load_public_key, write_file

SIGNED = "signed.json"
LIFE = timedelta(days=90)


def key_from(file: Path) -> Key:
    """An owner's public key, PEM. Raises MqttError."""
    public: Ed25519PublicKey = load_public_key(file)
    return SSlibKey.from_crypto(public)


def checked(owner: str) -> str:
    """Raises ContentRefused."""
    if not is_owner(owner):
        raise ContentRefused(f"owner {owner[:64]}", "1 to 32 small letters and digits")
    return owner


def pack(page: Path, owner: str, key: Ed25519PrivateKey, out: Path, now: datetime | None = None) -> book.Edition:
    """A folder with the owner's campaigns and files, signed. Raises ContentRefused."""
    now = now or datetime.now(UTC)
    version = int(now.timestamp())
    edition = book.read(page, version, owner=checked(owner))
    targets = Targets(version=version, expires=(now + LIFE).replace(microsecond=0))
    for path, content in edition.files.items():
        targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        write_file(out / path, content, mode=0o644)
    metadata = Metadata(targets)
    metadata.sign(CryptoSigner(key))
    write_file(out / SIGNED, metadata.to_bytes(JSONSerializer(compact=False)), mode=0o644)
    return edition


def unpack(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """The signed list, and the files that it names. Nothing of it is believed yet. Raises ContentRefused."""
    what = f"{folder}"
    try:
        signed = (folder / SIGNED).read_bytes()
        named: Metadata[Targets] = Metadata.from_bytes(signed)
        if not isinstance(named.signed, Targets):
            raise ContentRefused(what, "is no list of targets")
        inside = {path: (folder / path).resolve() for path in named.signed.targets}
        strange = [path for path, file in inside.items() if not file.is_relative_to(folder.resolve())]
        if strange:
            raise ContentRefused(what, f"{strange[0]} leads out of it")
        return signed, {path: file.read_bytes() for path, file in inside.items()}
    except (DeserializationError, RepositoryError) as error:
        raise ContentRefused(what, f"{SIGNED} can't be read ({error})", "`content pack` makes such a folder") from error
    except OSError as error:
        raise ContentRefused(what, error.strerror or str(error), "`content pack` makes such a folder") from error


def take(repository: Repository, owner: str, signed: bytes, files: dict[str, bytes]) -> Published:
    """Published where it is the owner's own and every slot it uses is open to it. Raises ContentRefused,
    CampaignsRefused."""
    document = files.get(document_of(checked(owner)))
    if document is None:
        raise ContentRefused(f"what {owner} signed", f"{document_of(owner)} is missing")
    theirs = parse_owned(document, owner)
    whole = standing(repository)
    for slot, (weight, lets) in too_heavy(whole, theirs).items():
        why = f"its campaigns weigh {weight} in the slot {slot.value}, which lets them be {lets}"
        hint = f"`content open {slot.value} {owner} --weight {weight}`, if that is meant to be"
        raise ContentRefused(f"what {owner} signed", why, hint)
    _, closed = joined(whole, owner, theirs)
    if closed:
        slots = sorted({campaign.slot.value for campaign in theirs.campaigns if campaign.id in closed})
        hint = f"`content open {slots[0]} {owner}`, if that is meant to be"
        raise ContentRefused(f"what {owner} signed", f"the slot {', '.join(slots)} is not open to it", hint)
    return repository.take(owner, signed, files)


def standing(repository: Repository) -> Campaigns:
    """What is published by who owns the boxes; nothing, with every slot closed, where nothing is."""
    if TARGET not in repository.published().targets:
        return Campaigns(version=1, open=(), campaigns=())
    return parse(repository.content(TARGET))


def shown(repository: Repository) -> Campaigns:
    """What boxes make of all of it: the owners' campaigns too, as far as their slots are open."""
    whole = standing(repository)
    for owner in repository.owners():
        document = repository.content_of(owner, document_of(owner))
        if document is not None:
            whole, _ = joined(whole, owner, parse_owned(document, owner))
    return whole


def let(repository: Repository, slot: Slot, owner: str, allowed: bool, weight: int | None = None) -> bool:
    """Opens or closes a slot to an owner; `weight`: from now on what each sub-tenant signs for it may weigh so much.
    False: it was so already. Raises ContentRefused."""
    now = standing(repository)
    here = next((one for one in now.open if one.slot is slot), OpenSlot(slot=slot, owners=()))
    if (owner in here.owners) is allowed and weight in (None, here.weight):
        return False
    others = [name for name in here.owners if name != owner]
    after = here.model_copy(update={"owners": [*others, owner] if allowed else others, "weight": weight or here.weight})
    opened = [*(one for one in now.open if one.slot is not slot), after]
    document = json.loads(now.model_dump_json()) | {
        "version": now.version + 1,
        "open": [one.to_json() for one in opened],
    }
    content = json.dumps(document, ensure_ascii=False, indent=1).encode()
    parse(content)
    repository.publish({TARGET: content})
    return True

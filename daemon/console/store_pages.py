"""What is said of the store, in a shell and on the console: sentences for a person. Values in, lines out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.health.suggestions import suggestion

MANY = 8  # names and findings shown at once; all of them are in --json


def status(found: Mapping[str, Any]) -> Iterator[str]:
    yield _row("store", f"{found['profile']}, schema {found['schema']}, {_size(found['file_bytes'])}")
    yield _row("people", str(found["people"]))
    for model, sets in found["templates"].items():
        yield _row("templates", f"{sets} sets of model {model[:12]}")
    yield _row("key", f"{found['key_provider']}, generation {found['generation']}")
    yield _row("transform", f"epoch {found['epoch']}")
    yield _row("counter", str(found["counter"]))
    checked = "every record, since the start" if found["census_checked"] else "not yet since the start"
    yield _row("counted", checked)
    yield _row("public key", str(found["public_key"]))
    for condition in found["conditions"]:
        name, _, whom = condition.partition(":")
        yield _row("condition", f"{name}{f' ({whom})' if whom else ''}")
        yield _row("", f"-> {suggestion(name)}")


def verified(found: Mapping[str, Any]) -> Iterator[str]:
    """What is damaged, what it costs, what to do."""
    readable, findings = found["readable"], found["findings"]
    damaged = sorted({finding["handle"] for finding in findings if finding["handle"]})
    if not findings:
        yield f"The store is sound: {_people(len(readable))}, and every record opens."
    else:
        count = f"{len(findings)} things are" if len(findings) > 1 else "one thing is"
        yield f"The store {'is damaged' if found['opens'] else 'does not open'}: {count} not as written."
        for number, finding in enumerate(findings[:MANY], start=1):
            yield f"  {number}. {_upper(finding['what'])}: {finding['why']}."
        if len(findings) > MANY:
            yield f"  ... and {len(findings) - MANY} more; --json lists them all."
        yield ""
        yield _cost(readable, damaged, found["opens"])
        yield "What to do:"
        for hint in dict.fromkeys(finding["hint"] for finding in findings):
            yield f"  - {hint}"
    if not found["pages_checked"]:
        yield "Pages without records were not compared: the store is in use, or was not closed in good order."


def _cost(readable: Sequence[str], damaged: Sequence[str], opens: bool) -> str:
    if damaged:
        rest = f"; the records of {_people(len(readable))} open, and they are not concerned." if readable else "."
        return f"This costs {_people(len(damaged))}: {_names(damaged)}{rest}"
    if readable and not opens:
        return f"Nothing is served from it now, but the records of {_people(len(readable))} are whole in its raw bytes."
    if readable:
        return f"It costs nobody their record: those of {_people(len(readable))} open."
    return "No record can be read as it is."


def own_data(found: Mapping[str, Any]) -> Iterator[str]:
    """What is kept about one person; nothing of it is a face, a PIN or a number."""
    yield _row("handle", found["handle"])
    for receipt in found["receipts"]:
        consent, ended = receipt["consent"], receipt["withdrawn_at"]
        purposes = ", ".join(consent["purposes"])
        yield _row("consent", f"to {purposes}; notice {consent['notice_version']}, by {consent['channel']}")
        yield _row("", f"given {_moment(consent['given_at'])}" + (f", withdrawn {_moment(ended)}" if ended else ""))
        if consent["guardian"]:
            yield _row("", f"for a child under 14, by its guardian: {consent['guardian']}")
        if consent["authority"]:
            yield _row("", f"on the word of: {consent['authority']}")
    yield _row("factors", ", ".join(found["factors"]) or "none")
    for name, word in found["links"].items():
        yield _row("link", f"{name} {word}")
    for note in found["templates"]:
        model, at = note["model_hash"][:12], _moment(note["added_at"])
        yield _row("template", f"model {model}, quality {note['quality']:.2f}, {at}")


def rotated(found: Mapping[str, Any], moved_to: str | None = None) -> Iterator[str]:
    how = "A rotation that was cut off is finished" if found["resumed"] else "The keys are new"
    yield f"{how}: generation {found['generation']}, {_people(found['people'])} under them. The old ones open nothing."
    if moved_to:
        yield f'Before the daemon starts again, set in box.toml: [store] key_provider = "{moved_to}"'


def backed_up(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['path']}: only this box's key opens it; keep that key, too."


def withdrawn(found: Mapping[str, Any]) -> Iterator[str]:
    what = ", ".join(found["purposes"]) or "everything"
    yield f"The consent of {found['withdrawn']} to {what} is withdrawn: nothing is read for it from now on."
    if not found["purposes"]:
        yield "The record itself goes with the next sweep (at the daemon's start, then every sweep_hours), or now with"
        yield f"`kingfisher store erase {found['withdrawn']}`."


def erased(found: Mapping[str, Any], backup_days: int) -> Iterator[str]:
    gone = found["erased"]
    if not gone:
        yield "Nobody's consent has ended: nobody was erased."
    else:
        yield f"Erased, and looked for in the raw files: {_names(gone)}."
        yield f"Backups on this box still hold them, sealed, for {backup_days} days at most; what was carried away"
        yield "before (backups, exports) until you destroy it. A restore here leaves them out; on a fresh card give it"
        yield "the fleet's list: `kingfisher-fleet departures --handles` and `store restore --erased`."


def destroyed(provider: str) -> Iterator[str]:
    yield "The keys are destroyed, then the files: nothing that lay here can be read again, on this box or off it."
    if provider == "credential":
        yield "The credential itself is systemd's: delete its file and make a new one, or old backups open with it."


def imported(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_people(found['people'])} taken in."
    if found["present"]:
        yield f"Left as they were, enrolled here already: {_names(found['present'])}."
    if found["erased"]:
        yield f"Left out, erased here before: {_names(found['erased'])}."


def restored(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"The store is back: {_people(found['people'])}."
    if found["erased_again"]:
        yield f"{_people(found['erased_again'])} had been erased since the backup was made, and stay erased."
    if not found["erasures_known"]:
        yield "The store that was there could not be asked whom it had erased: ask the fleet, and erase them again."
    if found.get("broken_kept"):
        yield f"What was there is kept at {found['broken_kept']}."
        yield "When nobody is missed, delete it, then rotate the keys."


def loot(found: Sequence[Mapping[str, Any]], card: str) -> Iterator[str]:
    for one in found:
        if one["opening_key"] is None:
            yield f"{one['store']}: {one['handles']} opaque handles in the clear; no key on the card opens a record."
        else:
            yield f"{one['store']}: {_people(one['records'])} open with {one['opening_key']}: the thief has them all."
    if not found:
        yield f"No store lies under {card}."


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _names(handles: Sequence[str]) -> str:
    shown = ", ".join(handles[:MANY])
    return shown if len(handles) <= MANY else f"{shown} and {len(handles) - MANY} more"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _size(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _row(name: str, value: str) -> str:
    return f"{name:11} {value}"

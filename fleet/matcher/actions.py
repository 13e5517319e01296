"""`kingfisher-fleet face`: the matcher's key, its people and which boxes ask it. A running gateway sees each change."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager

from fleet.actions import reading, say
from fleet.boxes import register as boxes
from fleet.boxes import roster
from fleet.boxes.roster import RosterPerson
from fleet.boxes.roster_actions import lines_of
from fleet.errors import RequestRefused, StateMissing
from fleet.matcher.book import FaceBook, Person, checked_place
from fleet.matcher.desk import key_file, open_book
from fleet.state import StateFolder
from mqtt.presence import is_absent
from secure_store import sealed


def key(args: Namespace) -> int:
    """Makes it where there is none."""
    with _book(args, make=True) as book:
        public = sealed.public_key(book.keys.private).hex()
    return say(args, {"key": public}, public)


def box(args: Namespace) -> int:
    with reading(args.state) as tx:
        chosen = boxes.choose(tx, args.box)
    with _book(args) as book:
        book.put_box(chosen["id"], args.place)
    facts = {"box": chosen["id"], "place": args.place}
    said = f"asks for the people of {args.place}" if args.place else "is not open-loop any more"
    return say(args, facts, f"{chosen['id']}  {said}")


def tie(args: Namespace) -> int:
    with _book(args) as book:
        book.tied(args.handle, args.place, not args.undo)
    said = "is not looked for at" if args.undo else "is looked for at"
    return say(args, {"handle": args.handle, "place": args.place, "tied": not args.undo},
               f"{args.handle} {said} {args.place}")  # fmt: skip


def phone(args: Namespace) -> int:
    """From stdin, so that it stands in no list of processes and no history."""
    with _book(args) as book:
        book.set_phone(args.handle, sys.stdin.readline().strip())
    return say(args, {"handle": args.handle, "phone": True}, f"{args.handle} has a phone number")


def take_in(args: Namespace) -> int:
    """All of the file or nobody: it is checked whole first."""
    people = roster.read_people(lines_of(args.people), str(args.people))
    place, now = checked_place(args.place), int(time.time())
    with _book(args) as book:
        known = {row["handle"] for row in book.people()}
        again = [person.handle for person in people if person.handle in known]
        if again:
            raise RequestRefused(
                f"people {args.people}", f"{again[0]} is enrolled already", "erase them first; nobody was taken in"
            )
        for person in people:
            book.enrol(_person(person), [place], now)
    return say(args, {"people": len(people), "place": place}, f"{len(people)} people are looked for at {place}")


def show(args: Namespace) -> int:
    with _book(args) as book:
        people = book.people()
    text = "\n".join(
        f"{row['handle']:<24} {' '.join(row['places']) or 'nowhere':<24} {'phone' if row['phone'] else ''}"
        for row in people
    )
    return say(args, {"people": people}, text or "nobody is enrolled here")


def erase(args: Namespace) -> int:
    with _book(args) as book:
        book.erase(args.handle)
    return say(args, {"handle": args.handle, "erased": True}, f"{args.handle} is erased")


@contextmanager
def _book(args: Namespace, *, make: bool = False) -> Iterator[FaceBook]:
    state = StateFolder(args.state)
    state.load_key()  # a folder without a fleet gets no matcher either
    if not make and is_absent(key_file(state.matcher_folder)):
        raise StateMissing("the matcher", "has no key yet", "make it: kingfisher-fleet face key")
    with closing(open_book(state.matcher_folder)) as book:
        yield book


def _person(person: RosterPerson) -> Person:
    """Raises RequestRefused where the templates are of two models."""
    models = {template.model_hash for template in person.templates}
    if len(models) != 1:
        raise RequestRefused(f"face of {person.handle}", "its templates are of several models")
    return Person(
        person.handle, models.pop(), [template.embedding for template in person.templates],
        person.consent.model_dump(mode="json"), pin=person.pin, duress_pin=person.duress_pin, phone=person.phone,
    )  # fmt: skip

"""Log-in: tickets once and in time, PINs counted before they are compared, locks that outlive the console."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.books import pin_tries
from daemon.console.guest_book import GuestBook, Typed
from daemon.console.login import Denied, Welcome, log_in, masked
from daemon.console.place import Place
from fleet.boxes import tickets
from mqtt.armour import armour
from mqtt.identity import box_id_from_key
from mqtt.provisioning import hash_pin

PIN = "30981521"
FLEET = Ed25519PrivateKey.generate()
BOX = box_id_from_key(Ed25519PrivateKey.generate().public_key())
PHC = hash_pin(PIN)
NOW = int(time.time())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "box.toml", tmp_path, {}, None, BOX, FLEET.public_key(), PHC, open=False)


@pytest.fixture
def attempt(place: Place) -> Callable[..., Welcome | Denied]:
    """Each attempt finds the guest book as a console that was just started would."""
    return lambda text, at=NOW, trusted=True: log_in(text, place, GuestBook(place.state), lambda: at, trusted)


def ticket(box: str = BOX, key: Ed25519PrivateKey = FLEET, at: int = NOW) -> str:
    return armour("LOGIN", tickets.make_login(key, box, "wei", 600, at))


def why(outcome: Welcome | Denied) -> str:
    assert isinstance(outcome, Denied)
    return outcome.why


def test_a_ticket_logs_in_once(attempt: Callable[..., Welcome | Denied]) -> None:
    text = ticket()
    assert attempt(text) == Welcome("wei")
    assert why(attempt(text)) == "this ticket was used before"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ticket(at=NOW - 3600), "this ticket has expired"),
        (ticket(box="kf-aaaaaaaaaaaaaaaa"), "this ticket is for another box"),
        (ticket(key=Ed25519PrivateKey.generate()), "this ticket is not by this box's fleet"),
        (ticket()[:300], "it is cut off: the END line is missing"),
        ("open sesame", "that is neither a ticket nor a PIN"),
        ("1.2.3", "this is no log-in ticket for this box"),
    ],
    ids=["expired", "another box", "another fleet", "cut off", "words", "dots"],
)
def test_a_ticket_that_is_not_to_be_believed_is_denied_in_plain_words(
    attempt: Callable[..., Welcome | Denied], text: str, said: str
) -> None:
    assert why(attempt(text)) == said


def test_without_a_clock_no_ticket_is_believed_but_the_pin_works(attempt: Callable[..., Welcome | Denied]) -> None:
    assert "does not know the time" in why(attempt(ticket(), 1000, False))
    assert attempt(PIN, 1000, False) == Welcome("pin")


def test_three_wrong_pins_lock_and_the_lock_outlives_the_console(
    attempt: Callable[..., Welcome | Denied], place: Place
) -> None:
    assert why(attempt("11111111")) == "wrong PIN; 2 tries left"
    assert why(attempt("22222222")) == "wrong PIN; 1 try left"
    assert "locked for 15 min" in why(attempt("33333333"))
    assert "locked for" in why(attempt(PIN))
    assert "locked for" in why(attempt(PIN, NOW + pin_tries.LOCK_S - 10))
    assert attempt(ticket()) == Welcome("wei"), "a ticket works all the same"
    assert "locked for 30 min" in why(attempt("44444444", NOW + pin_tries.LOCK_S + 1)), "the next lock is longer"
    assert attempt(PIN, NOW + 4 * pin_tries.LOCK_S) == Welcome("pin")
    assert why(attempt("11111111", NOW + 4 * pin_tries.LOCK_S)) == "wrong PIN; 2 tries left"


def test_a_try_is_on_disk_before_the_pin_is_compared(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def pulled_plug(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("mqtt.provisioning.pin_fits", pulled_plug)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            log_in(PIN, place, GuestBook(place.state), lambda: NOW, True)
    monkeypatch.undo()
    assert "locked" in why(log_in(PIN, place, GuestBook(place.state), lambda: NOW, True))


def test_where_a_try_cannot_be_counted_no_pin_is_compared_and_a_ticket_still_works(place: Place) -> None:
    book = GuestBook(place.state / "not there")
    assert "can't be counted" in why(log_in(PIN, place, book, lambda: NOW, True))
    assert log_in(ticket(), place, book, lambda: NOW, True) == Welcome("wei")


@contextmanager
def a_full_card() -> Iterator[None]:
    """Nothing can grow any more; what has its room already can be written again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_card_the_pin_still_logs_in_and_a_ticket_too(attempt: Callable[..., Welcome | Denied]) -> None:
    assert attempt(PIN) == Welcome("pin")
    with a_full_card():
        assert attempt(PIN) == Welcome("pin")
        assert attempt(ticket()) == Welcome("wei")


def test_a_console_that_has_started_is_ready_for_a_full_card_nobody_logged_in_before(
    attempt: Callable[..., Welcome | Denied], place: Place
) -> None:
    GuestBook(place.state).prepare()
    with a_full_card():
        assert why(attempt("11111111")) == "wrong PIN; 2 tries left"
        assert attempt(PIN) == Welcome("pin")


def test_a_full_card_gives_nobody_more_tries(attempt: Callable[..., Welcome | Denied], place: Place) -> None:
    assert why(attempt("11111111")) == "wrong PIN; 2 tries left"
    with a_full_card():
        assert why(attempt("22222222")) == "wrong PIN; 1 try left"
        assert "locked for 15 min" in why(attempt("33333333"))
        assert "locked for" in why(attempt(PIN))
    assert "locked for" in why(attempt(PIN)), "room again is no way out"
    assert GuestBook(place.state).locked_until(NOW) > NOW
    assert "locked for 30 min" in why(attempt("44444444", NOW + pin_tries.LOCK_S + 1))
    assert attempt(PIN, NOW + 4 * pin_tries.LOCK_S) == Welcome("pin")
    assert why(attempt("11111111", NOW + 4 * pin_tries.LOCK_S)) == "wrong PIN; 2 tries left"


def test_a_spare_record_that_is_damaged_is_a_lock(attempt: Callable[..., Welcome | Denied], place: Place) -> None:
    assert attempt(PIN) == Welcome("pin")
    (place.state / "console.tries").write_bytes(b"\0" * 20)
    with a_full_card():
        assert "locked for" in why(attempt(PIN, int(time.time())))
    assert "locked for" in why(attempt(PIN, int(time.time())))


def test_a_clock_that_was_set_back_locks_for_a_day_at_most(attempt: Callable[..., Welcome | Denied]) -> None:
    for _ in range(3):
        attempt("11111111", NOW + 10**8)
    assert "locked for" in why(attempt(PIN, NOW))
    assert attempt(PIN, NOW + pin_tries.LONGEST_LOCK_S + 60) == Welcome("pin")


def test_a_damaged_guest_book_gives_no_new_tries(attempt: Callable[..., Welcome | Denied], place: Place) -> None:
    (place.state / "console.db").write_bytes(b"not a database at all" * 100)
    assert "locked for" in why(attempt(PIN, int(time.time())))
    assert (place.state / "console.damaged").exists()


def test_typed_lines_wait_for_the_daemon_in_order_and_are_forgotten_one_by_one(tmp_path: Path) -> None:
    book = GuestBook(tmp_path)
    for number in range(3):
        book.spool(Typed("s1", "wei", f"line {number}", NOW + number))
    taken: list[str] = []

    def take(typed: Typed) -> None:
        if typed.line == "line 2":
            raise ConnectionError
        taken.append(typed.line)

    with pytest.raises(ConnectionError):
        book.hand_over(take)
    book.hand_over(lambda typed: taken.append(typed.line))
    assert taken == ["line 0", "line 1", "line 2"]
    with sqlite3.connect(tmp_path / "console.db") as rows:
        assert rows.execute("SELECT count(*) FROM typed").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("journal 20", "journal 20"),
        (PIN, "<digits>"),
        ("login " + PIN, "login <digits>"),
        (PIN + "q", "<digits>q"),
        ("provision" + PIN, "provision<digits>"),
        ("4111111111111111", "<digits>"),
        ("store withdraw 11010519491231002X", "store withdraw <digits>X"),
        ("refund o1800000000-5f2c81a09be4", "refund o1800000000-5f2c81a09be4"),
        (tickets.make_login(FLEET, BOX, "wei", 600, NOW), "<ticket>"),
        ("-----BEGIN KINGFISHER LOGIN-----", "<block>"),
        ("MIHrMIGeAgEAMB4xHDAaBgNVBAMME2tmLW1keWo0cGRhNnljcTZ5NHQwKjAFBgMr", "<long>"),
    ],
)
def test_the_journal_gets_no_ticket_no_key_and_no_pin(typed: str, kept: str) -> None:
    assert masked(typed) == kept

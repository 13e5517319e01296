"""`step(state, event, now) -> (state, effects)` for one enrolment. Pure, like the payment core; times in monotonic s.

First whoever has the authority types a PIN, if one is wanted; for a child a guardian says who they are; then consent,
face and PIN. The face's embeddings never pass through here: `Captured` says that they are there, `Enrol` that they may
be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from daemon.gate.agreement import Terms

AUTHORITY_S = 60.0
CONSENT_S = 60.0
SIGN_UP_S = 20.0  # somebody may wait behind whoever signs up
CAPTURE_S = 60.0
PIN_S = 60.0
STORE_S = 20.0  # a slow board needs two for the PIN's hash, and its card one for the syncs
SHOW_S = 4.0
PIN_MIN = 4
PIN_MAX = 6
AUTHORITY_MIN, AUTHORITY_MAX = 6, 12
GUARDIANS = {"1": "parent", "2": "legal_guardian"}  # key -> who consents, by role


@dataclass(frozen=True, slots=True)
class Request:
    """What the fleet asked for; `expires_s` is on the monotonic clock. With `authority` clerk, a clerk or a technician
    types a PIN first. `order_id`: whoever paid that order has asked for it, at this very counter."""

    command_id: str
    handle: str
    purposes: tuple[str, ...]
    notice_version: str
    expires_s: float
    under_14: bool = False
    authority: Literal["fleet", "clerk"] = "fleet"
    order_id: str | None = None
    terms: Terms | None = None  # of a gate, where the purposes name it
    kept_elsewhere: bool = False  # by the gateway's matcher: this box keeps nobody


@dataclass(frozen=True, slots=True)
class Word:
    """On whose word a person is enrolled, by role: who let it happen, and who consented for a child."""

    authority: str = "fleet"
    guardian: str | None = None


@dataclass(frozen=True, slots=True)
class Authorising:
    """`wrong_tries_left` is None until a PIN was wrong."""

    request: Request
    until_s: float
    typed: str = field(default="", repr=False)
    checking: bool = False
    wrong_tries_left: int | None = None


@dataclass(frozen=True, slots=True)
class AskingGuardian:
    """Who consents for the child?"""

    request: Request
    until_s: float
    word: Word


@dataclass(frozen=True, slots=True)
class Consenting:
    request: Request
    until_s: float
    word: Word = Word()


@dataclass(frozen=True, slots=True)
class Capturing:
    request: Request
    until_s: float
    word: Word = Word()
    hint: str | None = None
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class NewPin:
    """`first` is empty until it was typed once."""

    request: Request
    until_s: float
    word: Word = Word()
    first: str = field(default="", repr=False)
    typed: str = field(default="", repr=False)
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class Storing:
    request: Request
    until_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """`reason` is `done` or why not; `late`: the store has not answered, and is reported once it does."""

    request: Request
    reason: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more to show: the counter is free."""


State = Authorising | AskingGuardian | Consenting | Capturing | NewPin | Storing | Ended | Over


@dataclass(frozen=True, slots=True)
class Key:
    key: str


@dataclass(frozen=True, slots=True)
class AuthorityChecked:
    """`role` is whose PIN it was, None when nobody's; `left` counts the tries after this one."""

    command_id: str
    role: str | None
    left: int = 0


@dataclass(frozen=True, slots=True)
class CaptureHint:
    command_id: str
    hint: str | None
    progress: float


@dataclass(frozen=True, slots=True)
class Captured:
    command_id: str


@dataclass(frozen=True, slots=True)
class CaptureRefused:
    command_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    command_id: str


@dataclass(frozen=True, slots=True)
class StoreFailed:
    command_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    pass


Event = Key | AuthorityChecked | CaptureHint | Captured | CaptureRefused | Stored | StoreFailed | Tick


@dataclass(frozen=True, slots=True)
class CheckAuthority:
    """Is this a clerk's or a technician's PIN?"""

    command_id: str
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capture:
    """Start taking the new payer's face."""

    command_id: str


@dataclass(frozen=True, slots=True)
class StopCapture:
    """The camera is not needed any more."""


@dataclass(frozen=True, slots=True)
class Enrol:
    """Consent, face and PIN are there: make the record."""

    request: Request
    word: Word
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the fleet how it ended: `enrol.done`, `enrol.cancelled` or `enrol.failed`."""

    request: Request
    event: str
    reason: str


Effect = CheckAuthority | Capture | StopCapture | Enrol | Report
Result = tuple[State, tuple[Effect, ...]]


def begin(request: Request, now: float) -> State:
    """The consent screen comes first, or whoever may open it."""
    if request.authority == "clerk":
        return Authorising(request, now + AUTHORITY_S)
    return _agreeing(request, Word(), now)


def next_deadline(state: State) -> float | None:
    """When a `Tick` is wanted, in monotonic seconds."""
    match state:
        case Authorising() | AskingGuardian() | Consenting() | Capturing() | NewPin():
            return min(state.until_s, state.request.expires_s)
        case Storing() | Ended():
            return state.until_s
        case _:
            return None


def outcome(request: Request, event: Stored | StoreFailed) -> Report:
    """What the fleet is told of the store's answer."""
    match event:
        case Stored():
            return Report(request, "enrol.done", "done")
        case StoreFailed(reason=reason):
            return Report(request, "enrol.failed", reason)


def step(state: State, event: Event, now: float) -> Result:
    """An event that does not fit the state changes nothing."""
    match state, event:
        case Ended(), Key(key="ok" | "cancel"):
            return Over(), ()
        case Ended(), Tick() if state.until_s <= now:
            return Over(), ()
        case ((Authorising() | AskingGuardian() | Consenting() | Capturing() | NewPin()), Key(key="cancel")):
            return _end(state, "enrol.cancelled", "by_payer", now)
        case ((Authorising() | AskingGuardian() | Consenting() | Capturing() | NewPin()), Tick()) if (
            min(state.until_s, state.request.expires_s) <= now
        ):
            return _end(state, "enrol.cancelled", "timeout", now)
        case Authorising(checking=False), Key(key=key):
            return _authority_key(state, key, now)
        case Authorising(checking=True), AuthorityChecked() if event.command_id == state.request.command_id:
            return _authorised(state, event, now)
        case AskingGuardian(request=request), Key(key=key) if key in GUARDIANS:
            return Consenting(request, now + CONSENT_S, replace(state.word, guardian=GUARDIANS[key])), ()
        case Consenting(request=request, word=word), Key(key="ok"):
            return Capturing(request, now + CAPTURE_S, word), (Capture(request.command_id),)
        case Capturing(), CaptureHint() if event.command_id == state.request.command_id:
            return replace(state, hint=event.hint, progress=event.progress), ()
        case Capturing(), Captured() if event.command_id == state.request.command_id:
            return NewPin(state.request, now + PIN_S, state.word), (StopCapture(),)
        case Capturing(), CaptureRefused() if event.command_id == state.request.command_id:
            return _end(state, "enrol.failed", event.reason, now)
        case NewPin(), Key(key=key):
            return _pin_key(state, key, now)
        case ((Storing() | Ended(reason="late")), (Stored() | StoreFailed())) if (
            event.command_id == state.request.command_id
        ):
            report = outcome(state.request, event)
            return Ended(state.request, report.reason, now + SHOW_S), (report,)
        case Storing(), Tick() if state.until_s <= now:
            return Ended(state.request, "late", now + SHOW_S), ()
        case _:
            return state, ()


def _agreeing(request: Request, word: Word, now: float) -> State:
    if request.under_14:
        return AskingGuardian(request, now + CONSENT_S, word)
    return Consenting(request, now + (SIGN_UP_S if request.order_id else CONSENT_S), word)


def _authority_key(state: Authorising, key: str, now: float) -> Result:
    fresh = replace(state, until_s=now + AUTHORITY_S)
    match key:
        case "back":
            return replace(fresh, typed=state.typed[:-1]), ()
        case "ok" if len(state.typed) >= AUTHORITY_MIN:
            checking = replace(fresh, typed="", checking=True)
            return checking, (CheckAuthority(state.request.command_id, state.typed),)
        case _ if len(key) == 1 and key in "0123456789" and len(state.typed) < AUTHORITY_MAX:
            return replace(fresh, typed=state.typed + key), ()
        case _:
            return state, ()


def _authorised(state: Authorising, event: AuthorityChecked, now: float) -> Result:
    if event.role is not None:
        return _agreeing(state.request, Word(event.role), now), ()
    if event.left <= 0:
        return _end(state, "enrol.failed", "authority_locked", now)
    return Authorising(state.request, now + AUTHORITY_S, wrong_tries_left=event.left), ()


def _pin_key(state: NewPin, key: str, now: float) -> Result:
    fresh = replace(state, until_s=now + PIN_S)
    match key:
        case "back":
            return replace(fresh, typed=state.typed[:-1]), ()
        case "ok" if len(state.typed) < PIN_MIN:
            return state, ()
        case "ok" if not state.first:
            return replace(fresh, first=state.typed, typed="", mismatch=False), ()
        case "ok" if state.typed != state.first:
            return replace(fresh, first="", typed="", mismatch=True), ()
        case "ok":
            return Storing(state.request, now + STORE_S), (Enrol(state.request, state.word, state.typed),)
        case _ if len(key) == 1 and key in "0123456789" and len(state.typed) < PIN_MAX:
            return replace(fresh, typed=state.typed + key, mismatch=False), ()
        case _:
            return state, ()


def _end(
    state: Authorising | AskingGuardian | Consenting | Capturing | NewPin, event: str, reason: str, now: float
) -> Result:
    stop: tuple[Effect, ...] = (StopCapture(),) if isinstance(state, Capturing) else ()
    return Ended(state.request, reason, now + SHOW_S), (*stop, Report(state.request, event, reason))

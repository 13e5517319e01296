"""`step(state, event, now) -> (state, effects)` for one enrolment. Pure, like the payment core; times in monotonic s.

The face's embeddings never pass through here: `Captured` says that they are there, `Enrol` that they may be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

CONSENT_S = 60.0
CAPTURE_S = 60.0
PIN_S = 60.0
SHOW_S = 4.0
PIN_MIN = 4
PIN_MAX = 6


@dataclass(frozen=True, slots=True)
class Request:
    """What the fleet asked for; `expires_s` is on the monotonic clock."""

    command_id: str
    handle: str
    purposes: tuple[str, ...]
    notice_version: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class Consenting:
    request: Request
    until_s: float


@dataclass(frozen=True, slots=True)
class Capturing:
    request: Request
    until_s: float
    hint: str | None = None
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class NewPin:
    """`first` is empty until it was typed once."""

    request: Request
    until_s: float
    first: str = field(default="", repr=False)
    typed: str = field(default="", repr=False)
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class Storing:
    request: Request


@dataclass(frozen=True, slots=True)
class Ended:
    """`reason` is `done` or why not."""

    request: Request
    reason: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more to show: the counter is free."""


State = Consenting | Capturing | NewPin | Storing | Ended | Over


@dataclass(frozen=True, slots=True)
class Key:
    key: str


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


Event = Key | CaptureHint | Captured | CaptureRefused | Stored | StoreFailed | Tick


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
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the fleet how it ended: `enrol.done`, `enrol.cancelled` or `enrol.failed`."""

    request: Request
    event: str
    reason: str


Effect = Capture | StopCapture | Enrol | Report
Result = tuple[State, tuple[Effect, ...]]


def begin(request: Request, now: float) -> State:
    """The consent screen comes first."""
    return Consenting(request, now + CONSENT_S)


def next_deadline(state: State) -> float | None:
    """When a `Tick` is wanted, in monotonic seconds."""
    match state:
        case Consenting() | Capturing() | NewPin():
            return min(state.until_s, state.request.expires_s)
        case Ended():
            return state.until_s
        case _:
            return None


def step(state: State, event: Event, now: float) -> Result:
    """An event that does not fit the state changes nothing."""
    match state, event:
        case Ended(), Key(key="ok" | "cancel"):
            return Over(), ()
        case Ended(), Tick() if state.until_s <= now:
            return Over(), ()
        case ((Consenting() | Capturing() | NewPin()), Key(key="cancel")):
            return _end(state, "enrol.cancelled", "by_payer", now)
        case ((Consenting() | Capturing() | NewPin()), Tick()) if min(state.until_s, state.request.expires_s) <= now:
            return _end(state, "enrol.cancelled", "timeout", now)
        case Consenting(request=request), Key(key="ok"):
            return Capturing(request, now + CAPTURE_S), (Capture(request.command_id),)
        case Capturing(), CaptureHint() if event.command_id == state.request.command_id:
            return replace(state, hint=event.hint, progress=event.progress), ()
        case Capturing(), Captured() if event.command_id == state.request.command_id:
            return NewPin(state.request, now + PIN_S), (StopCapture(),)
        case Capturing(), CaptureRefused() if event.command_id == state.request.command_id:
            return _end(state, "enrol.failed", event.reason, now)
        case NewPin(), Key(key=key):
            return _pin_key(state, key, now)
        case Storing(), Stored() if event.command_id == state.request.command_id:
            return _end(state, "enrol.done", "done", now)
        case Storing(), StoreFailed() if event.command_id == state.request.command_id:
            return _end(state, "enrol.failed", event.reason, now)
        case _:
            return state, ()


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
            return Storing(state.request), (Enrol(state.request, state.typed),)
        case _ if len(key) == 1 and key in "0123456789" and len(state.typed) < PIN_MAX:
            return replace(fresh, typed=state.typed + key, mismatch=False), ()
        case _:
            return state, ()


def _end(state: Consenting | Capturing | NewPin | Storing, event: str, reason: str, now: float) -> Result:
    stop: tuple[Effect, ...] = (StopCapture(),) if isinstance(state, Capturing) else ()
    return Ended(state.request, reason, now + SHOW_S), (*stop, Report(state.request, event, reason))

"""What can come off the main loop's queue: every kind of event, and which of them only the newest counts of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.books.scribe import Written
from daemon.config.applier import ConfigNews
from daemon.console.lending import Borrow, GiveBack
from daemon.counter.catalogue import Catalogue
from daemon.errands import EnrolAnswer, EraseAnswer, PayerAnswer
from daemon.gate.door import GateMoved
from daemon.gate.reading import AgreementRead
from daemon.open_loop.desk import Recognised
from daemon.people.face_watch import FacesLoading, News, Seen
from daemon.till.words import Request
from daemon.uplink.contract import CatalogueOffer
from daemon.uplink.fleet_link import LinkState, Message, TimeDoubted
from pipeline.decision import Challenge, Guidance


@dataclass(frozen=True, slots=True)
class KeypadKey:
    key: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """A barcode or a payer's code, from the scanner."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TillSaid:
    """The till on the box's line wants something."""

    request: Request


@dataclass(frozen=True, slots=True)
class ConditionChanged:
    """A part failed (`present`) or works again."""

    name: str
    present: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class LookedAround:
    """Everything that is looked after in this process was looked at once."""


@dataclass(frozen=True, slots=True)
class RefundWanted:
    """Somebody with the authority for it (`clerk`, `technician`) wants an order paid back; `answer` gets one word."""

    order_id: str
    authority: str
    answer: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ClerkChecked:
    """Whose PIN was typed at the counter, None when nobody's; `check` is the try, `left` how many are left."""

    check: int
    role: str | None
    left: int


@dataclass(frozen=True, slots=True)
class CatalogueBrought:
    """What became of an offer: it is on disk and counts from the next cart on, or why not, an error a line."""

    offer: CatalogueOffer
    catalogue: Catalogue | None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop; `fault` makes the process fail, so that it is started anew."""

    fault: str | None = None


BoxEvent = (
    KeypadKey | Scanned | TillSaid | News | Message | LinkState
    | TimeDoubted | Written | PayerAnswer | Recognised | AgreementRead | GateMoved | EnrolAnswer | EraseAnswer
    | ConfigNews | ConditionChanged | LookedAround | RefundWanted | ClerkChecked | CatalogueBrought | Borrow | GiveBack
    | Stop
)  # fmt: skip


def newest_only(event: BoxEvent) -> object | None:
    """Of guidance, and of doubts about the time, only the last counts."""
    if isinstance(event, TimeDoubted):
        return TimeDoubted
    if isinstance(event, FacesLoading):
        return event.wanted
    return event.wanted if isinstance(event, Seen) and isinstance(event.observation, Guidance | Challenge) else None

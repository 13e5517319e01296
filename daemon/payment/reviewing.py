"""What a member pays: asked for as soon as one payer is known, shown with its reasons, agreed to with a key.

The gateway alone reckons. Its quote is believed for this order, this payer and until it expires; what was not agreed to
on the display is never asked for. Where no quote comes in time, the whole amount is paid, and the journal says so.
"""

from __future__ import annotations

from dataclasses import replace

from daemon.payment import capture
from daemon.payment.closing import close, is_offline, persist
from daemon.payment.effects import AskQuote, Effect, Noted
from daemon.payment.events import Quoted
from daemon.payment.flows import TOPUP
from daemon.payment.money import Amount, decimals
from daemon.payment.order import Price, Quote, Turn
from daemon.payment.state import COLLECTING, Result, Reviewing, State
from daemon.payment.status import Status

POINTS_KEY = "1"


def asked(state: State, turn: Turn, now: float) -> tuple[Turn, tuple[Effect, ...]]:
    """Asks once it is known whose coupons count: while the payer still types, nobody waits for the answer."""
    known, order = turn.known, turn.order
    if (
        state.rules.quote_s <= 0 or order.amount is None or len(known.candidates) != 1
        or known.price.asked_s is not None or state.offline_since is not None or turn.flow == TOPUP.name
    ):  # fmt: skip
        return turn, ()
    turn = replace(turn, known=replace(known, price=Price(asked_s=now)))
    return turn, (AskQuote(order.order_id, known.candidates[0].payer),)


def begin(state: State, turn: Turn, now: float) -> Result:
    """Every step of the flow is done: the price comes next, then the money."""
    price = turn.known.price
    if turn.order.amount is None or price.asked_s is None or is_offline(state, now):
        return _whole(state, turn, now)
    if price.quote is not None:
        return _shown(state, turn, price.quote, now)
    waiting = Reviewing(turn, price.asked_s + state.rules.quote_s, checking=True)
    if waiting.until_s <= now:
        return unanswered(state, waiting, now)
    return replace(state, stage=waiting), ()


def quoted(state: State, event: Quoted, now: float) -> Result:
    """A quote that was asked for, for whoever is at the counter; any other has no effect."""
    stage = state.stage
    if not isinstance(stage, COLLECTING) or not _fits(stage.turn, event, now):
        return state, ()
    turn = _priced(stage.turn, replace(stage.turn.known.price, quote=event.quote))
    if isinstance(stage, Reviewing):
        return _shown(state, turn, event.quote, now)
    return replace(state, stage=replace(stage, turn=turn)), ()


def unanswered(state: State, stage: Reviewing, now: float) -> Result:
    """Nobody has said in time: what was quoted before stands, else the whole amount."""
    turn, price = stage.turn, stage.turn.known.price
    noted = Noted("quote_missing", {"order_id": turn.order.order_id, "attempt": turn.attempt, "reason": "no_answer"})
    state, effects = persist(state, (noted,))
    if price.before is not None and price.before.expires_s > now:
        before = replace(price, quote=price.before, before=None, spends_points=price.before.spends_points)
        state, more = _shown(state, _priced(turn, before), price.before, now)
    else:
        state, more = _whole(state, turn, now)
    return state, effects + more


def key(state: State, stage: Reviewing, name: str, now: float) -> Result:
    """OK agrees to what is shown; 1 spends the payer's points on it, or does not after all."""
    quote = stage.turn.known.price.quote
    if quote is None:
        return state, ()
    if name == "ok" and quote.expires_s <= now:
        return _ask_again(state, stage.turn, quote.spends_points, None, now)
    if name == "ok":
        return _agreed(state, stage.turn, quote, now)
    if name == POINTS_KEY and quote.points_off_minor > 0:
        return _ask_again(state, stage.turn, not quote.spends_points, quote, now)
    return state, ()


def worth_asking(quote: Quote) -> bool:
    """Points alone stop a payer only where they are worth a whole unit of the currency."""
    return quote.points_off_minor >= int(10 ** decimals(quote.amount.currency))


def _agreed(state: State, turn: Turn, quote: Quote, now: float) -> Result:
    assert turn.order.amount is not None
    agreed = quote if quote.amount != turn.order.amount else None
    facts: dict[str, str | int] = {"order_id": turn.order.order_id, "attempt": turn.attempt}
    facts |= {"minor": quote.amount.minor, "off": turn.order.amount.minor - quote.amount.minor}
    facts |= {"lines": ",".join(f"{line.reason}:{line.off_minor}" for line in quote.lines)}
    state, effects = persist(state, (Noted("quote_agreed", facts | {"quote": quote.quote_id or ""}),))
    if agreed is not None and is_offline(state, now):  # nobody can be asked for a lower sum
        state, more = close(state, turn, Status.CANCELLED, "offline", now)
    else:
        state, more = capture.finish(state, _priced(turn, replace(turn.known.price, agreed=agreed)), now)
    return state, effects + more


def _shown(state: State, turn: Turn, quote: Quote, now: float) -> Result:
    if quote.expires_s <= now:
        return _ask_again(state, turn, quote.spends_points, None, now)
    if quote.amount == turn.order.amount and not quote.spends_points and not worth_asking(quote):
        return _whole(state, turn, now)
    return replace(state, stage=Reviewing(turn, now + state.rules.pin_s)), ()


def _ask_again(state: State, turn: Turn, spends_points: bool, before: Quote | None, now: float) -> Result:
    price = Price(asked_s=now, spends_points=spends_points, before=before)
    waiting = Reviewing(_priced(turn, price), now + state.rules.quote_s, checking=True)
    payer = turn.known.candidates[0].payer
    return replace(state, stage=waiting), (AskQuote(turn.order.order_id, payer, spends_points),)


def _whole(state: State, turn: Turn, now: float) -> Result:
    return capture.finish(state, _priced(turn, Price()), now)


def _fits(turn: Turn, event: Quoted, now: float) -> bool:
    """Whether this is the answer that the counter waits for, and says what a quote may say."""
    known, quote, listed = turn.known, event.quote, turn.order.amount
    return (
        event.order_id == turn.order.order_id
        and known.price.asked_s is not None and known.price.quote is None
        and [one.payer for one in known.candidates] == [event.payer]
        and quote.spends_points == known.price.spends_points
        and quote.expires_s > now
        and listed is not None and _adds_up(listed, quote)
    )  # fmt: skip


def _adds_up(listed: Amount, quote: Quote) -> bool:
    """The order's currency, the sum of what each line takes off, and an id where anything is."""
    off = listed.minor - quote.amount.minor
    lines = sum(line.off_minor for line in quote.lines)
    return quote.amount.currency == listed.currency and off == lines >= 0 and (off == 0 or quote.quote_id is not None)


def _priced(turn: Turn, price: Price) -> Turn:
    return replace(turn, known=replace(turn.known, price=price))

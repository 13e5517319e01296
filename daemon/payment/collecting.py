"""Identity and factor, in the order the flow says: from the first step of a turn to the moment money may move."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar, assert_never

from daemon.payment import capture, reviewing
from daemon.payment.closing import ENTRY_KEYS, close, is_busy, is_offline, leaving, persist
from daemon.payment.effects import (
    Change,
    CheckFactor,
    FindPayer,
    ListBanks,
    Noted,
    TriesCleared,
    TrySpared,
    Watch,
)
from daemon.payment.events import FaceDecided, FaceHint, FaceOutcome, FactorChecked, FactorOutcome, PayerFound
from daemon.payment.flows import CODES, FLOWS, TOPUP, Step, needs_camera
from daemon.payment.order import Bank, Identified, Known, Turn
from daemon.payment.policy import Case, Factor, rule, stricter
from daemon.payment.state import (
    AskFactor,
    AskPayer,
    ChooseBank,
    ChooseWay,
    Collecting,
    Looking,
    Result,
    Reviewing,
    Rules,
    ScanCode,
    Showing,
    State,
)
from daemon.payment.status import Status

_FACE_REASONS = {
    FaceOutcome.STRANGER: "not_recognised",
    FaceOutcome.SPOOF: "spoof",
    FaceOutcome.AMBIGUOUS: "ambiguous",
}
_LOCKED = {Factor.PIN: "pin_locked", Factor.ID_CARD: "card_locked"}
T = TypeVar("T")
AFTER_CHALLENGE_S = 3.0
PHONES = frozenset({Factor.PHONE4, Factor.PHONE11})
PHONE_DIGITS = (7, 15)  # ITU-T E.164; a number on the mainland has 11
CARD_LENGTH = (4, 18)  # GB 11643 has 18


def enter(state: State, turn: Turn, now: float) -> Result:
    """The stage of the turn's next step. Every stage has an epoch of its own."""
    leave = leaving(state)
    state = replace(state, epoch=state.epoch + 1)
    state, effects = _enter(state, turn, now)
    return state, leave + effects


def _enter(state: State, turn: Turn, now: float) -> Result:
    rules, order_id = state.rules, turn.order.order_id
    steps = FLOWS[turn.flow].steps
    if turn.step >= len(steps):
        return reviewing.begin(state, turn, now)
    match steps[turn.step]:
        case Step.FACE:
            looking = Looking(turn, now + rules.look_s)
            return replace(state, stage=looking), (Watch(order_id, state.epoch, turn.known.claimed),)
        case Step.PHONE:
            return replace(state, stage=AskPayer(turn, Step.PHONE, now + rules.pin_s, typed=turn.order.phone)), ()
        case Step.CARD:
            return replace(state, stage=AskPayer(turn, Step.CARD, now + rules.pin_s)), ()
        case Step.FACTOR:
            return _ask_for_factor(state, turn, Factor.NONE, now)
        case Step.PIN:
            return _ask_for_factor(state, turn, Factor.PIN, now)
        case Step.BANK:
            choosing = ChooseBank(turn, now + rules.pin_s)
            return replace(state, stage=choosing), (ListBanks(order_id, state.epoch, turn.known.candidates[0].payer),)
        case Step.SCAN_CODE:
            return replace(state, stage=ScanCode(turn, now + rules.pin_s)), ()
        case Step.SHOW_CODE:
            return capture.show_code(state, turn, now)
        case other:
            assert_never(other)


def went_on(state: State, turn: Turn, known: Known, now: float) -> Result:
    """The step is done; `known` is what is known after it."""
    turn, asked = reviewing.asked(state, replace(turn, step=turn.step + 1, known=known), now)
    state, effects = enter(state, turn, now)
    return state, effects + asked


# ---- who it is ------------------------------------------------------------------------------------------------------


def face_hinted(state: State, stage: Looking, event: FaceHint) -> State:
    """Who was asked to turn and blink late in the look has the time for it, and for the frames that decide then."""
    until_s = stage.until_s if event.until_s is None else max(stage.until_s, event.until_s + AFTER_CHALLENGE_S)
    stage = replace(stage, hint=event.hint, until_s=until_s, done=event.done, steps=event.steps)
    return replace(state, stage=stage)


def face_decided(state: State, stage: Looking, event: FaceDecided, now: float) -> Result:
    turn, who = stage.turn, event.who
    claimed = turn.known.claimed
    seen = tuple(one for one in (who, event.rival) if one is not None)
    candidates = tuple(one for one in seen if claimed is None or one.payer == claimed)
    unnamed = event.outcome is FaceOutcome.AMBIGUOUS and len(candidates) < 2  # nothing could single one out
    if who is None or not candidates or unnamed or event.outcome in (FaceOutcome.STRANGER, FaceOutcome.SPOOF):
        return retry_or_close(state, turn, _FACE_REASONS.get(event.outcome, "not_recognised"), now)
    around = replace(event.around, online=not is_offline(state, now))
    factors = (*turn.known.factors, "face")
    return went_on(state, turn, replace(turn.known, candidates=candidates, factors=factors, around=around), now)


def face_unavailable(state: State, stage: Looking | AskPayer | AskFactor, reason: str, now: float) -> Result:
    """Without a face the ways that need none are offered; where there are none, the order ends."""
    rules = state.rules
    noted = Noted("face_unavailable", {"order_id": stage.turn.order.order_id, "reason": reason})
    ways = tuple(way for way in ways_out(rules, stage.turn) if not needs_camera(FLOWS[way]))
    if not ways:
        return close(state, stage.turn, Status.CANCELLED, reason, now)
    turn = replace(stage.turn, flow=ways[0], step=0, known=Known())
    state, effects = persist(state, (noted,))
    if len(ways) == 1:
        state, more = enter(state, turn, now)
        return state, effects + more
    leave = leaving(state)
    return replace(state, epoch=state.epoch + 1, stage=ChooseWay(turn, now + rules.pin_s, ways)), leave + effects


def retry_or_close(state: State, turn: Turn, reason: str, now: float) -> Result:
    """A refused face: shown, and looked at again until `max_looks`."""
    turn = replace(turn, looks=turn.looks + 1)
    noted = Noted("face_refused", {"order_id": turn.order.order_id, "reason": reason, "look": turn.looks})
    state, effects = persist(state, (noted,))
    if turn.looks >= state.rules.max_looks:
        state, more = close(state, turn, Status.CANCELLED, reason, now)
        return state, effects + more
    leave = leaving(state)
    stage = Showing(turn.order, Status.OPEN, reason, now + state.rules.show_s, then=turn)
    return replace(state, stage=stage), leave + effects


def payer_found(state: State, stage: AskPayer, event: PayerFound, now: float) -> Result:
    if not stage.checking:
        return state, ()
    turn, rules = stage.turn, state.rules
    if event.payer is None:
        turn = replace(turn, looks=turn.looks + 1)
        noted = Noted("payer_unknown", {"order_id": turn.order.order_id, "by": stage.by.value, "look": turn.looks})
        state, effects = persist(state, (noted,))
        if turn.looks >= rules.max_looks:
            state, more = close(state, turn, Status.CANCELLED, "not_recognised", now)
            return state, effects + more
        again = AskPayer(turn, stage.by, now + rules.pin_s, unknown=True)
        return replace(state, stage=again), effects
    return went_on(state, turn, replace(turn.known, claimed=event.payer, factors=(_proof(stage),)), now)


def _proof(stage: AskPayer) -> str:
    """A number that came with the order, unedited, says who claims to pay and proves nothing."""
    if stage.by is Step.CARD:
        return "id_card"
    return "phone_login" if stage.typed == stage.turn.order.phone else "phone11"


def code_scanned(state: State, text: str, now: float) -> Result:
    """A card where one is asked for, a payer's code where that is; anything else at another time is nobody's."""
    match state.stage:
        case AskPayer(by=Step.CARD, checking=False) as stage if CARD_LENGTH[0] <= len(text) <= CARD_LENGTH[1]:
            return _find(state, replace(stage, typed=text.upper()), now)
        case ScanCode(turn) if 8 <= len(text) <= 64 and text.isascii() and text.isalnum():
            return capture.pay_by_code(state, turn, text, now)
        case _:
            return state, ()


# ---- what the payer knows -------------------------------------------------------------------------------------------


def _ask_for_factor(state: State, turn: Turn, at_least: Factor, now: float) -> Result:
    known, flow = turn.known, FLOWS[turn.flow]
    case = Case(turn.order.amount, turn.flow, known.candidates[0], len(known.candidates) > 1, known.around)
    ruling = rule(state.rules.policy, case, stricter(at_least, flow.at_least))
    facts: dict[str, str | int] = {"order_id": turn.order.order_id, "attempt": turn.attempt, "flow": turn.flow}
    facts |= {"factor": ruling.factor.value, "rule": ruling.rule}
    if ruling.raised_by:
        facts["raised_by"] = ruling.raised_by
    if state.rules.policy.fingerprint:
        facts["policy"] = state.rules.policy.fingerprint[:16]
    state, effects = persist(state, (Noted("ruling", facts),))
    if ruling.factor is Factor.REFUSE:
        state, more = close(state, turn, Status.CANCELLED, ruling.rule, now, ruling.sentence)
    elif ruling.factor is Factor.NONE or _is_proven(ruling.factor, known):
        state, more = went_on(state, turn, known, now)
    else:
        state, more = replace(state, stage=AskFactor(turn, ruling.factor, now + state.rules.pin_s)), ()
    return state, effects + more


def _is_proven(factor: Factor, known: Known) -> bool:
    """Whether what was typed or read at the start of the flow is that factor already. Twins are never told apart so."""
    if len(known.candidates) != 1:
        return False
    return factor.value in known.factors or (factor is Factor.PHONE4 and Factor.PHONE11.value in known.factors)


def factor_checked(state: State, stage: AskFactor, event: FactorChecked, now: float) -> Result:
    if not stage.checking:
        return state, ()
    turn, factor = stage.turn, stage.factor
    order_id = turn.order.order_id
    match event.outcome:
        case FactorOutcome.OK | FactorOutcome.DURESS:
            return _factor_proven(state, stage, event, now)
        case FactorOutcome.WRONG:
            name = "pin_wrong" if factor is Factor.PIN else "factor_wrong"
            facts: dict[str, str | int] = {"order_id": order_id, "tries_left": event.tries_left}
            state, effects = persist(state, (Noted(name, facts | {"factor": factor.value}),))
            again = replace(stage, checking=False, wrong_tries_left=event.tries_left, until_s=now + state.rules.pin_s)
            return replace(state, stage=again), effects
        case FactorOutcome.LOCKED:
            return close(state, turn, Status.CANCELLED, _LOCKED.get(factor, "phone_locked"), now)
        case FactorOutcome.NONE_SET if factor in PHONES:
            # No number is known of this payer: the next stronger factor decides.
            stage = AskFactor(turn, Factor.PIN, now + state.rules.pin_s)
            return replace(state, epoch=state.epoch + 1, stage=stage), ()
        case FactorOutcome.NONE_SET:
            return close(state, turn, Status.CANCELLED, f"no_{factor.value}_set", now)
        case FactorOutcome.BOTH:
            return close(state, turn, Status.CANCELLED, "ambiguous", now)
        case _:
            assert_never(event.outcome)


def _factor_proven(state: State, stage: AskFactor, event: FactorChecked, now: float) -> Result:
    """Exactly one candidate is left. The try that was counted against a look-alike is taken back, and no more."""
    known = stage.turn.known
    found = _single_out(known.candidates, event.payer)
    if found is None:
        return close(state, stage.turn, Status.CANCELLED, "ambiguous", now)
    changes: tuple[Change, ...] = (TriesCleared(found.payer, stage.factor),)
    changes += tuple(
        TrySpared(other.payer, stage.factor)
        for other in known.candidates if other != found and other.payer in event.counted
    )  # fmt: skip
    state, effects = persist(state, changes)
    known = replace(
        known, candidates=(found,), factors=(*known.factors, stage.factor.value),
        duress=known.duress or event.outcome is FactorOutcome.DURESS,
    )  # fmt: skip
    state, more = went_on(state, stage.turn, known, now)
    return state, effects + more


def _single_out(candidates: tuple[Identified, ...], payer: str | None) -> Identified | None:
    if payer is None:
        return candidates[0] if len(candidates) == 1 else None
    return next((one for one in candidates if one.payer == payer), None)


def banks_listed(state: State, stage: ChooseBank, banks: tuple[Bank, ...], now: float) -> Result:
    if stage.banks is not None:
        return state, ()
    if not banks:
        return close(state, stage.turn, Status.CANCELLED, "no_bank_bound", now)
    if len(banks) == 1:
        return went_on(state, stage.turn, replace(stage.turn.known, bank=banks[0]), now)
    return replace(state, stage=replace(stage, banks=banks[:9], until_s=now + state.rules.pin_s)), ()


# ---- keys -----------------------------------------------------------------------------------------------------------


def key(state: State, stage: Collecting, name: str, now: float) -> Result:
    """A key while something is collected. `cancel` ends the order, `menu` offers the other ways."""
    if is_busy(state):
        return state, ()
    if name == "cancel":
        return close(state, stage.turn, Status.CANCELLED, "by_payer", now)
    if name == "menu":
        return _offer_ways(state, stage, now)
    match stage:
        case AskFactor():
            return _factor_key(state, stage, name, now)
        case AskPayer():
            return _payer_key(state, stage, name, now)
        case ChooseWay(ways=ways):
            return _way_key(state, stage, ways, name, now)
        case ChooseBank(turn, banks=banks):
            chosen = _chosen(banks or (), name)
            return (state, ()) if chosen is None else went_on(state, turn, replace(turn.known, bank=chosen), now)
        case Reviewing():
            return reviewing.key(state, stage, name, now)
        case Looking() | ScanCode():
            return state, ()
        case _:
            assert_never(stage)


def ways_out(rules: Rules, turn: Turn) -> tuple[str, ...]:
    """What the menu offers for this turn. A code needs money, and a merchant that its payer's app can pay; there is no
    other way to top up."""
    if turn.flow == TOPUP.name:
        return ()
    return tuple(
        way for way in rules.ways
        if not CODES & set(FLOWS[way].steps)
        or (turn.order.amount is not None and (way != "qr_shown" or rules.merchant is not None))
    )  # fmt: skip


def _offer_ways(state: State, stage: Collecting, now: float) -> Result:
    ways = ways_out(state.rules, stage.turn)
    if isinstance(stage, ChooseWay) or len(ways) < 2:
        return state, ()
    leave = leaving(state)
    choose = ChooseWay(stage.turn, now + state.rules.pin_s, ways[:9])
    return replace(state, epoch=state.epoch + 1, stage=choose), leave


def _way_key(state: State, stage: ChooseWay, ways: tuple[str, ...], name: str, now: float) -> Result:
    """`back` starts the way that was left over again."""
    way = stage.turn.flow if name == "back" else _chosen(ways, name)
    if way is None:
        return state, ()
    noted = Noted("way_chosen", {"order_id": stage.turn.order.order_id, "flow": way})
    state, effects = persist(state, (noted,))
    state, more = enter(state, replace(stage.turn, flow=way, step=0, known=Known()), now)
    return state, effects + more


def _factor_key(state: State, stage: AskFactor, name: str, now: float) -> Result:
    rules = state.rules
    shortest, longest = _lengths(stage.factor, rules)
    after = _typed(stage.typed, name, longest, stage.factor is Factor.ID_CARD)
    if name == "ok" and len(stage.typed) >= shortest:
        payers = tuple(one.payer for one in stage.turn.known.candidates)
        check = CheckFactor(stage.turn.order.order_id, state.epoch, payers, stage.factor, stage.typed)
        waiting = replace(stage, typed="", checking=True, until_s=now + rules.pin_s)
        return replace(state, stage=waiting), (check,)
    if after is None:
        return state, ()
    wrong = stage.wrong_tries_left if name == "back" else None
    return replace(state, stage=replace(stage, typed=after, until_s=now + rules.pin_s, wrong_tries_left=wrong)), ()


def _payer_key(state: State, stage: AskPayer, name: str, now: float) -> Result:
    shortest, longest = CARD_LENGTH if stage.by is Step.CARD else PHONE_DIGITS
    if name == "ok" and len(stage.typed) >= shortest:
        return _find(state, stage, now)
    after = _typed(stage.typed, name, longest, stage.by is Step.CARD)
    if after is None:
        return state, ()
    return replace(state, stage=replace(stage, typed=after, until_s=now + state.rules.pin_s, unknown=False)), ()


def _find(state: State, stage: AskPayer, now: float) -> Result:
    find = FindPayer(stage.turn.order.order_id, state.epoch, stage.by, stage.typed)
    return replace(state, stage=replace(stage, checking=True, until_s=now + state.rules.pin_s)), (find,)


def _typed(typed: str, name: str, longest: int, letter: bool) -> str | None:
    """What stands there after a key; None where the key means nothing. `dot` is the X that ends some card numbers."""
    if name == "back":
        return typed[:-1]
    character = "X" if letter and name == "dot" else name if len(name) == 1 and name in ENTRY_KEYS else ""
    return typed + character if character and len(typed) < longest else None


def _lengths(factor: Factor, rules: Rules) -> tuple[int, int]:
    match factor:
        case Factor.PHONE4:
            return (4, 4)
        case Factor.PHONE11:
            return PHONE_DIGITS
        case Factor.ID_CARD:
            return CARD_LENGTH
        case _:
            return (rules.pin_min, rules.pin_max)


def _chosen(choices: tuple[T, ...], name: str) -> T | None:
    if len(name) != 1 or name not in ENTRY_KEYS or not 1 <= int(name) <= len(choices):
        return None
    return choices[int(name) - 1]

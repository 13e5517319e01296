"""What a payer knows or holds, held against the store: one try is on disk before anything is compared."""

from __future__ import annotations

from daemon.books import pin_tries
from daemon.payment.effects import CheckFactor, FindPayer
from daemon.payment.events import FactorChecked, FactorOutcome
from daemon.payment.flows import Step
from daemon.payment.order import Bank
from daemon.payment.policy import Factor
from daemon.people.members import PAY, Members
from daemon.people.payer_tries import PayerTries

BANK_LINK = "bank:"  # a link of the store: `bank:` and what the display says, to the token of the account
RIGHT = (FactorOutcome.OK, FactorOutcome.DURESS)
_KINDS = {Factor.PHONE4: "phone", Factor.PHONE11: "phone", Factor.ID_CARD: "id_card"}


def tries_of(payer: str, factor: Factor) -> str:
    """Under which name the tries are counted: both forms of the phone together, each other factor by itself."""
    return payer if factor is Factor.PIN else f"{payer}#{_KINDS[factor]}"


def check(tries: PayerTries, members: Members, asked: CheckFactor) -> FactorChecked:
    """Of look-alikes the factor must fit exactly one. Raises StoreError, DaemonError."""
    outcomes: dict[str, FactorOutcome] = {}
    counted: list[str] = []
    left = pin_tries.MAX_TRIES
    for payer in asked.payers:
        tried = tries.count(tries_of(payer, asked.factor))
        left = min(left, tried.left)
        counted += [payer] if tried.allowed else []
        outcomes[payer] = compare(members, payer, asked) if tried.allowed else FactorOutcome.LOCKED
    outcome, proven = single_out(outcomes)
    if outcome not in RIGHT:  # a right one is cleared, and a look-alike spared, with what it leads to
        tries.ended(outcome is FactorOutcome.WRONG, [tries_of(payer, asked.factor) for payer in counted])
    if outcome is FactorOutcome.WRONG and left == 0:
        outcome = FactorOutcome.LOCKED
    return FactorChecked(asked.order_id, asked.epoch, outcome, left, proven, tuple(counted))


def compare(members: Members, payer: str, asked: CheckFactor) -> FactorOutcome:
    """One factor of one payer; counts nothing. Raises StoreError."""
    if asked.factor is Factor.PIN:
        return members.check_pin(payer, asked.typed)
    kind = _KINDS[asked.factor]
    if kind not in members.store.factors(payer, PAY):
        return FactorOutcome.NONE_SET
    fits = members.store.check_id_card if asked.factor is Factor.ID_CARD else members.store.check_phone
    return FactorOutcome.OK if fits(payer, asked.typed, PAY) else FactorOutcome.WRONG


def single_out(outcomes: dict[str, FactorOutcome]) -> tuple[FactorOutcome, str | None]:
    """What the outcomes of all candidates mean together, and whom they prove."""
    right = [payer for payer, outcome in outcomes.items() if outcome in RIGHT]
    if len(right) == 1:
        return outcomes[right[0]], right[0]
    if right:
        return FactorOutcome.BOTH, None
    for outcome in (FactorOutcome.WRONG, FactorOutcome.LOCKED):
        if outcome in outcomes.values():
            return outcome, None
    return FactorOutcome.NONE_SET, None


def find(members: Members, asked: FindPayer) -> str | None:
    """Whose number it is; None where it is nobody's, or several people's. Raises StoreError."""
    store = members.store
    search = store.find_by_id_card if asked.by is Step.CARD else store.find_by_phone
    found = search(asked.number, PAY)
    return found[0] if len(found) == 1 else None


def banks(members: Members, payer: str) -> tuple[Bank, ...]:
    """The payer's bound banks, by name. Raises StoreError."""
    links = members.store.links(payer, PAY)
    names = sorted(name for name in links if name.startswith(BANK_LINK))
    return tuple(Bank(name.removeprefix(BANK_LINK), links[name]) for name in names)

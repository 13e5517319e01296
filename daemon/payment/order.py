"""What is to be paid, and by whom: the facts that every state of a payment carries along."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.payment.money import Amount


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it was signed by the fleet; `expires_s` is on the box's monotonic clock.

    `amount` is None for an identity check, which moves no money and whose id is its command's. `flow` is how the payer
    is to be known, None for the box's own way. `phone` is the number a member logged in with: in memory alone.
    """

    order_id: str
    amount: Amount | None
    title: str | None
    expires_s: float
    flow: str | None = None
    phone: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the daemon knows around a case: the box's hour (0..23), and payments counted on this box.

    `_day` counts the last 24 hours, `visits` the payments of 90 days; sums are in minor units of the order's currency,
    of approved payments and of those under way. `duress`: the payer was forced once, as far as this box knows.
    """

    online: bool = True
    hour: int = 12
    visits: int = 0
    payer_count_day: int = 0
    payer_sum_day: int = 0
    box_count_day: int = 0
    box_sum_day: int = 0
    duress: bool = False


@dataclass(frozen=True, slots=True)
class Identified:
    """What the pipeline proved: the payer's opaque handle, and how sure it is (cosines in -1..1, liveness in 0..1).
    `challenged`: this face turned and blinked as it was asked to; `relief`: the camera's depth spoke for it.
    `face_token` is the gateway's, good once, where its matcher said who it is; it reaches neither journal nor log."""

    payer: str
    score: float
    margin: float
    liveness: float
    face_token: str | None = field(default=None, repr=False)
    challenged: bool = False
    relief: bool = False


@dataclass(frozen=True, slots=True)
class Bank:
    """One of a payer's bound banks: what the display says of it, and the token that stands for the account."""

    label: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Discount:
    """What became of one of the payer's coupons: minor units off (0: none, and `reason` and `why` say why not);
    `short_minor` is how much more the order would have to be."""

    title: str
    off_minor: int
    reason: str
    why: str
    short_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What the gateway would let this payer pay, until `expires_s` on the monotonic clock; `quote_id` is None where it
    takes nothing off. `points` are the payer's, `points_off_minor` what they take off, or would (`spends_points`)."""

    quote_id: str | None
    amount: Amount
    expires_s: float
    lines: tuple[Discount, ...] = ()
    points: int = 0
    points_off_minor: int = 0
    spends_points: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """How far it is with what the payer is to pay: asked for at `asked_s`, answered by `quote`, `agreed` with a key.
    `before` stands while the payer has asked for another one."""

    asked_s: float | None = None
    spends_points: bool = False
    quote: Quote | None = None
    before: Quote | None = None
    agreed: Quote | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a paid order brings its payer: a coupon, or a red packet, by its opaque `code`. `expires_at`: unix s."""

    code: str
    title: str
    expires_at: int
    red_packet: bool = False


@dataclass(frozen=True, slots=True)
class Thanks:
    """What an approval says beside the money: points of a member, now and in all, and an offer."""

    points: int = 0
    points_total: int | None = None
    offer: Offer | None = None


NO_THANKS = Thanks()


@dataclass(frozen=True, slots=True)
class Known:
    """What was collected of a payer so far.

    `claimed` is whoever a phone number or a card named, before the face; `candidates` whoever the face named: one, or
    two look-alikes of whom a factor must single out one. `factors` are those proven, in their order.
    """

    claimed: str | None = None
    candidates: tuple[Identified, ...] = ()
    factors: tuple[str, ...] = ()
    duress: bool = False
    bank: Bank | None = None
    around: Circumstances = field(default_factory=Circumstances)
    price: Price = Price()


@dataclass(frozen=True, slots=True)
class Turn:
    """An order and which attempt at it comes next; `looks` counts the refused faces and numbers so far.

    `step` is the place in `flow` that comes next, `known` what was collected before it.
    """

    order: Order
    attempt: int = 1
    looks: int = 0
    flow: str = "face_first"
    step: int = 0
    known: Known = field(default_factory=Known)


@dataclass(frozen=True, slots=True)
class PayRequest:
    """What is asked of the gateway; `(order_id, attempt)` is the idempotency key on the whole way.

    `epoch` and `identified` say what it stands on; they go into the evidence, not to the gateway's decision.
    `quote` is the one that the payer agreed to; `amount` is then its, and `listed` the order's own.
    `auth_code` (of the payer's own app) and `account` (an opaque token) reach the gateway and neither journal nor log.
    """

    order_id: str
    attempt: int
    amount: Amount
    payer: str
    factors: tuple[str, ...]
    channel: str
    flow: str
    duress: bool = False
    epoch: int = 0
    identified: Identified | None = None
    account: str | None = field(default=None, repr=False)
    auth_code: str | None = field(default=None, repr=False)
    quote: str | None = None
    listed: Amount | None = None

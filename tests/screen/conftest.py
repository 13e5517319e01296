"""Every screen of the box, with everyday and with extreme contents, and a renderer for each display size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from daemon.screen import views as v
from daemon.screen.render import Renderer
from daemon.screen.views import View

MOST = 999_999_999  # ¥9,999,999.99
CNY = "CNY"
NEWER = "of_a_later_edition"
CODE = "00020101021226370014com.example.kf0115MERCHANT0000001520400005303156540518.505802CN5910Kingfisher6008Shanghai"
GOODS = (
    v.CartRow("矿泉水 Water 550 ml", "× 2", 400),
    v.CartRow("绿茶 Green tea", "", 1850),
    v.CartRow("A very long name of something that is sold by the pound", "12.452 kg", 999_999_999),
    v.CartRow("苹果 Apples", "0.452 kg", 579),
)
COUPONS = (
    v.CouponRow("满20减5 Five off above twenty", 0, "below_minimum", 150),
    v.CouponRow("10% off", 185),
    v.CouponRow("Points", 185, "points"),
    v.CouponRow("A coupon whose title takes as many letters as a title can ever take", 0, "kept"),
)
GIFT = v.Gift("c0123456789abcdef01234567", "See you: ¥2.00 off", "2026-12-22")
PACKET = v.Gift("c" + "0" * 63, "A coupon whose title takes as many letters as a title can ever tk", "2026-12-22", True)


@pytest.fixture(scope="session")
def every_view() -> dict[str, View]:
    """One of each view and of each sentence it can carry, by a readable name."""
    views: dict[str, View] = {
        "idle": v.Idle("翠鸟咖啡", "19:30", "kf-7Q2M"),
        "idle, nothing known": v.Idle(""),
        "idle, long name": v.Idle("Kingfisher Coffee and Bakery by the Old Harbour", "19:30", "kf-7Q2M-9XK4-PLQ8"),
        "idle, long name, Chinese": v.Idle("翠鸟咖啡烘焙坊人民广场地铁站二号口旗舰店", "07:05", "kf-7Q2M"),
        "gate, ready": v.GateReady(200, CNY),
        "gate, come closer": v.GateReady(MOST, CNY, "come_closer"),
        "gate, open": v.GateOpen(200, CNY),
        "gate, open for nothing": v.GateOpen(0, CNY),
        "consent, kept elsewhere": v.Consent(("pay",), "2026-11", elsewhere=True),
        "consent, of a child, kept elsewhere": v.Consent(("pay", "enter"), "2026-11", child=True, elsewhere=True),
        "consent, gate": v.Consent(("gate",), "2026-11", fare=(MOST, MOST, CNY)),
        **{f"gate, shut: {reason}": v.GateShut(reason) for reason in v.ShutReason},
        "gate, shut: unheard of": v.GateShut("something_new"),
        "enter amount": v.EnterAmount(0, CNY),
        "enter amount, most": v.EnterAmount(MOST, CNY),
        "enter amount, point": v.EnterAmount(1800, CNY, "18."),
        "enter amount, dinars": v.EnterAmount(1_234_567_890, "KWD", "1234567.890", "above_limit", "KWD 1,500.000"),
        "cart, nothing yet": v.Cart((), CNY, 0, note="unknown", note_about="6901234567892"),
        "cart": v.Cart(GOODS[:2], CNY, 2250, 203, 3, 1),
        "cart, long": v.Cart(GOODS * 4, CNY, MOST, 12_345, 4321, 7, "1234"),
        "cart, long, marked first": v.Cart(GOODS * 4, CNY, MOST, 12_345, 4321, 0),
        "ask empty cart": v.AskEmptyCart(MOST, CNY),
        "authorise, to take back": v.Authorise(3, 8, 1, to="takeback"),
        "enter receipt": v.EnterReceipt(),
        "enter receipt, wrong": v.EnterReceipt("123456789012", "no_such_sale"),
        "ask take back, refund": v.AskTakeBack("42174", MOST, CNY),
        "ask take back, cancel": v.AskTakeBack("123456789012", MOST, CNY, refund=False),
        "taken back": v.TakenBack("refunding", MOST, CNY),
        "taken back, not": v.TakenBack("not_today", 1850, CNY),
        "taken back, nothing": v.TakenBack("locked"),
        "look": v.Look(1850, CNY, None, None, 30, 30),
        "look, named order": v.Look(1850, CNY, "Flat white × 1", "no_face", 12, 30),
        "look, long title": v.Look(
            MOST, CNY, "Two flat whites, one oat cappuccino, a cinnamon bun and a bag", "no_face", 3
        ),
        "look, asked to turn": v.Look(1850, CNY, None, "turn_left", 12, 30, steps=3),
        "look, asked to turn again": v.Look(MOST, CNY, None, "turn_right", 3, 30, others=True, done=2, steps=3),
        "look, has turned and blinked": v.Look(MOST, CNY, "Flat white", "look_at_camera", 3, 30, done=3, steps=3),
        "look, nobody pays, asked to blink": v.Look(None, "", None, "blink", 12, 30, done=1, steps=3),
        "gate, asked to turn": v.GateReady(MOST, CNY, "turn_left", 1, 3),
        "gate, has turned and blinked": v.GateReady(200, CNY, "look_at_camera", 3, 3),
        "look, other ways": v.Look(MOST, CNY, None, "no_face", 3, 30, others=True),
        "pin": v.EnterPin(1850, CNY, 3, 6, None, 21),
        "pin, other ways": v.EnterPin(MOST, CNY, 3, 6, 2, 21, others=True),
        "card, other ways": v.EnterCard(MOST, CNY, 18, "002X", True, 12, others=True),
        "pin, most": v.EnterPin(MOST, CNY, 0, 6, 2, 30),
        "pin, last try": v.EnterPin(1850, CNY, 6, 6, 1, 4.2),
        "pin of eight": v.EnterPin(1850, CNY, 8, 8, 10, 130),
        "phone, last four": v.EnterPhone(1850, CNY, "80", "last4"),
        "phone, last four, wrong": v.EnterPhone(MOST, CNY, "", "last4", True, 20),
        "phone, whole": v.EnterPhone(1850, CNY, "13800138000", "whole"),
        "phone, whole, wrong": v.EnterPhone(MOST, CNY, "138001380001234", "whole", True, 20),
        "phone log-in of a member": v.EnterPhone(None, "", "13800138000", "whole"),
        "card": v.EnterCard(1850, CNY, 0),
        "card, typed": v.EnterCard(MOST, CNY, 18, "002X", False, 12),
        "card, wrong, nobody pays": v.EnterCard(None, "", 0, "", True, 3),
        "choose a way": v.Choose(1850, CNY, "way", ("face_first", "phone_first", "qr_shown"), 20),
        "choose a way, all": v.Choose(
            MOST,
            CNY,
            "way",
            ("face_first", "face_phone", "phone_first", "id_card", "face_pin_bank", "qr_shown", "qr_scanned"),
            3,
        ),
        "choose a bank": v.Choose(1850, CNY, "bank", ("中国工商银行 ICBC", "Bank of Communications"), 20),
        "choose a bank, most": v.Choose(MOST, CNY, "bank", ("Industrial and Commercial Bank of Somewhere",) * 9, 20),
        "review": v.Review(1665, CNY, 1850, COUPONS[:2], 37, 37, False, 21),
        "review, points": v.Review(1480, CNY, 1850, COUPONS[:3], 185, 185, True, 21, others=True),
        "review, points alone": v.Review(1850, CNY, 1850, (), 4321, 1849, False, 21, others=True),
        "review, most": v.Review(MOST - 9, CNY, MOST, COUPONS * 8, 999_999, MOST - 10, False, 3, others=True),
        "review, yen": v.Review(1665, "JPY", 1850, COUPONS, 370, 3, False, 21),
        "approved, points": v.Approved(1665, CNY, "7F3A", points=16, points_total=53),
        "look, top up": v.Look(5000, CNY, None, None, 20, 30, topup=True),
        "approved, topped up": v.Approved(5000, CNY, "7F3A", topup=True),
        "approved, may smile": v.Approved(1850, CNY, "7F3A", smile="offered"),
        "approved, may join and smile": v.Approved(MOST, CNY, "7F3A", join="offered", smile="offered"),
        "approved, smiled": v.Approved(1850, CNY, "7F3A", smile="seen"),
        "smile": v.Smile(5, 8),
        "approved, may join": v.Approved(MOST, CNY, "7F3A", join="offered"),
        "approved, joins": v.Approved(1665, CNY, "7F3A", join="waiting"),
        "approved, may join, coupon": v.Approved(1850, CNY, "7F3A", offer=GIFT, join="offered"),
        "consent after a payment": v.Consent((v.Purpose.PAY, v.Purpose.MEMBERS), "2026-11", adult=True),
        "approved, coupon": v.Approved(1665, CNY, "7F3A", points=16, points_total=53, offer=GIFT),
        "approved, red packet": v.Approved(MOST, CNY, "01234F", offer=PACKET),
        "show code": v.ShowCode(1850, CNY, CODE, 42, 90),
        "show code, most": v.ShowCode(MOST, CNY, CODE * 2, 3, 90),
        "scan code": v.ScanCode(MOST, CNY, 20, others=True),
        "verified": v.Verified(),
        "look, nobody pays": v.Look(None, "", None, None, 30, 30),
        "pin, nobody pays": v.EnterPin(None, "", 3, 6, None, 21),
        "processing, nobody pays": v.Processing(None, ""),
        "declined, nobody pays": v.Declined(None, "", "not_recognised"),
        "processing": v.Processing(MOST, CNY),
        "checking": v.Checking(MOST, CNY),
        "approved": v.Approved(1850, CNY, "7F3A"),
        "approved, most": v.Approved(MOST, CNY, "0123456789ABCDEF"),
        "approved offline": v.Approved(MOST, CNY, None, offline=True),
        "approved in dinars": v.Approved(1_234_567_890, "KWD"),
        "cancelled": v.Cancelled(),
        "reversed": v.Reversed(MOST, CNY),
        "reversing": v.Reversed(MOST, CNY, certain=False),
        "consent": v.Consent((v.Purpose.PAY,), "2026-11"),
        "consent, all purposes": v.Consent(tuple(v.Purpose), "2026-11-21.rev-4"),
        "consent for a child": v.Consent(tuple(v.Purpose), "2026-11-21.rev-4", child=True),
        "authorise": v.Authorise(3),
        "authorise, last try": v.Authorise(0, 8, 1),
        "authorise, twelve digits": v.Authorise(12, 12, 2),
        "authorise, checking": v.Authorise(0, 8, None, checking=True),
        "ask guardian": v.AskGuardian(),
        "enrol look": v.EnrolLook(None, 0.4),
        "new pin": v.NewPin("first", 2),
        "new pin, repeat": v.NewPin("repeat", 6),
        "new pin, mismatch": v.NewPin("first", 0, mismatch=True),
        "enrol saving": v.EnrolSaving(),
        "enrol saving, late": v.EnrolSaving(late=True),
        "enrol done": v.EnrolDone(),
    }
    views |= {f"enter amount, {note}": v.EnterAmount(1850, CNY, "18.50", note) for note in v.ClerkNote}
    views |= {f"cart, {n}": v.Cart(GOODS[:1], CNY, 400, 46, 2, 0, "", n, "6901234567892") for n in v.ClerkNote}
    views |= {f"booting, {step}": v.Booting(step, 0.4) for step in v.BootStep} | {"booting": v.Booting()}
    views |= {f"idle, {c}": v.Idle("翠鸟咖啡", "19:30", "kf-7Q2M", (c, c, c, c)) for c in v.Condition}
    views |= {f"look, {hint}": v.Look(MOST, CNY, None, hint, 3, 30) for hint in v.Hint}
    views |= {f"enrol, {hint}": v.EnrolLook(hint, 0.4) for hint in v.Hint}
    views |= {f"declined, {reason}": v.Declined(MOST, CNY, reason) for reason in v.DeclineReason}
    views |= {f"trouble, {c}": v.Trouble(c, None, "kf-7Q2M-9XK4") for c in v.Condition}
    failures = ("too_late", "spoof", "low_quality", "timeout", "cancelled", "already", "network", "never heard of")
    failures += ("authority_locked", "no_clerk_pin")
    views |= {f"enrol failed, {reason}": v.EnrolFailed(reason) for reason in failures}
    for condition in ("disk_failing", "disk_read_only", NEWER):
        views[f"idle, {condition}"] = v.Idle("翠鸟咖啡", "19:30", "kf-7Q2M", (condition,) * 3)
        views[f"trouble, {condition}"] = v.Trouble(condition, None, "kf-7Q2M-9XK4")
    for hint in ("faces_loading", NEWER):
        views[f"look, {hint}"] = v.Look(MOST, CNY, None, hint, 3, 30, others=True)
    back = ("above_clerks_limit", "cancelled", "sale_back", "sale_paying", "sale_unpaid", NEWER)
    views |= {f"taken back, {outcome}": v.TakenBack(outcome, MOST, CNY) for outcome in back}
    unused = tuple(v.CouponRow(GOODS[2].name, 0, reason) for reason in ("applied", "expired", "kept", NEWER))
    return views | {
        "review, unused coupons": v.Review(1850, CNY, 1850, unused[:2], 0, 0, False, 21, others=True),
        "review, more unused coupons": v.Review(1850, CNY, 1850, unused[2:], 0, 0, False, 21, others=True),
        f"booting, {NEWER}": v.Booting(NEWER, 0.4),
        f"enter amount, {NEWER}": v.EnterAmount(1850, CNY, "18.50", NEWER),
        f"consent, {NEWER}": v.Consent((NEWER,), "2026-11"),
        f"choose a way, {NEWER}": v.Choose(1850, CNY, "way", (NEWER,), 20),
    }


@pytest.fixture(scope="session")
def renderer() -> Callable[[tuple[int, int]], Renderer]:
    """The renderer of a display size, made once."""
    return cache(Renderer)

"""Whose app the code off a payer's phone comes from, by its first digits and its length, as the wallets publish them.

Alipay: 16 to 24 digits that begin with 25 to 30. WeChat Pay: 18 digits that begin with 10 to 15. UnionPay (QuickPass,
C scan B): 19 digits that begin with 62.
"""

from __future__ import annotations

ALIPAY, WECHAT, UNIONPAY = "alipay", "wechat", "unionpay"
WALLETS = (ALIPAY, WECHAT, UNIONPAY)


def wallet_of(code: str) -> str | None:
    """None for a code of some other app, or no code of a payment at all."""
    if not (code.isascii() and code.isdigit() and 16 <= len(code) <= 24):
        return None
    match int(code[:2]), len(code):
        case first, _ if 25 <= first <= 30:
            return ALIPAY
        case first, 18 if 10 <= first <= 15:
            return WECHAT
        case 62, 19:
            return UNIONPAY
        case _:
            return None

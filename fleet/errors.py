"""What can go wrong at the operator's end, named after what happened."""

from __future__ import annotations


class FleetError(Exception):
    """Base of this package. `code` is for machines; `what`, `why` and `hint` for people."""

    code = "fleet_error"

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        super().__init__(f"{what}: {why}" + (f" ({hint})" if hint else ""))
        self.what, self.why, self.hint = what, why, hint


class AmountRefused(FleetError):
    """Not an exact, positive amount of its currency."""

    code = "amount_refused"


class RequestRefused(FleetError):
    """A request that makes no sense to the gateway."""

    code = "request_refused"


class BoxUnknown(FleetError):
    """No box of this id, or no telling which one is meant."""

    code = "box_unknown"


class NotFound(FleetError):
    """No such order, enrolment or account."""

    code = "not_found"


class StateMissing(FleetError):
    """The state folder was never initialised, or part of it is gone."""

    code = "state_missing"


class StateInUse(FleetError):
    """Another gateway works on this state folder."""

    code = "state_in_use"


class GatewayUnreachable(FleetError):
    """No gateway answers for this state folder."""

    code = "gateway_unreachable"


class AddressRefused(FleetError):
    """An address that can't be listened on, or not by this program."""

    code = "address_refused"


class WaitedInVain(FleetError):
    """`--wait` ended without an end."""

    code = "timeout"


class ChannelFailed(FleetError):
    """A payment provider can't be set up, or does not give what was asked of it."""

    code = "channel_failed"


class RefundRefused(FleetError):
    """Nothing of this order can be given back, or not so much. `reason` is the machine's word."""

    code = "refund_refused"

    def __init__(self, what: str, why: str, hint: str, reason: str) -> None:
        super().__init__(what, why, hint)
        self.reason = reason


class ResolutionRefused(FleetError):
    """This attempt needs no decision of a person, or not this one."""

    code = "resolution_refused"

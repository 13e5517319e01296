"""Every setting of a box, its default and its limits. Unknown keys are refused; nothing is reset in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from daemon.config.channels import ChannelName, ChannelSection
from daemon.config.content import AdsSection, ContentSection
from daemon.config.gate import GateSection
from daemon.config.journal import JournalSection
from daemon.config.section import Section
from daemon.config.shop_floor import CounterSection, ReceiptsSection, TillSection
from daemon.payment.flows import FLOWS
from daemon.payment.money import DECIMALS
from daemon.payment.policy_document import PolicyDocument
from hal.drivers import (
    CameraOptions,
    DisplayOptions,
    GateOptions,
    KeypadOptions,
    LampOptions,
    PrinterOptions,
    ScannerOptions,
    VoiceOptions,
)
from hal.null import NullDisplayOptions, NullOptions
from hal.virtual.options import VirtualBoxOptions

Seconds = Annotated[float, Field(gt=0, le=3600)]
KEPT_HERE = frozenset({"id_card", "face_pin_bank"})  # flows that need a record of the payer on the box


def _known_currency(code: str) -> str:
    if code not in DECIMALS:
        raise ValueError(f"currency {code!r} is not known; write its ISO 4217 code, like CNY")
    return code


def _known_flow(name: str) -> str:
    if name not in FLOWS:
        raise ValueError(f"flow {name!r} is not known; there are {', '.join(FLOWS)}")
    return name


FlowName = Annotated[str, AfterValidator(_known_flow)]


class BoxSection(Section):
    """Who the box is and where it keeps what it must not lose."""

    shop: str = Field(default="Kingfisher", max_length=40)
    locale: Literal["zh-CN", "en"] = "zh-CN"
    currency: Annotated[str, AfterValidator(_known_currency)] = "CNY"
    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    profile: Literal["closed-loop", "open-loop"] = Field(
        default="closed-loop", description="open-loop keeps no face: the gateway's matcher says who it is"
    )
    state: Path = Field(default=Path("state"), description="folder of box.db, the store and the box's key")


class Devices(Section):
    """Which driver stands behind each device; `null` is one that does nothing."""

    camera: CameraOptions = NullOptions()
    keypad: KeypadOptions = NullOptions()
    display: DisplayOptions = NullDisplayOptions()
    lamp: LampOptions = NullOptions()
    voice: VoiceOptions = NullOptions()
    scanner: ScannerOptions = NullOptions()
    printer: PrinterOptions = NullOptions()
    gate: GateOptions = NullOptions()


class TlsSection(Section):
    """The box's client certificate, and the authority that the broker must show."""

    ca: Path
    certificate: Path
    key: Path


class BrokerSection(Section):
    """Without `tls` only a broker on this very machine is accepted."""

    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    keepalive_s: int = Field(default=30, ge=5, le=600)
    tls: TlsSection | None = None

    @model_validator(mode="after")
    def _plain_only_on_loopback(self) -> BrokerSection:
        if self.tls is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"{self.host} is not this machine: a broker elsewhere needs [broker.tls]")
        return self


class FleetSection(Section):
    """Whose word the box believes: the fleet's Ed25519 public key, PEM."""

    key: Path


class ConsoleSection(Section):
    """The technician's console. `pin` is a file with the argon2id hash of the offline PIN, set by provisioning."""

    pin: Path | None = None
    idle_s: Seconds = 600.0


class FaceSection(Section):
    """Models and thresholds; `threads` is onnxruntime's intra-op count."""

    set: Literal["default", "better"] = Field(default="default", description="which models; see docs/models.md")
    models: Path = Path("models")
    thresholds: Path | None = Field(default=None, description="calibration file; none takes the one measured on LFW")
    threads: int = Field(default=1, ge=1, le=16)
    matcher: Literal["exact", "compact"] = Field(
        default="exact", description="compact keeps no float of a template in memory: a quarter of it, scores to 0.01"
    )
    frame_timeout_s: Seconds = 2.0
    max_gap_s: Seconds | None = Field(
        default=None, description="longest time between two frames of one payer; none takes the thresholds' own"
    )


class MatcherSection(Section):
    """Who says on an open-loop box whose face it is: the gateway's matcher. `kingfisher-fleet face key` shows its
    key."""

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="X25519, hex: probes are sealed to it"
    )
    answer_s: Seconds = Field(default=8.0, description="then the payer is offered another way")


class StoreSection(Section):
    """Where the key that opens the templates comes from, and who remembers how far the store had come.

    `credential`: systemd hands the key over (see systemd/). `tpm2`: a file that this box's TPM alone opens. `file` is
    for development: it lies beside the data. The counter: in the journal, in the TPM, or in a file on another medium.
    """

    key_provider: Literal["credential", "tpm2", "file"] = "file"
    key_file: Path | None = Field(default=None, description="of `file` and `tpm2`; none takes one in the state folder")
    credential: str = Field(default="kingfisher-store", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    tpm2_device: str | None = Field(default=None, description="as systemd-creds takes it; none takes the system's own")
    tpm2_pcrs: str = Field(default="7", pattern=r"^[0-9a-z+:=]{0,64}$")
    tpm2_counter: int = Field(default=0x01500F00, ge=0x01000000, le=0x01FFFFFF, description="NV index")
    witness: Literal["journal", "tpm2", "file"] = "journal"
    witness_file: Path | None = None
    backup_days: int = Field(default=30, ge=1, le=3650, description="backups on the box are removed after so long")

    @model_validator(mode="after")
    def _a_file_is_named(self) -> StoreSection:
        if (self.witness == "file") != (self.witness_file is not None):
            raise ValueError('witness = "file" and witness_file go together')
        return self


class EnrolmentSection(Section):
    """Who may be enrolled here, on whose word, and what becomes of a record with the years.

    `authority`: with `clerk` nobody is enrolled before a clerk's or technician's PIN was typed, whatever the fleet
    asked for. `clerk_pin` is a file with its argon2id hash, made by `kingfisher clerk-pin`; none takes one in the state
    folder.
    """

    authority: Literal["fleet", "clerk"] = "fleet"
    clerk_pin: Path | None = None
    sweep_hours: float = Field(default=24.0, gt=0, le=168, description="so often whoever's consent has ended is erased")
    sign_up_notice: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$",
        description="whoever pays unrecognised may become a member; the version of the notice that is shown",
    )
    update_templates: bool = Field(default=False, description="approved payments with PIN may refresh a template")
    update_score: float = Field(default=0.75, ge=0.5, le=1, description="to the gallery, and to the enrolment itself")
    update_margin: float = Field(default=0.35, ge=0.1, le=2)
    update_days: int = Field(default=30, ge=1, le=3650, description="one a person in so many days")
    updates_kept: int = Field(default=2, ge=1, le=8, description="beside the enrolment's own; the oldest gives way")
    template_days: int | None = Field(
        default=None, ge=1, le=3650, description="whose templates are all older is erased too"
    )


class PaymentSection(Section):
    """How long each step may take, in seconds."""

    look_s: Seconds = 30.0
    pin_s: Seconds = 30.0
    show_s: Seconds = 4.0
    offer_s: Seconds = Field(default=15.0, description="a paid screen with a coupon to scan, while nobody waits")
    quote_s: float = Field(
        default=1.0, ge=0, le=10, description="a member's coupons are waited for so long; 0: they are not asked for"
    )
    smile: bool = Field(default=False, description="who has paid may smile for a coupon; no picture is kept")
    answer_s: Seconds = 10.0
    query_first_s: Seconds = 1.0
    query_longest_s: Seconds = 15.0
    query_for_s: Seconds = 60.0
    reverse_every_s: Seconds = 15.0
    code_s: Seconds = Field(default=90.0, description="how long a payer's own app may take")
    offline_after_s: Seconds = Field(default=10.0, description="link down for so long: nobody waits for an answer")
    flow: FlowName = Field(default="face_first", description="how a payer is known where the order does not say")
    ways: tuple[FlowName, ...] = Field(
        default=("face_first", "phone_first", "id_card"), max_length=9, description="what the menu key offers"
    )

    @model_validator(mode="after")
    def _an_order_is_paid(self) -> PaymentSection:
        if "identity" in (self.flow, *self.ways):
            raise ValueError("identity moves no money: it is for the command `verify`")
        if "topup" in (self.flow, *self.ways):
            raise ValueError("topup is for orders of the fleet: `kingfisher-fleet topup --box`")
        return self


class MerchantSection(Section):
    """Whom a payer's own app pays when it reads the code on the display (EMV QR, account template 26)."""

    scheme: str = Field(min_length=1, max_length=32, description="the scheme's reverse domain or AID")
    account: str = Field(min_length=1, max_length=35, description="the merchant's name at the scheme")
    name: str = Field(pattern=r"^[ -~]{1,25}$")
    city: str = Field(pattern=r"^[ -~]{1,15}$")
    category: str = Field(default="0000", pattern=r"^[0-9]{4}$", description="ISO 18245")
    country: str = Field(default="CN", pattern=r"^[A-Z]{2}$")


class HealthSection(Section):
    """How the box looks after itself, and how often it says so."""

    heartbeat_s: int = Field(default=20, ge=1, le=3600, description="a fleet that hears nothing for three is told")
    probation_s: Seconds = Field(
        default=120.0, description="how long a config of the fleet is watched; before and after it the longer counts"
    )
    look_every_s: Seconds = Field(default=10.0, description="the cheap checks; the dear ones have longer times")
    camera_every_s: Seconds = Field(default=60.0, description="one picture, which nobody sees, while nobody is there")
    disk_low_mib: int = Field(default=200, ge=1)
    hot_c: int = Field(default=80, ge=40, le=120)
    certificate_days: int = Field(default=30, ge=1, le=365, description="so long before its end it is named")
    content_days: int = Field(default=7, ge=1, le=365, description="so old may what the fleet published be")
    metrics_port: int | None = Field(default=None, ge=0, le=65535, description="Prometheus, on 127.0.0.1; 0: any")


class Config(Section):
    """The whole of `box.toml`. Relative paths are taken from the file's own folder."""

    box: BoxSection = BoxSection()
    fleet: FleetSection
    broker: BrokerSection = BrokerSection()
    devices: Devices = Devices()
    virtual: VirtualBoxOptions | None = None
    console: ConsoleSection = ConsoleSection()
    face: FaceSection = FaceSection()
    matcher: MatcherSection = MatcherSection()
    store: StoreSection = StoreSection()
    enrolment: EnrolmentSection = EnrolmentSection()
    policy: PolicyDocument = PolicyDocument()
    journal: JournalSection = JournalSection()
    payment: PaymentSection = PaymentSection()
    merchant: MerchantSection | None = None
    channels: dict[ChannelName, ChannelSection] = Field(default_factory=dict, description="none: `simulated` alone")
    counter: CounterSection = CounterSection()
    till: TillSection = TillSection()
    gate: GateSection = GateSection()
    receipts: ReceiptsSection = ReceiptsSection()
    health: HealthSection = HealthSection()
    content: ContentSection = ContentSection()
    ads: AdsSection = AdsSection()

    @property
    def ways(self) -> tuple[str, ...]:
        """What the menu key offers: of the default ways those that this profile has."""
        open_loop = self.box.profile == "open-loop"
        return tuple(way for way in self.payment.ways if not (open_loop and way in KEPT_HERE))

    @model_validator(mode="after")
    def _open_loop_asks_the_gateway(self) -> Config:
        if self.box.profile == "closed-loop":
            return self
        if self.matcher.key is None:
            raise ValueError("matcher.key: an open-loop box needs it; `kingfisher-fleet face key` shows it")
        named = self.payment.ways if "ways" in self.payment.model_fields_set else ()
        kept = [way for way in (self.payment.flow, *named) if way in KEPT_HERE]
        if kept:
            raise ValueError(f"payment.ways: {kept[0]} needs people on the box, and an open-loop box keeps nobody")
        if self.enrolment.update_templates:
            raise ValueError("enrolment.update_templates: an open-loop box has no templates")
        if self.policy.offline.per_payment > 0:
            raise ValueError("policy.offline.per_payment: an open-loop box knows nobody while it is offline")
        return self

    @model_validator(mode="after")
    def _a_gate_is_nothing_else(self) -> Config:
        if not self.gate.on:
            return self
        if self.box.profile == "open-loop":
            raise ValueError("gate.on: who agreed to what stands in the box's store, and an open-loop box has none")
        if self.devices.gate.type == "null":
            raise ValueError('gate.on: say which gate it is, such as devices.gate = { type = "relay", path = ... }')
        if self.counter.clerk_amounts:
            raise ValueError("counter.clerk_amounts: a gate has no clerk")
        return self

    @model_validator(mode="after")
    def _virtual_devices_have_their_box(self) -> Config:
        kinds = [name for name in Devices.model_fields if getattr(self.devices, name).type == "virtual"]
        if kinds and self.virtual is None:
            raise ValueError(f"devices.{kinds[0]} is virtual: add a [virtual] section")
        return self

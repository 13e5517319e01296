"""`channels.toml`: the payment providers of a gateway, read strictly, and built into channels.

Keys and secrets stand in files of their own, named relative to the file. See `docs/payments.md` for an example.
"""

from __future__ import annotations

import asyncio
import ssl
import stat
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fleet.channels.adapter import Channel, Times
from fleet.channels.alipay_like import AlipayLike
from fleet.channels.cash import Cash
from fleet.channels.simulated import Simulated
from fleet.channels.wallet import Wallet
from fleet.channels.wechat_like import WechatLike
from fleet.channels.wire import Wire
from fleet.desk import Desk
from fleet.errors import ChannelFailed
from fleet.money.fail_mode import FailMode
from mqtt.schemas import Code, Currency

Seconds = Annotated[float, Field(ge=0, le=3600)]
# Without TLS this very machine alone, its whole name: `http://localhost.example` is somebody else's.
_PLACE = r"(:[0-9]{1,5})?(/[^\s?#@]*)?\z"
BASE_URL = rf"\A(https://[A-Za-z0-9.\[\]:-]+|http://(127\.0\.0\.1|\[::1\]|localhost)){_PLACE}"


@dataclass(frozen=True, slots=True)
class SimulatedOptions:
    delay_s: float = 0.0
    fail_mode: FailMode = FailMode.NONE
    fail_first: int | None = None


class _Provider(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Code
    base_url: Annotated[str, Field(pattern=BASE_URL)]
    app_id: Annotated[str, Field(min_length=1, max_length=64)]
    currencies: Annotated[list[Currency], Field(min_length=1)] = ["CNY"]
    call_s: Seconds = 10.0
    query_s: Annotated[list[Annotated[float, Field(gt=0, le=60)]], Field(min_length=1)] = [1.0, 2.0, 4.0, 5.0]
    give_up_s: Seconds = 60.0
    retry_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    lost_after_s: Seconds = 10.0
    reverse_after_s: Seconds = 0.0

    @property
    def times(self) -> Times:
        return Times(
            self.call_s, tuple(self.query_s), self.give_up_s, self.reverse_after_s, self.retry_s, self.lost_after_s
        )


class AlipayLikeOptions(_Provider):
    """RSA keys as PEM files: ours to sign with, the provider's to believe it by."""

    type: Literal["alipay-like"]
    private_key: str
    provider_public_key: str


class WechatLikeOptions(_Provider):
    """`api_key_file` holds the key of the HMAC; `client_certificate` (PEM, key and chain) is what the provider wants to
    see for reversals and refunds; `address` is the one that payments are said to come from."""

    type: Literal["wechat-like"]
    merchant_id: Annotated[str, Field(min_length=1, max_length=32)]
    api_key_file: str
    client_certificate: str | None = None
    address: Annotated[str, Field(max_length=64)] = "127.0.0.1"
    reverse_after_s: Seconds = 15.0


Provider = Annotated[AlipayLikeOptions | WechatLikeOptions, Field(discriminator="type")]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    channel: list[Provider] = []


@dataclass(frozen=True, slots=True)
class Configured:
    options: AlipayLikeOptions | WechatLikeOptions
    folder: Path


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    simulated: SimulatedOptions = field(default_factory=SimulatedOptions)
    providers: Sequence[Configured] = ()


def load_channels(path: Path) -> tuple[Configured, ...]:
    """Raises ChannelFailed that names every wrong place of the file."""
    what = f"channels file {path}"
    try:
        found = TypeAdapter(_File).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ChannelFailed(what, error.strerror or str(error)) from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:8])
        raise ChannelFailed(what, wrong, "see docs/payments.md") from error
    except ValueError as error:
        raise ChannelFailed(what, f"not TOML: {error}") from error
    names = [provider.name for provider in found.channel]
    twice = sorted({name for name in names if names.count(name) > 1} | ({"simulated", "wallet", "cash"} & set(names)))
    if twice:
        raise ChannelFailed(what, f"the name {', '.join(twice)} is taken", "give each channel a name of its own")
    return tuple(Configured(provider, path.parent) for provider in found.channel)


def open_channels(options: ChannelOptions, desk: Desk, now: Callable[[], int]) -> dict[str, Channel]:
    """By name. Raises ChannelFailed for a key that can't be used."""
    given = options.simulated
    simulated: Channel = Simulated(
        lambda job: asyncio.wrap_future(desk.run(job)), now, given.delay_s, given.fail_mode, given.fail_first
    )
    wallet: Channel = Wallet(lambda job: asyncio.wrap_future(desk.run(job)), now)
    cash: Channel = Cash(lambda job: asyncio.wrap_future(desk.run(job)), now)
    own = {channel.name: channel for channel in (simulated, wallet, cash)}
    return own | {c.options.name: _open(c.options, c.folder) for c in options.providers}


def _open(options: AlipayLikeOptions | WechatLikeOptions, folder: Path) -> Channel:
    currencies = frozenset(options.currencies)
    if isinstance(options, WechatLikeOptions):
        wire = Wire(options.base_url, options.call_s, _tls(options, folder))
        api_key = _secret(options.name, folder / options.api_key_file).decode("utf-8", "replace").strip()
        if len(api_key) < 16:
            raise ChannelFailed(
                f"channel {options.name}", f"{options.api_key_file} holds no key of 16 or more characters"
            )
        return WechatLike(
            options.name, wire, options.app_id, options.merchant_id, api_key, times=options.times,
            currencies=currencies, address=options.address,
        )  # fmt: skip
    what = f"channel {options.name}"
    try:
        private = load_pem_private_key(_secret(options.name, folder / options.private_key), password=None)
        public = load_pem_public_key(_read(options.name, folder / options.provider_public_key))
    except (ValueError, TypeError) as error:
        raise ChannelFailed(what, "a key file is no PEM key", "RSA, 2048 bits or more") from error
    if not isinstance(private, RSAPrivateKey) or not isinstance(public, RSAPublicKey) or private.key_size < 2048:
        raise ChannelFailed(what, "its keys are of another kind", "RSA, 2048 bits or more")
    wire = Wire(options.base_url, options.call_s)
    return AlipayLike(options.name, wire, options.app_id, private, public, times=options.times, currencies=currencies)


def _secret(name: str, path: Path) -> bytes:
    """Raises ChannelFailed where anybody but its owner may read it."""
    content = _read(name, path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ChannelFailed(f"channel {name}", f"others may read {path}", f"chmod 600 {path}")
    return content


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ChannelFailed(f"channel {name}", f"{path}: {error.strerror}", "see docs/payments.md") from error


def _tls(options: WechatLikeOptions, folder: Path) -> ssl.SSLContext | None:
    if options.client_certificate is None:
        return None
    context = ssl.create_default_context()
    _secret(options.name, folder / options.client_certificate)
    try:
        context.load_cert_chain(folder / options.client_certificate)
    except (OSError, ssl.SSLError) as error:
        what = f"channel {options.name}"
        raise ChannelFailed(what, f"{options.client_certificate} is no certificate with its key", "PEM") from error
    return context

"""`kingfisher-fleet broker|gateway`: what runs until it is told to stop."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fleet import service
from fleet.actions import say
from fleet.broker import EmbeddedBroker, parse_address, run_until, stop_signals
from fleet.channels.config import ChannelOptions, SimulatedOptions, load_channels
from fleet.errors import RequestRefused
from fleet.gateway_group import gateway_group
from fleet.money.fail_mode import FailMode
from fleet.state import StateFolder
from mqtt.link import TlsOptions
from mqtt.presence import is_absent


def broker(args: Namespace) -> int:
    host, port = parse_address(args.listen, loopback_only=True, default_port=1883)
    args.state.mkdir(parents=True, exist_ok=True)
    asked = stop_signals()
    embedded = EmbeddedBroker(args.state, host, port)
    embedded.start()
    address = f"{embedded.host}:{embedded.port}"
    StateFolder(args.state).write_broker(address)
    say(args, {"event": "ready", "broker": address}, f"broker ready on {address} (MQTT 5, loopback; Ctrl+C stops it)")
    try:
        return 0 if run_until(asked, embedded) else 1
    finally:
        embedded.stop()


def gateway(args: Namespace) -> int:
    tls = None
    if args.ca or args.cert or args.key:
        if args.ca is None or (args.cert is None) != (args.key is None):
            raise RequestRefused("TLS options", "--ca, and --cert with --key, belong together")
        tls = TlsOptions(args.ca, args.cert, args.key)
    state = StateFolder(args.state)
    host, port = parse_address(args.broker, loopback_only=False, default_port=8883 if tls else 1883)
    group = args.group
    if group is None and not state.is_embedded_broker(f"{host}:{port}"):
        group = gateway_group(state.load_key())
    file = args.channels or (None if is_absent(state.channels_file) else state.channels_file)
    simulated = SimulatedOptions(args.delay_s, FailMode(args.fail_mode), args.fail_first)
    channels = ChannelOptions(simulated, load_channels(file) if file else ())
    http = parse_address(args.http, loopback_only=True, default_port=8780)
    options = service.ServiceOptions(state, (host, port), http, tls, group or None, channels)
    service.run(options, lambda facts: _announce(args, facts))
    return 0


def _announce(args: Namespace, facts: dict[str, Any]) -> None:
    say(args, {"event": "ready"} | facts, f"gateway ready on {facts['http']}; `kingfisher-fleet till` opens the till")

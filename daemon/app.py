"""The wiring of the whole box: parts are built from the config, started in order, and stopped in reverse."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.ads import killed, plays
from daemon.books import checkpoints, commands, fleet_tries, journal, own_orders, payments, pin_tries, receipt_numbers
from daemon.books.box_db import BoxDb
from daemon.books.retention import keeping_of
from daemon.box import Box
from daemon.box_events import BoxEvent as Event
from daemon.box_events import ConditionChanged, KeypadKey, Stop, newest_only
from daemon.box_parts import Parts
from daemon.config.applier import ConfigApplier
from daemon.config.load import Loaded
from daemon.config.model import BrokerSection, Config
from daemon.console.control import ControlSocket
from daemon.console.desk import Desk
from daemon.console.lending import Lending
from daemon.console.recent_logs import RecentLogs
from daemon.console.snapshot import Board
from daemon.console.store_desk import StoreDesk
from daemon.counter.devices import open_floor
from daemon.device_watch import DeviceWatch
from daemon.enrolment.authority import authority_of
from daemon.event_queue import EventQueue
from daemon.evidence import shelf
from daemon.evidence.record import Grounds
from daemon.first_things import First, FirstThings
from daemon.front.painter import Painter
from daemon.gate import passages
from daemon.gate.agreement import GATE
from daemon.gate.door import NO_GATE
from daemon.gate.opening import open_gate
from daemon.health.building import Renewal, watches
from daemon.health.heartbeat import Pulse
from daemon.health.monitor import Monitor
from daemon.health.standing_faults import forget_faults, standing_faults
from daemon.live_settings import LiveSettings
from daemon.logs import ForwardingHandler, note
from daemon.notify import Notify
from daemon.open_loop.nobody import open_nobody
from daemon.open_loop.opening import open_matcher
from daemon.payment.emvco import Merchant
from daemon.payment.settling import SettlingTimes
from daemon.payment.state import SIMULATED, Rules
from daemon.people import box_store, leaving
from daemon.people.face_watch import Faces, FaceWatch
from daemon.people.members import PAY, open_members
from daemon.people.template_update import TemplateUpdate, update_rule_of
from daemon.remote.desk import RemoteDesk
from daemon.remote.log_bundle import LogBundle
from daemon.screen.views import Condition
from daemon.start_times import StartUp
from daemon.uplink import clock
from daemon.uplink.broker_dates import dated
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from hal.drivers import Rig, build_camera, build_display, build_keypad, open_lamp, open_voice
from hal.errors import HalError
from hal.virtual.display import VirtualDisplayOptions
from mqtt.identity import load_or_create_private_key, load_public_key
from mqtt.inbox import Inbox
from mqtt.link import TlsOptions
from mqtt.outbox import Outbox
from pipeline.engine import FaceEngine
from pipeline.models.manifest import load_set
from pipeline.thresholds import CALIBRATED, load_thresholds
from secure_store.hardening import harden_process

if TYPE_CHECKING:
    from daemon.ads.advertising import Advertising
    from hal.virtual.box import VirtualBox

log = logging.getLogger("daemon.app")

RESTART = 75  # exit status of `run` when the box was asked to begin anew (EX_TEMPFAIL)

SCHEMA = (
    payments.create_schema, own_orders.create_schema, receipt_numbers.create_schema,
    journal.create_schema, pin_tries.create_schema, fleet_tries.create_schema,
    commands.create_schema, clock.create_schema, leaving.create_schema, checkpoints.create_schema, shelf.create_schema,
    plays.create_schema, killed.create_schema, passages.create_schema,
    Outbox().create_tables, Inbox().create_tables,
)  # fmt: skip
SCHEMA_EDITION = 1  # the next number whenever a table, a column or an index is added above


def run(loaded: Loaded, path: Path) -> int:
    """Runs the box until SIGTERM or SIGINT. The exit status: 0 when asked to stop, 1 after a fault, RESTART.

    Raises:
        DaemonError, HalError, MqttError, PipelineError, StoreError: when a part that can't be done without won't start.
    """
    start, logs, lines, board = StartUp(), RecentLogs(), LogBundle(), Board()
    again = threading.Event()
    config, state = loaded.config, loaded.config.box.state
    software = version("kingfisher")
    queue: EventQueue[Event] = EventQueue(newest_only)
    first = FirstThings(lambda: faces.begin())
    for lack in harden_process():
        queue.put(ConditionChanged(lack, True))
    with ExitStack() as parts:
        parts.enter_context(_listening(logs))
        parts.enter_context(_listening(lines))
        with start.part("state"):
            db = BoxDb(state / "box.db", SCHEMA, SCHEMA_EDITION)
            parts.callback(db.close)
            trusted = TrustedClock(db.run(clock.load_floor), db.run(clock.load_certain))
        with start.part("devices"):
            rig = Rig(_virtual_box(config, parts))
            display = build_display(config.devices.display, rig)
            with suppress(HalError):  # the painter says so, and goes on trying
                display.open()
            parts.callback(display.close)
            lamp = open_lamp(config.devices.lamp, rig)
            parts.callback(lamp.close)
            voice = open_voice(config.devices.voice, rig)
            parts.callback(voice.close)
        with start.part("models"):  # what they are; the face side loads them
            manifest = load_set(config.face.set)
            model_hash = manifest.model("embedding").sha256
            thresholds = load_thresholds(config.face.thresholds or CALIBRATED[config.face.set], manifest)
        with start.part("store"):
            opened_by = box_store.provider_at_start(config)
            options = box_store.store_options(config.store, db, trusted.now)
            if config.box.profile == "closed-loop":
                members = open_members(
                    state / "store", opened_by, config.box, model_hash, options, config.face.matcher,
                    GATE if config.gate.on else PAY,
                )  # fmt: skip
            else:
                members = open_nobody(state / "store", opened_by, config.box, model_hash, options)
            parts.callback(members.close)
        with start.part("screen"):
            painter = Painter(
                display, config.box.locale, _tell(queue, "no_display"), on_first=partial(first.done, First.SCREEN)
            )
            painter.start()
            parts.callback(painter.stop)
        with start.part("link"):
            link = FleetLink(
                db=db,
                clock=trusted,
                key=load_or_create_private_key(state / "box.key"),
                fleet_key=load_public_key(config.fleet.key),
                host=config.broker.host,
                port=config.broker.port,
                keepalive_s=config.broker.keepalive_s,
                tls=_tls(config.broker),
                on_message=queue.put,
                on_link=queue.put,
                on_up=partial(first.done, First.LINK),
            )
            parts.callback(link.stop)
            link.start()
        updates = TemplateUpdate(db, members, trusted, update_rule_of(config))
        parts.callback(updates.finish)
        with start.part("face"):
            matcher = open_matcher(config, link, trusted, model_hash, queue.put)
            if matcher is not None:
                parts.callback(matcher.close)
            choose = matcher.matcher if matcher is not None else updates.matcher(members.matcher)
            faces = FaceWatch(
                build_camera(config.devices.camera, rig),
                lambda: Faces(
                    FaceEngine.load(config.face.models, manifest, threads=config.face.threads),
                    thresholds,
                    choose,
                    config.face.max_gap_s,
                ),
                frame_timeout_s=config.face.frame_timeout_s,
                report=matcher.report if matcher is not None else queue.put,
                preview=painter.preview,
                wait_for_look=painter.wait_for_look,
            )
            parts.callback(faces.stop)
            queue.put(ConditionChanged(Condition.FACES_LOADING, True, "the models are being loaded"))
            faces.start()
        with start.part("keypad"):
            keypad = DeviceWatch(
                build_keypad(config.devices.keypad, rig),
                lambda press: queue.put(KeypadKey(press.key.value)),
                _tell(queue, Condition.NO_KEYPAD),
            )
            parts.callback(keypad.stop)
            keypad.start()
        with start.part("counter"):
            floor = open_floor(
                config, rig, db, queue.put, parts, box_id=link.box_id, fleet_key=load_public_key(config.fleet.key),
                clock=trusted, say=link.say,
            )  # fmt: skip
        for name, why in {**members.conditions(), **standing_faults()}.items():
            queue.put(ConditionChanged(name, True, why))
        if not trusted.trusted:
            queue.put(ConditionChanged(Condition.NO_CLOCK, True, "the system clock is behind the last trusted time"))
        with start.part("content"):
            advertising = _advertising(config, db, link, trusted, painter, queue)
            if advertising is not None:
                parts.callback(advertising.stop)
        applier = ConfigApplier(
            path, loaded, db=db, link=link, clock=trusted, tell=queue.put,
            restart=lambda: _begin_anew(again, queue),
        )  # fmt: skip
        with start.part("console"):
            desk = Desk(
                in_force=lambda: applier.config, board=board, db=db, clock=trusted, link=link, members=members,
                logs=logs,
                store=StoreDesk(members, db, trusted, state, lambda *news: queue.put(ConditionChanged(*news))),
                display_size=lambda: display.size, tls=dated(_tls(config.broker), trusted), model_hash=model_hash,
                software=software, send=queue.put, restart=lambda: _begin_anew(again, queue),
                began_s=time.monotonic(),
                fleet_versions=lambda: applier.versions | (advertising.versions if advertising else {}),
            )  # fmt: skip
            control = ControlSocket(state, desk.answer)
            parts.callback(control.stop)
        gate = open_gate(config, rig, members, parts, tell=queue.put, works=_tell(queue, NO_GATE))
        box = Box(
            Parts(
                queue=queue, db=db, clock=trusted, link=link, members=members, faces=faces, painter=painter, lamp=lamp,
                voice=voice, notify=Notify.from_environment(), rules=_rules(config), shop=config.box.shop,
                grounds=_grounds(config, model_hash, thresholds.id), locale=config.box.locale,
                software=software, board=board, lending=Lending(faces, painter),
                applier=applier,
                remote=RemoteDesk(
                    in_force=lambda: applier.config, board=board, db=db, link=link, clock=trusted, members=members,
                    painter=painter, lines=lines, software=software, tell=queue.put,
                    restart=lambda: _begin_anew(again, queue),
                ),
                settings_of=lambda config: _live_settings(config, model_hash, thresholds.id),
                floor=floor,
                authority=authority_of(config), keeping=keeping_of(config), updates=updates, advertising=advertising,
                matcher=matcher, gate=gate,
            )
        )  # fmt: skip
        with start.part("health"):
            pulse = Pulse(
                board, link, trusted, state, lambda: applier.config.health.heartbeat_s,
                lambda: applier.versions["config"],
            )  # fmt: skip
            if config.health.metrics_port is not None:
                from daemon.health.metrics import BoxMetrics, MetricsServer  # few boxes are asked for them

                metrics = MetricsServer(config.health.metrics_port, BoxMetrics(board, link, pulse.figures, software))
                parts.callback(metrics.stop)
                note(log, "metrics", port=metrics.port)
            looks = partial(watches, clock=trusted, db=db, members=members, faces=faces, painter=painter)
            monitor = Monitor(
                looks(config), board, tell=queue.put, body=pulse.body, beat=lambda body: link.say("health", body),
                beat_s=config.health.heartbeat_s, renewed=Renewal(lambda: applier.config, looks),
            )  # fmt: skip
            parts.callback(monitor.stop)
        control.start()
        monitor.start()
        if advertising is not None:
            advertising.start()
        _stop_on_signals(queue)
        threading.excepthook = lambda died: queue.put_urgent(Stop(_obituary(died)))
        forget_faults()
        note(log, "ready", box=link.box_id, payers=len(members), **start.facts)
        fault = box.run()
        return 1 if fault else RESTART if again.is_set() else 0


@contextmanager
def _listening(logs: logging.Handler) -> Iterator[None]:
    logging.getLogger().addHandler(logs)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(logs)


def _begin_anew(again: threading.Event, queue: EventQueue[Event]) -> None:
    again.set()
    queue.put_urgent(Stop())


def _virtual_box(config: Config, parts: ExitStack) -> VirtualBox | None:
    if config.virtual is None:
        return None
    from hal.virtual.box import VirtualBox  # brings a web server along, which a real box need not load

    box = parts.enter_context(VirtualBox.from_options(config.virtual, _display_size(config)))
    handler = ForwardingHandler(box.log)
    logging.getLogger().addHandler(handler)
    parts.callback(logging.getLogger().removeHandler, handler)
    note(log, "virtual_box", url=box.url)
    return box


def _advertising(
    config: Config, db: BoxDb, link: FleetLink, clock: TrustedClock, painter: Painter, queue: EventQueue[Event]
) -> Advertising | None:
    if config.content.root is None:
        return None
    from daemon.ads.opening import open_advertising  # the update client takes its time, and most boxes begin without

    return open_advertising(
        config, db, link, clock, painter,
        lambda name, why: queue.put(ConditionChanged(name, why is not None, why or "")),
    )  # fmt: skip


def _display_size(config: Config) -> tuple[int, int]:
    display = config.devices.display
    return (display.width, display.height) if isinstance(display, VirtualDisplayOptions) else (800, 480)


def _tell(queue: EventQueue[Event], condition: str) -> Callable[[bool, str], None]:
    return lambda works, why: queue.put(ConditionChanged(condition, not works, why))


def _stop_on_signals(queue: EventQueue[Event]) -> None:
    def stop(number: int, _frame: object) -> None:
        # From a thread: this one may be inside the queue's lock, or about to wait on it, and would wake nobody.
        threading.Thread(target=end, args=(signal.Signals(number).name,), name="stop").start()

    def end(name: str) -> None:
        note(log, "asked_to_stop", signal=name)
        queue.put_urgent(Stop())

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _obituary(died: threading.ExceptHookArgs) -> str:
    """A thread that dies takes a part of the box with it: the process ends by name, and is started anew."""
    name = died.thread.name if died.thread is not None else "a thread"
    frames = traceback.extract_tb(died.exc_traceback)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"thread {name} died of {died.exc_type.__name__} at {where}"


def _rules(config: Config) -> Rules:
    times = config.payment
    return Rules(
        policy=config.policy.policy(),
        settling=SettlingTimes(
            answer_s=times.answer_s, code_s=times.code_s, query_first_s=times.query_first_s,
            query_longest_s=times.query_longest_s, query_for_s=times.query_for_s, reverse_every_s=times.reverse_every_s,
        ),
        flow=times.flow, ways=config.ways,
        channels=tuple(section.channel(name) for name, section in config.channels.items()) or SIMULATED,
        merchant=Merchant(**config.merchant.model_dump()) if config.merchant else None,
        look_s=times.look_s, pin_s=times.pin_s, show_s=times.show_s, offline_after_s=times.offline_after_s,
        offer_s=times.offer_s, quote_s=times.quote_s, notice=_notice(config), smile=times.smile,
    )  # fmt: skip


def _notice(config: Config) -> str | None:
    """Membership is offered where a face may be kept, and no clerk's PIN is wanted first."""
    offered = config.box.profile == "closed-loop" and config.enrolment.authority == "fleet"
    return config.enrolment.sign_up_notice if offered else None


def _live_settings(config: Config, model_hash: str, thresholds_id: str) -> LiveSettings:
    grounds = _grounds(config, model_hash, thresholds_id)
    return LiveSettings(_rules(config), grounds, config.box.shop, config.box.locale)


def _grounds(config: Config, model_hash: str, thresholds_id: str) -> Grounds:
    return Grounds(config.policy.fingerprint(), model_hash, thresholds_id, version("kingfisher"))


def _tls(broker: BrokerSection) -> TlsOptions | None:
    return TlsOptions(broker.tls.ca, broker.tls.certificate, broker.tls.key) if broker.tls else None

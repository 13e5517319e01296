"""What systemd hears: one datagram a line, and nothing at all where there is no systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.notify import Notify


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    lines: list[str] = []
    while True:
        try:
            lines.append(listener.recv(4096).decode())
        except BlockingIOError:
            return lines


def test_ready_status_and_stopping_arrive_as_systemd_wants_them(systemd: socket.socket) -> None:
    notify = Notify.from_environment({"NOTIFY_SOCKET": systemd.getsockname()})
    notify.ready()
    notify.status("no_camera\noffline")
    notify.stopping()
    assert heard(systemd) == ["READY=1", "STATUS=no_camera offline", "STOPPING=1"]


def test_a_status_that_did_not_change_is_not_said_again(systemd: socket.socket) -> None:
    notify = Notify(systemd.getsockname(), None)
    for _ in range(3):
        notify.status("all is well")
    assert heard(systemd) == ["STATUS=all is well"]


def test_pings_come_no_more_often_than_a_third_of_the_watchdogs_time(systemd: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    notify = Notify.from_environment(told)
    assert notify.ping_every_s == pytest.approx(20.0)
    for _ in range(100):
        notify.ping()
    assert heard(systemd) == ["WATCHDOG=1"]


def test_a_watchdog_meant_for_another_process_is_left_alone(systemd: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    notify = Notify.from_environment(told)
    assert notify.ping_every_s is None
    notify.ping()
    assert heard(systemd) == []


def test_without_systemd_nothing_happens() -> None:
    notify = Notify.from_environment({})
    notify.ready()
    notify.ping()
    notify.status("all is well")
    notify.stopping()


def test_a_systemd_that_went_away_does_no_harm(tmp_path: Path) -> None:
    Notify(str(tmp_path / "nobody-listens"), 1.0).ready()

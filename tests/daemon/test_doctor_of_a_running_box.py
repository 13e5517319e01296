"""`doctor` of a box that runs says what the box knows, and not more."""

from __future__ import annotations

from daemon.health.live import examine_live
from daemon.people.face_watch import CameraFound, CameraLost


def camera(box):
    """What `doctor` says of the camera now."""
    findings = examine_live(box.parts.applier.config, box.parts.board.snapshot, connected=False)
    return next(finding for finding in findings if finding.check == "camera")


def test_a_camera_is_said_to_work_only_after_it_was_opened(rig):
    box = rig(settings='[devices]\ncamera = { type = "v4l2" }\n')
    box.start()
    assert box.until(lambda: box.parts.board.snapshot.stage != "Starting")
    assert "not tried yet" in camera(box).detail
    assert "works" not in camera(box).detail

    box.queue.put(CameraFound())
    assert box.until(lambda: "works" in camera(box).detail)


def test_a_camera_that_was_tried_and_is_missing_is_ill_with_its_reason(rig):
    box = rig(settings='[devices]\ncamera = { type = "v4l2" }\n')
    box.start()
    box.queue.put(CameraLost(None, "no such device"))
    assert box.until(lambda: not camera(box).well)
    assert camera(box).detail == "v4l2: no such device"
    assert camera(box).suggestion

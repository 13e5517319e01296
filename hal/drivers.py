"""Which drivers there are, and how a config's options become a driver: one function per kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hal.camera import Camera
from hal.camera_child import Recipe
from hal.camera_picamera2 import Picamera2Camera, Picamera2Options
from hal.camera_process import CameraProcess, Patience
from hal.camera_replay import ReplayCamera, ReplayOptions
from hal.camera_v4l2 import V4l2Camera, V4l2Options
from hal.display import Display
from hal.display_framebuffer import FramebufferDisplay, FramebufferOptions
from hal.errors import UnsuitableDevice
from hal.gate import Gate
from hal.gate_relay import RelayGate, RelayGateOptions
from hal.keypad import Keypad
from hal.keypad_evdev import EvdevKeypad, EvdevOptions
from hal.lamp import Lamp
from hal.null import (
    NullCamera,
    NullDisplay,
    NullDisplayOptions,
    NullGate,
    NullKeypad,
    NullLamp,
    NullOptions,
    NullPrinter,
    NullScanner,
    NullVoice,
)
from hal.printer import Printer
from hal.printer_serial import FilePrinter, FilePrinterOptions, SerialPrinter, SerialPrinterOptions
from hal.scanner import Scanner
from hal.scanner_evdev import EvdevScanner, EvdevScannerOptions
from hal.scanner_serial import SerialScanner, SerialScannerOptions
from hal.virtual.camera import VirtualCameraOptions
from hal.virtual.display import VirtualDisplayOptions
from hal.virtual.gate import VirtualGateOptions
from hal.virtual.keypad import VirtualKeypadOptions
from hal.virtual.lamp_and_voice import VirtualLampOptions, VirtualVoiceOptions
from hal.virtual.printer import VirtualPrinterOptions
from hal.virtual.scanner import VirtualScannerOptions
from hal.voice import Voice

if TYPE_CHECKING:
    from hal.virtual.box import VirtualBox  # brings a web server along, which a real box need not load

CameraOptions = Annotated[
    VirtualCameraOptions | NullOptions | V4l2Options | Picamera2Options | ReplayOptions, Field(discriminator="type")
]
KeypadOptions = Annotated[VirtualKeypadOptions | NullOptions | EvdevOptions, Field(discriminator="type")]
DisplayOptions = Annotated[VirtualDisplayOptions | NullDisplayOptions | FramebufferOptions, Field(discriminator="type")]
LampOptions = Annotated[VirtualLampOptions | NullOptions, Field(discriminator="type")]
ScannerOptions = Annotated[
    VirtualScannerOptions | NullOptions | EvdevScannerOptions | SerialScannerOptions, Field(discriminator="type")
]
PrinterOptions = Annotated[
    VirtualPrinterOptions | NullOptions | SerialPrinterOptions | FilePrinterOptions, Field(discriminator="type")
]
GateOptions = Annotated[VirtualGateOptions | NullOptions | RelayGateOptions, Field(discriminator="type")]
VoiceOptions = Annotated[VirtualVoiceOptions | NullOptions, Field(discriminator="type")]


@dataclass(frozen=True)
class Rig:
    """What drivers share: the virtual box, where the config has one. Started by whoever made it."""

    virtual: VirtualBox | None = None

    def box(self) -> VirtualBox:
        """The virtual box. Raises UnsuitableDevice when there is none."""
        if self.virtual is None:
            raise UnsuitableDevice("virtual box", "a device is virtual, but there is no virtual box", "add [virtual]")
        return self.virtual


def open_camera(options: CameraOptions, rig: Rig) -> Camera:
    """The camera that the config names, opened. Raises HalError."""
    camera = build_camera(options, rig)
    camera.open()
    return camera


def open_keypad(options: KeypadOptions, rig: Rig) -> Keypad:
    """The keypad that the config names, opened. Raises HalError."""
    keypad = build_keypad(options, rig)
    keypad.open()
    return keypad


def open_display(options: DisplayOptions, rig: Rig) -> Display:
    """The display that the config names, opened. Raises HalError."""
    display = build_display(options, rig)
    display.open()
    return display


def open_lamp(options: LampOptions, rig: Rig) -> Lamp:
    """The lamp that the config names, opened. Raises HalError."""
    lamp = build_lamp(options, rig)
    lamp.open()
    return lamp


def open_voice(options: VoiceOptions, rig: Rig) -> Voice:
    """The voice that the config names, opened. Raises HalError."""
    voice = build_voice(options, rig)
    voice.open()
    return voice


def build_camera(options: CameraOptions, rig: Rig) -> Camera:
    """The camera that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualCameraOptions():
            return rig.box().camera
        case NullOptions():
            return NullCamera()
        case V4l2Options():
            camera: Camera = V4l2Camera(options)
        case Picamera2Options():
            camera = Picamera2Camera(options)
        case ReplayOptions():
            camera = ReplayCamera(options)
    return in_own_process(camera, options) if options.own_process else camera


def in_own_process(camera: Camera, options: V4l2Options | Picamera2Options | ReplayOptions) -> CameraProcess:
    """The same driver in a child process; it may give a larger picture than it was asked for, up to 1080p."""
    kind = type(camera)
    frame_bytes = max(options.width * options.height, 1920 * 1080) * 3
    recipe = Recipe(kind.__module__, kind.__name__, type(options).__name__, options.model_dump_json(), frame_bytes)
    patience = Patience(start_s=options.start_within_s, hang_s=options.hang_after_s)
    return CameraProcess(camera.name, recipe, patience)


def build_keypad(options: KeypadOptions, rig: Rig) -> Keypad:
    """The keypad that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualKeypadOptions():
            return rig.box().keypad
        case NullOptions():
            return NullKeypad()
        case EvdevOptions():
            return EvdevKeypad(options)


def build_display(options: DisplayOptions, rig: Rig) -> Display:
    """The display that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualDisplayOptions():
            return rig.box().display
        case NullDisplayOptions():
            return NullDisplay(options)
        case FramebufferOptions():
            return FramebufferDisplay(options)


def build_lamp(options: LampOptions, rig: Rig) -> Lamp:
    """The lamp that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualLampOptions():
            return rig.box().lamp
        case NullOptions():
            return NullLamp()


def build_voice(options: VoiceOptions, rig: Rig) -> Voice:
    """The voice that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualVoiceOptions():
            return rig.box().voice
        case NullOptions():
            return NullVoice()


def build_gate(options: GateOptions, rig: Rig) -> Gate:
    """The gate that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualGateOptions():
            return rig.box().gate
        case NullOptions():
            return NullGate()
        case RelayGateOptions():
            return RelayGate(options)


def build_scanner(options: ScannerOptions, rig: Rig) -> Scanner:
    """The scanner that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualScannerOptions():
            return rig.box().scanner
        case NullOptions():
            return NullScanner()
        case EvdevScannerOptions():
            return EvdevScanner(options)
        case SerialScannerOptions():
            return SerialScanner(options)


def build_printer(options: PrinterOptions, rig: Rig) -> Printer:
    """The printer that the config names, not opened yet. Raises UnsuitableDevice."""
    match options:
        case VirtualPrinterOptions():
            return rig.box().printer
        case NullOptions():
            return NullPrinter()
        case SerialPrinterOptions():
            return SerialPrinter(options)
        case FilePrinterOptions():
            return FilePrinter(options)

"""The kernel's Video4Linux2 interface, as far as one capture stream needs it: structures, requests, and nothing else.

Source: linux/videodev2.h and the kernel's "Video for Linux API" (userspace-api/media/v4l). The layouts hold on every
64-bit Linux; a test compares them with the header.
"""

from __future__ import annotations

import ctypes
import fcntl
from ctypes import Structure, Union, c_char, c_int32, c_long, c_uint8, c_uint32, c_uint64, sizeof

BUF_TYPE_VIDEO_CAPTURE = 1
MEMORY_MMAP = 1
FIELD_NONE = 1
CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x00000001, 0x04000000, 0x80000000
BUF_FLAG_ERROR, BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0x0040, 0xE000, 0x2000


class Capability(Structure):
    """struct v4l2_capability"""

    _fields_ = [
        ("driver", c_uint8 * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    ]


class FormatDescription(Structure):
    """struct v4l2_fmtdesc"""

    _fields_ = [
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    ]


class PixelFormat(Structure):
    """struct v4l2_pix_format"""

    _fields_ = [
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("encoding", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    ]


class _FormatUnion(Union):
    # The kernel's union holds a structure with a pointer, which is what aligns it to 8 bytes.
    _fields_ = [("pix", PixelFormat), ("raw_data", c_uint8 * 200), ("align", c_uint64)]


class Format(Structure):
    """struct v4l2_format"""

    _fields_ = [("type", c_uint32), ("fmt", _FormatUnion)]


class RequestBuffers(Structure):
    """struct v4l2_requestbuffers"""

    _fields_ = [
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    ]


class _Timeval(Structure):
    _fields_ = [("seconds", c_long), ("microseconds", c_long)]


class _Timecode(Structure):
    _fields_ = [("type", c_uint32), ("flags", c_uint32), ("parts", c_uint8 * 4), ("userbits", c_uint8 * 4)]


class _BufferPlace(Union):
    _fields_ = [("offset", c_uint32), ("userptr", ctypes.c_ulong), ("planes", ctypes.c_void_p), ("fd", c_int32)]


class Buffer(Structure):
    """struct v4l2_buffer"""

    _fields_ = [
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", _Timeval),
        ("timecode", _Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _BufferPlace),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    ]


class _Fraction(Structure):
    _fields_ = [("numerator", c_uint32), ("denominator", c_uint32)]


class CaptureParameters(Structure):
    """struct v4l2_streamparm, for capture"""

    _fields_ = [
        ("type", c_uint32),
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", _Fraction),
        ("rest", c_uint8 * 184),
    ]


def _request(direction: int, number: int, size: int) -> int:
    """_IOC of linux/ioctl.h with the letter V, as a signed 32-bit number is not needed by Python's ioctl."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


_READ, _WRITE = 2, 1
QUERYCAP = _request(_READ, 0, sizeof(Capability))
ENUM_FMT = _request(_READ | _WRITE, 2, sizeof(FormatDescription))
S_FMT = _request(_READ | _WRITE, 5, sizeof(Format))
REQBUFS = _request(_READ | _WRITE, 8, sizeof(RequestBuffers))
QUERYBUF = _request(_READ | _WRITE, 9, sizeof(Buffer))
QBUF = _request(_READ | _WRITE, 15, sizeof(Buffer))
DQBUF = _request(_READ | _WRITE, 17, sizeof(Buffer))
STREAMON = _request(_WRITE, 18, sizeof(c_int32))
STREAMOFF = _request(_WRITE, 19, sizeof(c_int32))
S_PARM = _request(_READ | _WRITE, 22, sizeof(CaptureParameters))


def ask(fd: int, request: int, structure: Structure | c_int32) -> None:
    """Hand a structure to the kernel, which fills it in. Raises OSError."""
    fcntl.ioctl(fd, request, structure)


def fourcc(name: str) -> int:
    """The number of a four-letter format code."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(number: int) -> str:
    """The four-letter code of a format's number."""
    return number.to_bytes(4, "little").decode("ascii", "replace")

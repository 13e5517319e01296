"""The TUF client's errors under the names that this box uses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)

from daemon.content.errors import ContentRefused, Why
from daemon.content.fetching import CutOff


@contextmanager
def named(what: str) -> Iterator[None]:
    """Raises ContentRefused about `what` in the place of whatever the client or the disk raises."""
    try:
        yield
    except ContentRefused:
        raise
    except ExpiredMetadataError as error:
        raise ContentRefused(Why.EXPIRED, what, str(error)) from error
    except BadVersionNumberError as error:
        raise ContentRefused(Why.ROLLED_BACK, what, str(error)) from error
    except UnsignedMetadataError as error:
        raise ContentRefused(Why.FORGED, what, str(error)) from error
    except DownloadLengthMismatchError as error:
        raise ContentRefused(Why.TOO_LARGE, what, str(error)) from error
    except LengthOrHashMismatchError as error:
        raise ContentRefused(Why.MISMATCH, what, str(error)) from error
    except DownloadHTTPError as error:
        raise ContentRefused(Why.UNREACHABLE, what, str(error)) from error
    except DownloadError as error:
        raise ContentRefused(Why.CUT_OFF if isinstance(error, CutOff) else Why.UNREACHABLE, what, str(error)) from error
    except RepositoryError as error:
        raise ContentRefused(Why.MISMATCH, what, str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ContentRefused(Why.NO_ROOM, what, str(error)) from error
        raise ContentRefused(Why.UNREACHABLE, what, str(error)) from error

"""A child of ``tierce up`` lives as long as its parent.

Standard input is a pipe whose other end the parent holds, so the child learns of the parent's end
even by ``kill -9``, and ends too. Nothing is left behind.
"""

from __future__ import annotations

import os
import signal
import time
from threading import Thread
from typing import Final

_GRACE_SECONDS: Final = 10


def end_with_parent() -> None:
    """Watch the parent from a thread; when it is gone, ask this process to end, then insist."""
    Thread(target=_watch, name="leash", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)

"""Tells a service manager how a server fares, where one asked for it.

The protocol is https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html's: a datagram
to the socket that NOTIFY_SOCKET names. systemd and podman set it.
"""

from __future__ import annotations

import os
import socket

from copy_core.logs import log

_SOCKET = "NOTIFY_SOCKET"


def supervised() -> bool:
    """Whether a service manager started this process, and waits to hear from it."""
    return bool(os.environ.get(_SOCKET))


def tell(state: str) -> None:
    """Tells the service manager, if there is one.

    Args:
        state: `READY=1` or `STOPPING=1`.
    """
    address = os.environ.get(_SOCKET)
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace of Linux
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(address)
            manager.send(state.encode())
    except OSError as e:
        log.warning("the service manager cannot be told %s: %s", state, e)

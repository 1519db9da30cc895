"""A process that others can look at: is it still alive? Only ever answered for certain."""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from pathlib import Path

import psutil

from copy_core.model import Record

# The kernel gives the time of boot in whole seconds, and rounds it anew at each call.
_SAME_START_S = 2.5


class Process(Record):
    """A process of one machine.

    Attributes:
        host: the machine's name, for people.
        machine: tells machines, containers and boots apart, since names and pids repeat.
        pid: its number there.
        started: seconds from the boot to its start, which no change of the clock moves.
    """

    host: str
    machine: str
    pid: int
    started: float

    def dead(self) -> bool:
        """Whether it ran on this machine and has ended; False when that cannot be known."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(_started(process) - self.started) > _SAME_START_S
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this() -> Process:
    """The process that asks."""
    return Process(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(psutil.Process()),
    )


def _started(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()


@cache
def _machine() -> str:
    """Where a pid means one process, as one user sees it (some systems hide those of others).

    That is a boot of a machine, and on Linux a namespace of pids.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}/{os.getuid()}"
    except OSError:
        # Without an address to go by, getnode is random: then no process is called dead.
        return f"{socket.gethostname()}/{uuid.getnode():x}"

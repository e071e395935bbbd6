"""Whose a file or a folder is: the process that made it, and whether that process is proven dead.

A process number alone proves nothing: it is used again, other hosts have the same numbers, and so have the containers
of one host. An owner is therefore told by host, boot, process number space and the time at which the process started.
Where that is not enough to say that the owner is dead, the answer is "unknown", and nothing of its may be removed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["alive", "dead", "unknown"]

INITIAL_NAMESPACE = "pid:[4026531836]"
"""Linux's name of the process numbers that a host itself sees, outside of all containers (include/linux/proc_ns.h)."""


@dataclass(frozen=True)
class Owner:
    """A process: ``started`` is in clock ticks since boot, -1 where the system does not tell (no /proc)."""

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: int

    def state(self) -> State:
        """Whether this process still lives, as far as it can be proven from here."""
        here = current()
        if (self.host, self.boot, self.namespace) == (here.host, here.boot, here.namespace):
            return self._by_number()
        same_machine = bool(self.machine) and (self.host, self.machine) == (here.host, here.machine)
        outside_of_containers = self.namespace == here.namespace == INITIAL_NAMESPACE
        if same_machine and outside_of_containers and self.boot and here.boot and self.boot != here.boot:
            return "dead"  # the machine was started anew since
        return "unknown"

    def _by_number(self) -> State:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "dead"
        except OverflowError:
            return "unknown"
        except PermissionError:
            pass
        started = _started(self.pid)
        if -1 in (started, self.started):
            return "unknown"
        return "alive" if started == self.started else "dead"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Any) -> Owner | None:
        """The owner that ``to_dict`` wrote; None for anything else."""
        if not isinstance(values, dict):
            return None
        try:
            texts = {key: values[key] for key in ("host", "machine", "boot", "namespace")}
            numbers = {key: values[key] for key in ("pid", "started")}
        except KeyError:
            return None
        if not all(isinstance(text, str) for text in texts.values()):
            return None
        if not all(type(number) is int for number in numbers.values()) or numbers["pid"] < 1:
            return None
        return Owner(**texts, **numbers)

    def token(self) -> str:
        """The owner in 12 hexadecimal digits for host, boot and namespace, then its number and its time of start."""
        return f"{_system(self)}-{self.pid}-{self.started}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def current() -> Owner:
    """This process."""
    pid = os.getpid()
    machine = _text("/etc/machine-id")
    boot = _text("/proc/sys/kernel/random/boot_id")
    return Owner(socket.gethostname(), machine, boot, _namespace(), pid, _started(pid))


def state_of_token(token: str) -> State:
    """The state of the owner that ``Owner.token`` told; unknown for one of another host, boot or container."""
    host, _, rest = token.partition("-")
    pid, _, started = rest.partition("-")
    here = current()
    if host != _system(here) or not pid.isdigit() or not started.lstrip("-").isdigit():
        return "unknown"
    return Owner(here.host, here.machine, here.boot, here.namespace, int(pid), int(started)).state()


@functools.lru_cache(maxsize=8)
def _system(owner: Owner) -> str:
    text = "\0".join((owner.host, owner.machine, owner.boot, owner.namespace))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _started(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc(5)); -1 where it cannot be read. The name before it may hold blanks."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""

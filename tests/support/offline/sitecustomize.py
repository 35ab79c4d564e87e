"""Python loads this by its name where this folder is on PYTHONPATH: every way out to the network is noted and refused.

An audit hook sees what every Python below does, kernels and servers too, even where they swallow the exception.
"""

import ipaddress
import os
import sys

_LOG = os.environ["OFFLINE_LOG"]


def _is_here(host: object) -> bool:
    """Tell whether a host is this machine, by an address for which nobody has to be asked."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(name).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    host: object = None
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else AF_UNIX, or sendmsg on a connected socket
        if event == "socket.bind" and host in ("", "0.0.0.0", "::"):
            _refuse(event, "all interfaces")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    if not _is_here(host):
        _refuse(event, host)


def _refuse(event: str, host: object) -> None:
    command = " ".join(getattr(sys, "argv", ["?"]))
    with open(_LOG, "a", encoding="utf-8") as log:
        log.write(f"{event} {host} ({command[:120]})\n")
    raise OSError(101, f"the tests allow no network: {event} {host}")


sys.addaudithook(_watch)

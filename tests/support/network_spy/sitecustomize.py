"""On PYTHONPATH: every Python that starts writes its name, and each look at the network, beside this."""

import os
import sys

_WORDS = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo", "socket.send")

_LOG = os.path.join(os.path.dirname(__file__), "network.log")


def _note(words: str) -> None:
    with open(_LOG, "a", encoding="utf-8") as log:
        log.write(f"{words}\n")


_note(f"start {os.path.basename(sys.argv[0])}")
sys.addaudithook(lambda event, args: _note(f"{event} {args[1:]}") if event.startswith(_WORDS) else None)

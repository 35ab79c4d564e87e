"""A kernel behind a Jupyter server, over its websocket, as JupyterLab talks to it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect


@dataclass
class Reply:
    """What came of one cell."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    count: int | None = None

    @property
    def text(self) -> str:
        """What a learner reads below the cell."""
        plain = [each.get("text") or each.get("data", {}).get("text/plain", "") for each in self.outputs]
        return "\n".join(plain)

    @property
    def error(self) -> str | None:
        for each in self.outputs:
            if each["output_type"] == "error":
                return f"{each['ename']}: {each['evalue']}"
        return None


class Kernel:
    """One connection to a running kernel.

    Args:
        url: of its channels, ws://…
        headers: those of the page that is logged in.
        patience: seconds for the answer to one message.
    """

    def __init__(self, url: str, headers: dict[str, str], patience: float) -> None:
        self._request = HTTPRequest(url, headers=headers, connect_timeout=patience, request_timeout=patience)
        self._patience = patience
        self._session = Session()
        self._socket: WebSocketClientConnection | None = None

    async def connect(self) -> None:
        """Open the connection and wait until the kernel answers."""
        self._socket = await websocket_connect(self._request)
        await self._ask("kernel_info_request", {})

    async def execute(self, source: str) -> Reply:
        """Run one cell, wait for its end, and return its outputs."""
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
        return await self._ask("execute_request", {**content, "allow_stdin": False, "stop_on_error": True})

    async def close(self) -> None:
        if self._socket is not None:
            await leave(self._socket)

    async def _ask(self, kind: str, content: dict[str, Any]) -> Reply:
        assert self._socket is not None
        message = {**self._session.msg(kind, content), "channel": "shell", "buffers": []}
        await self._socket.write_message(json.dumps(message, default=json_default))
        return await asyncio.wait_for(self._answer(message["header"]["msg_id"]), self._patience)

    async def _answer(self, asked: str) -> Reply:
        reply, idle, replied = Reply(), False, False
        while not (idle and replied):
            message = await self._receive()
            if message.get("parent_header", {}).get("msg_id") != asked:
                continue
            content = message["content"]
            idle = idle or content.get("execution_state") == "idle"
            if message["channel"] == "shell":
                replied, reply.count = True, content.get("execution_count")
            elif output := _output(message["msg_type"], content):
                reply.outputs.append(output)
        return reply

    async def _receive(self) -> dict[str, Any]:
        assert self._socket is not None
        text = await self._socket.read_message()
        if text is None:
            raise ConnectionError("the server closed the kernel's connection")
        return dict(json.loads(text))


async def leave(socket: WebSocketClientConnection) -> None:
    """Close a websocket and wait until the other side has closed it, too."""
    socket.close()
    while await socket.read_message() is not None:
        pass


def _output(kind: str, content: dict[str, Any]) -> dict[str, Any] | None:
    """Return a message of a kernel as the output that a notebook keeps."""
    names = {
        "stream": ("name", "text"),
        "error": ("ename", "evalue", "traceback"),
        "display_data": ("data", "metadata"),
        "execute_result": ("data", "metadata", "execution_count"),
    }
    if kind not in names:
        return None
    return {"output_type": kind, **{name: content[name] for name in names[kind]}}

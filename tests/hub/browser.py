"""What a learner's browser sends to the hub: pages, forms and API calls, with cookies and without a token."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

PAGE = {"Sec-Fetch-Mode": "navigate"}
CALL = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


class RefusedError(RuntimeError):
    """The hub or a server answered with a status that is no success."""


class Browser:
    """One learner's cookies.

    Args:
        hub: the hub's public URL.
        name: the learner's name.
        patience: seconds for one answer.
    """

    def __init__(self, hub: str, name: str, patience: float) -> None:
        self._hub, self._name, self._patience = hub, name, patience
        self._client = httpx.AsyncClient(base_url=hub, timeout=patience, follow_redirects=True, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def log_in(self, password: str) -> None:
        """Fill in the form of the login page; the hub begins to start the server."""
        await self.page("/hub/login")
        form = {"username": self._name, "password": password, "_xsrf": self._xsrf("/hub/")}
        await self._checked(self._client.post("/hub/login", data=form, headers=PAGE))

    async def wait_for_server(self) -> None:
        """Follow the bar of the page "your server is starting" to its end; ask again where the hub is too busy."""
        while not await self._is_ready():
            page = await self._client.get("/hub/spawn", headers=PAGE)
            if page.status_code == 429:
                await asyncio.sleep(float(page.headers["Retry-After"]))
            elif page.is_error:
                raise RefusedError(f"the hub did not start the server: {page.status_code} {_said(page)}")

    async def page(self, path: str) -> httpx.Response:
        """Open a page."""
        return await self._checked(self._client.get(path, headers=PAGE))

    async def call(self, method: str, path: str, content: Any = None, *, of: str | None = None) -> Any:
        """Call the API of a learner's server (one's own without `of`) and return the answer's JSON."""
        return (await self._checked(self._send(method, path, content, of or self._name))).json()

    async def status(self, method: str, path: str, *, of: str) -> int:
        """Return only how somebody's server answers."""
        return (await self._send(method, path, None, of)).status_code

    def websocket(self, path: str) -> tuple[str, dict[str, str]]:
        """Return the URL and the headers with which a page opens a websocket."""
        request = self._client.build_request("GET", f"/user/{self._name}{path}")
        self._client.cookies.set_cookie_header(request)
        headers = {"Cookie": request.headers["Cookie"], "Origin": self._hub, "Sec-Fetch-Mode": "websocket"}
        return str(request.url.copy_with(scheme="ws")), headers

    async def _send(self, method: str, path: str, content: Any, of: str) -> httpx.Response:
        headers = {**CALL, "X-XSRFToken": self._xsrf(f"/user/{of}/")}
        return await self._client.request(method, f"/user/{of}{path}", json=content, headers=headers)

    async def _is_ready(self) -> bool:
        """Read the hub's progress events; False where no start is under way."""
        url = f"/hub/api/users/{self._name}/server/progress"
        headers = {**CALL, "X-XSRFToken": self._xsrf("/hub/")}
        async with self._client.stream("GET", url, headers=headers) as events:
            if events.status_code in (400, 404):
                return False
            events.raise_for_status()
            async for line in events.aiter_lines():
                said = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if said.get("failed"):
                    raise RefusedError(f"the hub did not start the server: {said.get('message')}")
                if said.get("ready"):
                    return True
        return False

    async def _checked(self, sending: Any) -> httpx.Response:
        response: httpx.Response = await sending
        if response.is_error:
            request = response.request
            raise RefusedError(f"{request.method} {request.url.path}: {response.status_code} {_said(response)}")
        return response

    def _xsrf(self, path: str) -> str:
        """Return the token against forged requests that a page below this path was given."""
        found = [cookie.value for cookie in self._client.cookies.jar if (cookie.name, cookie.path) == ("_xsrf", path)]
        return found[0] or "" if found else ""


def _said(response: httpx.Response) -> str:
    return " ".join(response.text.split())[:300]

"""A learner of the workshop: logs in, waits for JupyterLab, solves a notebook, saves it, looks at the progress."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.notebooks.copies import copy_name
from tests.hub.browser import Browser
from tests.hub.figures import Outcome
from tests.hub.kernel import Kernel, Reply

# What a learner's kernel says about itself: the lab's own rows and folder, and the exercises that are solved.
WHO = """
import json, os
from harness.course import progress_file as ledger
lab.write("controllers/whose.py", "def index():\\n    db.mytable.insert(old='whose', new={name!r})\\n    return ''\\n")
lab.get("whose/index")
root = lab._engine.site.root
print(json.dumps(dict(
    rows=[row["new"] for row in lab.table("mytable") if row["old"] == "whose"],
    root=str(root), mode=oct(root.stat().st_mode & 0o777), home=os.path.expanduser("~"), folder=os.getcwd(),
    solved=sorted(ledger.solved()),
)))
"""


@dataclass(frozen=True)
class Task:
    """What every learner does.

    `notebook` is the solved notebook, `exercise` the learner's own copy to save it to, `solved` the exercises that its
    checks then count as done.
    """

    notebook: dict[str, Any]
    exercise: str
    solved: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Task:
        """Read a solution notebook."""
        notebook = json.loads(path.read_text(encoding="utf-8"))
        checks = [source for cell in notebook["cells"] if (source := "".join(cell["source"])).startswith("check(")]
        solved = frozenset(source.split("(")[1].strip("\"') \n") for source in checks)
        return cls(notebook, f"my-course/{copy_name(f'exercises/{path.name}')}", solved)


class Learner:
    """One learner at one browser.

    Args:
        hub: the hub's public URL.
        name: the name to log in with.
        password: everybody's.
        patience: seconds for any one answer.
    """

    def __init__(self, hub: str, name: str, password: str, patience: float) -> None:
        self.name = name
        self.outcome = Outcome(name)
        self.says: dict[str, Any] = {}
        self.browser = Browser(hub, name, patience)
        self._password, self._patience = password, patience
        self._kernel: Kernel | None = None

    async def arrive(self) -> None:
        """Log in, and wait until JupyterLab's page is there."""
        begun = time.perf_counter()
        await self.browser.log_in(self._password)
        await self.browser.wait_for_server()
        await self.browser.page(f"/user/{self.name}/lab/tree/my-course/00a_lesson_welcome.ipynb")
        self.outcome.spawn = time.perf_counter() - begun

    async def open(self, path: str) -> None:
        """Open a notebook: start its kernel and wait for the first answer."""
        begun = time.perf_counter()
        wanted = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        session = await self.browser.call("POST", "/api/sessions", wanted)
        url, headers = self.browser.websocket(f"/api/kernels/{session['kernel']['id']}/channels")
        self._kernel = Kernel(f"{url}?session_id={session['id']}", headers, self._patience)
        await self._kernel.connect()
        self.outcome.kernel = time.perf_counter() - begun

    async def solve(self, task: Task) -> None:
        """Run every code cell of the solved notebook in order, look at the progress, and save the notebook."""
        begun = time.perf_counter()
        notebook = json.loads(json.dumps(task.notebook))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                raises = "raises-exception" in cell["metadata"].get("tags", ())
                reply = await self.run("".join(cell["source"]), cell["id"], raises=raises)
                cell["outputs"], cell["execution_count"] = reply.outputs, reply.count
                self.outcome.cells += 1
        self.outcome.run = time.perf_counter() - begun
        shown = await self.run("from harness import progress\nprogress()", "progress")
        self.expect("exercises solved" in shown.text, f"progress() showed {shown.text[:80]!r}")
        notebook["metadata"]["whose"] = self.name
        await self.browser.call("PUT", f"/api/contents/{task.exercise}", {"type": "notebook", "content": notebook})

    async def look(self, task: Task) -> None:
        """Ask the kernel whose lab, progress and folder it has."""
        source = WHO.format(name=self.name)
        reply = await self.run(source, "whose")
        if reply.error is None:
            self.says = json.loads(reply.text)
        saved = await self.browser.call("GET", f"/api/contents/{task.exercise}")
        self.says["saved"] = saved["content"]["metadata"].get("whose")

    async def run(self, source: str, label: str, *, raises: bool = False) -> Reply:
        """Run one cell; an exception is a failure of this learner's, or none is where the cell `raises`."""
        assert self._kernel is not None
        reply = await self._kernel.execute(source)
        self.expect((reply.error is not None) == raises, f"cell {label}: {reply.error or 'raised nothing'}")
        return reply

    def expect(self, condition: object, otherwise: str) -> None:
        """Note a failure unless the condition holds."""
        if not condition:
            self.outcome.failures.append(otherwise)

    async def leave(self) -> None:
        """Close the browser; the server goes on, as it does in a workshop."""
        if self._kernel is not None:
            await self._kernel.close()
        await self.browser.close()

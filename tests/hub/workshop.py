"""Everybody at once: arrive, solve, compare; then somebody who comes late and must find nothing of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tests.hub import processes
from tests.hub.figures import Outcome, Usage
from tests.hub.hub import Hub
from tests.hub.learner import Learner, Task


async def hold(hub: Hub, task: Task, count: int, patience: float) -> list[Outcome]:
    """Let so many learners do the task at the same time.

    Args:
        hub: a running hub.
        task: what each does.
        count: how many learners.
        patience: seconds for any one answer.

    Returns:
        How each fared; the last is the one who came late, without figures.
    """
    learners = [_learner(hub, f"learner{number:02}", patience) for number in range(1, count + 1)]
    late = _learner(hub, "latecomer", patience)
    try:
        await _all(learners, lambda each: _attend(each, task))
        usages = measure(hub.mark)
        for each in learners:
            each.outcome.server = usages.get((each.name, "server"))
            each.outcome.kernels = usages.get((each.name, "kernels"))
        await _all([late], lambda each: _come_late(each, task))
        await _all(learners, lambda each: _compare(each, [*learners, late], task))
        await _all(learners, lambda each: _try_doors(each, [*learners, late], task))
    finally:
        await _all([*learners, late], Learner.leave)
    return [each.outcome for each in (*learners, late)]


def _learner(hub: Hub, name: str, patience: float) -> Learner:
    return Learner(hub.url, name, hub.password, patience)


async def _all(learners: Sequence[Learner], step: Callable[[Learner], Awaitable[None]]) -> None:
    """Do a step for all learners at the same time; what it raises is a failure of that learner's."""

    async def one(learner: Learner) -> None:
        try:
            await step(learner)
        except Exception as error:
            learner.outcome.failures.append(f"{type(error).__name__}: {error}")

    await asyncio.gather(*map(one, learners))


async def _attend(learner: Learner, task: Task) -> None:
    await learner.arrive()
    await learner.open(task.exercise)
    await learner.solve(task)
    await learner.look(task)


async def _come_late(learner: Learner, task: Task) -> None:
    """Arrive when all others are done, and find everything as it was in the beginning."""
    await learner.arrive()
    await learner.open(task.exercise)
    await learner.run("from harness import Lab\nlab = Lab()", "lab")
    await learner.look(task)
    learner.expect(learner.says.get("solved") == [], f"solved before it was begun: {learner.says.get('solved')}")
    learner.expect(learner.says.get("saved") is None, f"has the file of {learner.says.get('saved')}")
    learner.outcome.spawn = learner.outcome.kernel = None  # nobody else was starting: no figures of "at once"


async def _compare(learner: Learner, everybody: Sequence[Learner], task: Task) -> None:
    """Hold what a learner has against what is the learner's own; nothing to hold where it came to nothing before."""
    says = learner.says
    if not says:
        return
    learner.expect(says.get("rows") == [learner.name], f"the lab holds the rows {says.get('rows')}")
    learner.expect(set(says.get("solved", ())) == task.solved, f"progress() says {says.get('solved')} are solved")
    learner.expect(says.get("saved") == learner.name, f"the saved notebook is {says.get('saved')}'s")
    learner.expect(says.get("mode") == "0o700", f"others can open the lab's folder: {says.get('mode')}")
    for kind in ("root", "home", "folder"):
        others = [each for each in everybody if each is not learner and each.says]
        same = [each.name for each in others if each.says.get(kind) == says.get(kind)]
        learner.expect(not same, f"shares the {kind} {says.get(kind)} with {', '.join(same)}")


async def _try_doors(learner: Learner, everybody: Sequence[Learner], task: Task) -> None:
    """Try to open the next learner's files, kernels and JupyterLab; the hub must refuse."""
    if not learner.says:
        return
    other = everybody[(everybody.index(learner) + 1) % len(everybody)]
    for path in (f"/api/contents/{task.exercise}", "/api/kernels", "/lab"):
        status = await learner.browser.status("GET", path, of=other.name)
        learner.expect(status in (401, 403, 404), f"may open {path} of {other.name}: {status}")


def measure(mark: str) -> dict[tuple[str, str], Usage]:
    """Add up what each learner's server and kernels use, while they run; the keys are ("learner01", "kernels")."""
    found: dict[tuple[str, str], Usage] = {}
    for process, environment in processes.marked(mark):
        if name := environment.get("JUPYTERHUB_USER"):  # not the hub, its proxy and its services
            kind = "kernels" if any("ipykernel" in word for word in process.cmdline()) else "server"
            found[name, kind] = found.get((name, kind), Usage()) + processes.usage(process)
    return found

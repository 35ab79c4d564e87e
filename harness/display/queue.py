"""How a queue's figures are shown. `python -m harness.display.queue` shows them."""

from __future__ import annotations

from harness.display.card import Card, card, fact
from harness.display.times import clock, quantity
from harness.records import QueueSample, QueueStatistics


def statistics_card(figures: QueueStatistics) -> Card:
    """Show what App Engine reports about a queue."""
    tasks, rate = quantity(figures.tasks, "task"), f"{figures.enforced_rate:g}/s"
    facts = [
        fact("tasks", tasks),
        fact("oldest ETA", clock(figures.oldest_eta) if figures.oldest_eta else "none"),
        fact("executed in the last minute", f"{figures.executed_last_minute:,}"),
        fact("in flight", f"{figures.in_flight:,}"),
        fact("enforced rate", rate),
    ]
    line = f"QueueStatistics {figures.queue}: {tasks}, {rate}"
    return card(f"statistics of the queue {figures.queue}", facts, line=line)


def sample_card(sample: QueueSample) -> Card:
    """Show the figures of a queue at one instant."""
    waiting, running = quantity(sample.waiting, "task"), quantity(sample.running, "task")
    facts = [fact("tokens", f"{sample.tokens:g}"), fact("waiting", waiting), fact("running", running)]
    line = (
        f"QueueSample {clock(sample.at)}: {sample.tokens:g} tokens, {sample.waiting} waiting, {sample.running} running"
    )
    return card(f"queue at {clock(sample.at)}", facts, line=line)


if __name__ == "__main__":
    from harness.display.example import TASK

    print(QueueStatistics("mail", 3, TASK.eta, 12, 1, 5.0), QueueSample(TASK.eta, 2.5, 2, 1), sep="\n\n")

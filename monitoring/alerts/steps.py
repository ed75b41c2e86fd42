"""What a run does about alerts once everything is measured."""

from __future__ import annotations

from monitoring.alerts.judge import judge
from monitoring.alerts.sending import send_waiting
from monitoring.watch.jobs import Step
from monitoring.watch.world import World


def _judge(world: World, run: str) -> None:
    judge(world, run)


def _send(world: World, run: str) -> None:
    send_waiting(world.settings, world.policies.monitoring, world.engine)


JUDGING = Step("judging the rules", _judge)
SENDING = Step("sending alerts", _send)

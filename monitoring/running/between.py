"""What `leads monitor watch` does between two runs: send messages that are due again, and look after retrainings."""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy.engine import Engine

from leads.alerting.policy import MonitoringPolicy
from leads.db.engine import open_engine
from leads.errors import LeadsError
from leads.settings import Settings
from monitoring.alerts.retraining import Retrainings
from monitoring.alerts.sending import send_waiting

# How often it looks, in seconds. A message that failed for the first time is due after five.
_EVERY_S = 5.0
_log = logging.getLogger(__name__)


class Between:
    """The time between two runs.

    Args:
        stopped: set once the process has to end.
    """

    def __init__(self, settings: Settings, stopped: threading.Event) -> None:
        self._settings, self._stopped = settings, stopped
        self._retrainings = Retrainings(settings)
        # Kept open: that it was opened and closed is a line in the log each time.
        self._engine: Engine | None = None
        self._said = ""

    def wait(self, seconds: float, policy: MonitoringPolicy | None) -> None:
        """Wait, and look after what is due meanwhile. What fails is logged once, and tried again."""
        until = time.monotonic() + seconds
        while not self._stopped.is_set() and (left := until - time.monotonic()) > 0:
            if policy is not None:
                self._look(policy)
            self._stopped.wait(min(_EVERY_S, left))

    def close(self) -> None:
        """Stop a retraining that runs."""
        self._retrainings.close()
        self._disconnect()

    def _look(self, policy: MonitoringPolicy) -> None:
        try:
            if self._engine is None:
                self._engine = open_engine(self._settings, create=False)
            self._retrainings.step(self._engine, policy)
            send_waiting(self._settings, policy, self._engine)
        except LeadsError as error:
            self._say(str(error), logging.WARNING)
        # Nothing may end monitoring.
        except Exception as error:
            self._say(f"Alerts can't be sent: unexpected {type(error).__name__}.", logging.ERROR, trace=True)
            self._disconnect()
        else:
            self._said = ""

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _say(self, text: str, level: int, *, trace: bool = False) -> None:
        if text != self._said:
            _log.log(level, "%s", text, exc_info=trace)
        self._said = text

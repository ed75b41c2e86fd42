"""An API process: runs the BentoML service on a socket that `leads serve` listens on.

    python -m serving.instance.api --listener DESCRIPTOR [--ready DESCRIPTOR]

It accepts connections once the service has started, which includes loading the published versions, and then writes to
the second descriptor. On `HAND_OVER`, it leaves new connections to the processes that share the socket, and ends when
those it has are closed: each response says that it is the last one on its connection.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from types import ModuleType
from typing import cast

import uvicorn

from serving.instance.listening import BACKLOG, adopt

# Hand over to the API processes that a restart has started.
HAND_OVER = signal.SIGUSR1
READY = b"ready"
# A connection on which nothing happens for so long is closed.
KEEP_ALIVE_S = 5
# Time that requests in progress have to finish once no new ones are accepted. In a restart, it is longer than any
# request may take.
GRACE_S = 10
HAND_OVER_GRACE_S = 25
# A process that hands over waits at most this long for a last request on each open connection. Connections are closed
# after KEEP_ALIVE_S without a request anyway.
LAST_REQUEST_S = KEEP_ALIVE_S + 1.0


class ApiServer(uvicorn.Server):
    """uvicorn's server, which tells when it accepts connections, and can hand over."""

    def __init__(self, config: uvicorn.Config, ready: int | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._hands_over = False

    def hand_over(self) -> None:
        """Accept no more connections, and end once those that are open have had a last request."""
        self._hands_over = self.should_exit = True
        self.config.timeout_graceful_shutdown = HAND_OVER_GRACE_S

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            os.write(self._ready, READY)
            os.close(self._ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self._hands_over:
            await self._serve_last_requests()
        await super().shutdown(sockets)

    async def _serve_last_requests(self) -> None:
        """Answer one more request on each open connection.

        If idle connections were closed at once, requests that their clients have just sent would fail.
        """
        from serving.service import runtime

        parts = runtime()
        parts.handing_over.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + LAST_REQUEST_S
        while self.server_state.connections and loop.time() < until and not parts.stopping.is_set():
            await asyncio.sleep(0.05)


def leave_out_scikit_learn() -> None:
    """Make `import sklearn` fail in this process, which has no use for it.

    XGBoost imports it wherever it is installed, and with it pandas and most of SciPy: 90 MB, and a second or more of
    each start. It does without where it can't be imported, as in the serving image.
    """
    sys.modules.setdefault("sklearn", cast(ModuleType, None))


def main() -> None:
    """Serve until SIGTERM, or until a successor has taken over."""
    parser = argparse.ArgumentParser(description="Run an API process. `leads serve` starts it.")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of a socket that listens")
    parser.add_argument("--ready", type=int, help="descriptor to write to once requests are answered")
    given = parser.parse_args()
    listener = adopt(given.listener)
    if given.ready is not None:
        os.set_inheritable(given.ready, False)
    leave_out_scikit_learn()
    # Late, because it takes long, and a mistake in the arguments should be reported at once.
    from serving.service import LeadServing

    app = LeadServing.to_asgi(is_main=True)  # type: ignore[attr-defined]
    # As BentoML's own API process configures it.
    config = uvicorn.Config(
        app,
        backlog=BACKLOG,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = ApiServer(config, given.ready)
    signal.signal(HAND_OVER, lambda *_: server.hand_over())
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()

"""A process can go on with children that it started before it ran another program."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leads.processes import Adopted, start, stop

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_an_adopted_child_is_waited_for_signalled_and_stopped() -> None:
    child = subprocess.Popen(_SLEEP, process_group=0)
    adopted = Adopted(child.pid)
    assert adopted.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        adopted.wait(0.05)
    stop(adopted, grace_s=30)
    assert adopted.poll() == adopted.wait() == -signal.SIGTERM
    # Nobody else may have its number by now.
    adopted.send_signal(signal.SIGKILL)
    child.returncode = 0


def test_a_child_that_is_already_gone_counts_as_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Adopted(child.pid).wait(1.0) == 0


def test_a_child_gets_the_descriptors_that_it_is_given(tmp_path: Path) -> None:
    code = "import socket, sys; print(socket.socket(fileno=int(sys.argv[1])).getsockname()[1])"
    log = tmp_path / "logs" / "child.log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        child = start([sys.executable, "-c", code, str(number)], env={}, log=log, descriptors=[number])
        assert child.wait(60) == 0
        assert log.read_text().strip() == str(listener.getsockname()[1])

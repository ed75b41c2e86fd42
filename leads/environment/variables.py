"""The `LEADS_…` variables of this process: those that give settings, those that Kubernetes sets, and misspelt ones."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping

PREFIX = "LEADS_"
# Read by the Python client, which is installed next to the platform.
_OF_CLIENT = frozenset(("LEADS_URL", "LEADS_API_KEY"))
# Kubernetes describes each service of the namespace to every container. Those of a service `leads`, or `leads-…`, begin
# with our prefix.
_SERVICE_LINK = re.compile(
    r"LEADS_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"LEADS_(?:\w+_)?PORT")
_LINK_VALUE = re.compile(r"(?:tcp|udp|sctp)://")
# For the tests of this project.
_OF_TESTS = "LEADS_TEST_"


def counts(name: str, value: str | None) -> bool:
    """Whether a variable gives a setting. An empty one counts as not set, and so does what Kubernetes sets.

    >>> counts("LEADS_HOME", "/srv"), counts("LEADS_PLATFORM", " "), counts("LEADS_PORT", "tcp://10.0.0.1:3000")
    (True, False, False)
    """
    return value is not None and value.strip() != "" and not is_service_link(name, value)


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes sets this variable for a service named `leads` or `leads-…`.

    >>> is_service_link("LEADS_PORT", "tcp://10.0.0.1:3000"), is_service_link("LEADS_PORT_3000_TCP_ADDR", "10.0.0.1")
    (True, True)
    >>> is_service_link("LEADS_PORT", "3000")
    False
    """
    if _SERVICE_LINK.fullmatch(name):
        return True
    return _SERVICE_PORT.fullmatch(name) is not None and _LINK_VALUE.match(value) is not None


def notices(settings: Collection[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that has no effect although it looks as if it had: misspelt, or set by Kubernetes.

    Args:
        settings: the names of all settings, as variables.
        environment: default: this process's. Values aren't quoted, because they may be secrets.
    """
    return list(_notices(settings, os.environ if environment is None else environment))


def _notices(settings: Collection[str], environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(environment.items()):
        if not name.upper().startswith(PREFIX) or name.upper() in _OF_CLIENT or name.startswith(_OF_TESTS):
            continue
        if is_service_link(name, value):
            if name in settings:
                yield (
                    f"{name} is ignored, because it is what Kubernetes sets for a service named leads. Set "
                    "enableServiceLinks: false in the pod, or give the service another name, to be able to set it."
                )
        elif name.upper() not in settings:
            similar = difflib.get_close_matches(name.upper(), settings, 1, cutoff=0.7)
            yield f"{name} isn't a setting and has no effect." + (f" Did you mean {similar[0]}?" if similar else "")

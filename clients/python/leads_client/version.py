"""The version of the API and of this client: they are released together and have the same number."""

from __future__ import annotations

VERSION = "0.1.0"
# The response header in which the service states its version to callers with a valid key.
VERSION_HEADER = "X-API-Version"


class VersionMismatch(UserWarning):
    """The service has another major version than this client, so its responses may not fit the client's schemas."""


def mismatch(service: str) -> str | None:
    """A warning if the service's version and this client's don't fit together, else None.

    >>> mismatch("7.0.0").partition(". ")[2]
    "Install the client's version 7: 'lead-serving-client==7.*'."
    """
    major = service.partition(".")[0]
    if not major.isdecimal() or major == VERSION.partition(".")[0]:
        return None
    return (
        f"The service has version {service} and this client {VERSION}. "
        f"Install the client's version {major}: 'lead-serving-client=={major}.*'."
    )

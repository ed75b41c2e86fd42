"""The platform that tests run on, unless they declare one of their own."""

from __future__ import annotations

from leads.api.declared import Declared
from leads.platform.declaration import load_platform
from leads.settings import PLATFORM_FILE

PLATFORM = load_platform(PLATFORM_FILE)
DECLARED = Declared(PLATFORM)

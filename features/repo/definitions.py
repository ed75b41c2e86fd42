"""Read by `feast -c features/repo apply`: defines every object of `features.feast.store` as a global of this module."""

from features.feast.repo_settings import project_settings
from features.feast.store import definitions

# Feast collects the module's globals. An entity and its view share a name, so the key includes the type.
globals().update({f"{type(item).__name__}_{item.name}": item for item in definitions(project_settings())})

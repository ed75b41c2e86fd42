"""What `feast -c features/repo apply` finds: every object of `features.feast.store`, under a name of this module."""

from features.feast.repo_settings import project_settings
from features.feast.store import definitions

# Feast takes up whatever a module's names stand for; an entity and its view share a name, so the kind is part of it.
globals().update({f"{type(one).__name__}_{one.name}": one for one in definitions(project_settings())})

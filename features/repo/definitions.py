"""The definitions that `feast -c features/repo apply` reads: every object of `features.feast.store`."""

from features.feast.repo_settings import project_settings
from features.feast.store import definitions
from leads.files import keep_private

keep_private()
# Feast collects the objects that a module's global names refer to. An entity and its view have the same name, so the
# global name includes the type.
globals().update({f"{type(one).__name__}_{one.name}": one for one in definitions(project_settings())})

"""The definitions that `feast -c features/repo apply` reads: the objects of `features.feast.store`, and own views."""

from features.feast.repo_settings import project_settings
from features.feast.store import definitions
from features.registration.loading import declared_with_views
from leads.files import keep_private

keep_private()
settings = project_settings()
# Feast collects the objects that a module's global names refer to. An entity and its view have the same name, so the
# global name includes the type. Of an entity that own views and ours are about, ours counts.
objects = [*declared_with_views(settings)[1].objects, *definitions(settings)]
globals().update({f"{type(one).__name__}_{one.name}": one for one in objects})

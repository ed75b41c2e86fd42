"""What `feast -c features/repo apply` finds: every object of `features.store`, under a name of this module."""

from features.store import definitions
from leads.settings import REPOSITORY, load_settings

# The home that feature_store.yaml names, in full: Feast changes its folder before it imports this.
_SETTINGS = load_settings(home=REPOSITORY / "var")

# Feast takes up whatever a module's names stand for; an entity and its view share a name, so the kind is part of it.
globals().update({f"{type(one).__name__}_{one.name}": one for one in definitions(_SETTINGS)})

"""The features that every platform has, compiled. `leads/platform/features.yaml` declares them."""

from __future__ import annotations

from features.declared.compile import Declarations, compile_features
from features.layout import FIRST_NUMBER
from leads.platform.built_in import BUILT_IN_FEATURES

BUILTIN = compile_features(Declarations(BUILT_IN_FEATURES, {}, {}), FIRST_NUMBER)
ROLES, LAYOUTS, LAYOUT_OF = BUILTIN.roles, BUILTIN.layouts, BUILTIN.layout_of
ITEM, ACCOUNT, PARENT, BUCKET, DEVICE = LAYOUTS

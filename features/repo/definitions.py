"""What `feast -c features/repo apply` finds: every object of `features.store`, under a name of this module."""

from features.store import definitions
from leads.settings import load_settings

(
    item,
    account,
    parent,
    item_view,
    account_view,
    parent_view,
    named_view,
    leads_v1,
    leads_named_v1,
) = definitions(load_settings())

"""The on-demand views: the named features and the links, computed for users of Feast's SDK.

Feast evaluates the annotations, so pandas must be imported at the top of the module.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.declared.generations import last_live
from features.evaluate.columns import contract_for, evaluate
from features.layout import Layout, missing
from features.rows import LinkValues, is_row, links_in, unpack


def named_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """One column per stored feature, computed from packed rows by the function that computes a model's input.

    Args:
        inputs: `as_of` (µs) and one stored row per view (`item_packed`, …), None where missing.
    """
    features = last_live().without_views
    packed = missing(features.roles, len(inputs))
    for layout in features.layouts:
        # Feast joins one bucket only. A text's two buckets differ only if it nearly copies two different texts.
        role = "bucket_0" if layout.view == "bucket" else layout.view
        rows = inputs[layout.packed_name]
        found = np.flatnonzero([_is_stored(layout, row) for row in rows])
        packed[role][found] = unpack(layout, [rows.iloc[i] for i in found.tolist()])
    contract = contract_for(text=False, features=features)
    as_of = inputs["as_of"].to_numpy(dtype=np.int64)
    matrix = evaluate(contract, packed, as_of, [None] * len(inputs), features).matrix
    return pd.DataFrame(
        {name.replace(".", "_"): matrix[:, j] for j, name in enumerate(contract.names)}, index=inputs.index
    )


def stored_links(view: str, inputs: pd.DataFrame) -> pd.DataFrame:
    """One column per link of the view, from its stored rows; empty where missing, because Feast needs strings."""
    layout = last_live().layout_of[view]
    nothing: LinkValues = (None,) * len(layout.links)
    rows = [links_in(layout, row) if _is_stored(layout, row) else nothing for row in inputs[layout.packed_name]]
    texts = [[link or "" for link in links] for links in rows]
    return pd.DataFrame(texts, columns=list(layout.links), index=inputs.index, dtype=str)


def _is_stored(layout: Layout, row: object) -> bool:
    return isinstance(row, bytes) and is_row(layout, row)


def links_body(view: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A new function on every call, as `on_demand_body` gives; its source text must name the view."""

    def item_links(inputs: pd.DataFrame) -> pd.DataFrame:
        from features.feast.on_demand import stored_links

        return stored_links("item", inputs)

    def account_links(inputs: pd.DataFrame) -> pd.DataFrame:
        from features.feast.on_demand import stored_links

        return stored_links("account", inputs)

    return {"item": item_links, "account": account_links}[view]


def on_demand_body() -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A new function on every call: Feast moves the function to `__main__` and stores its source text."""

    def named(inputs: pd.DataFrame) -> pd.DataFrame:
        from features.feast.on_demand import named_features

        return named_features(inputs)

    return named

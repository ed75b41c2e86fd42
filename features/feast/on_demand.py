"""The on-demand view: computes the named features for users of Feast's SDK.

Feast evaluates the annotations, so pandas must be imported at the top of the module.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.evaluate.columns import contract_for, evaluate
from features.layout import LAYOUTS, missing, packed_name


def named_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """One column per stored feature, computed from packed rows by the function that computes a model's input.

    Args:
        inputs: `as_of` (µs) and one packed row per view (`item_packed`, …), None where missing.
    """
    packed = missing(len(inputs))
    for layout in LAYOUTS:
        # Feast joins one bucket only. A text's two buckets differ only if it nearly copies two different texts.
        role = "bucket_0" if layout.view == "bucket" else layout.view
        for i, row in enumerate(inputs[packed_name(layout.view)]):
            if row is not None and np.size(row) == layout.width:
                packed[role][i] = row
    contract = contract_for(text=False)
    as_of = inputs["as_of"].to_numpy(dtype=np.int64)
    matrix = evaluate(contract, packed, as_of, [None] * len(inputs)).matrix
    return pd.DataFrame(
        {name.replace(".", "_"): matrix[:, j] for j, name in enumerate(contract.names)}, index=inputs.index
    )


def on_demand_body() -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A new function on every call: Feast moves the function to `__main__` and stores its source text."""

    def named(inputs: pd.DataFrame) -> pd.DataFrame:
        from features.feast.on_demand import named_features

        return named_features(inputs)

    return named

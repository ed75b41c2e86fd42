"""The named features for users of Feast's own SDK: the body of the on-demand view.

Feast evaluates the annotations, so pandas is imported here for real.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.evaluate.columns import contract_for, evaluate
from features.layout import LAYOUTS, missing
from features.offline.segments import packed_name


def named_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """One column per stored feature, evaluated from packed rows by the same function as a model's input.

    Args:
        inputs: columns `as_of` (µs) and, per view, the packed row (`item_packed`, …), None where missing.
    """
    packed = missing(len(inputs))
    for layout in LAYOUTS:
        # Feast joins one bucket; a subject's two differ only where its text is a near copy of two others.
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
    """A new function each time: Feast moves the one it is given to `__main__`, and keeps it as source text."""

    def named(inputs: pd.DataFrame) -> pd.DataFrame:
        from features.feast.on_demand import named_features

        return named_features(inputs)

    return named

"""Own fields of items that come with a request: they override what the item's row holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.declared.own import own_value
from features.layout import DAY_S, Matrix
from features.online.reader import Fetched
from leads import clock
from leads.clock import Micros
from leads.events import ACCOUNT
from serving.scoring.inputs import Input


def overridden(inputs: Sequence[Input], features_own: Sequence[str]) -> list[int]:
    """The places of the inputs whose request gives a field that features read.

    Args:
        features_own: `FeatureSet.own_fields`.
    """
    if not features_own:
        return []
    read = {name.partition("=")[0] for name in features_own}
    return [one.place for one in inputs if one.request.fields and not read.isdisjoint(one.request.fields)]


def put_given(fetched: Fetched, inputs: Sequence[Input], as_of: Micros) -> None:
    """Put the given values into the rows, as if the item had been edited now."""
    features = fetched.features
    which = overridden(inputs, features.own_fields)
    if not which:
        return
    day, second = divmod(as_of // clock.SECOND, DAY_S)
    for recipe in features.recipes[("item", "about")]:
        if not recipe.own_fields:
            continue
        # Roles without any row share one that can't be written.
        rows = fetched.packed[recipe.view] = np.array(fetched.packed[recipe.view])
        latest = features.layout_of[recipe.view].places.latest
        for i in which:
            request = inputs[i].request
            if recipe.view == "account" and request.subject.type_id != ACCOUNT:
                continue
            for name, field in recipe.own:
                if field.partition("=")[0] in request.fields:
                    _put(rows, i, latest[name], own_value(request.fields, field), day, second)


def _put(rows: Matrix, i: int, cell: int, value: float | None, day: int, second: int) -> None:
    rows[i, cell : cell + 3] = np.nan if value is None else value, day, second

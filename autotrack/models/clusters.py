"""Models that were trained on a cluster, in the form in which one machine uses them."""

from __future__ import annotations

from typing import Any


def local_form(model: Any) -> Any:
    """The estimator that a Dask estimator of LightGBM's comes down to; any other model as it is.

    What the estimator's own `to_local` gives. That, like its way of being pickled, changes the estimator on the way.
    """
    kind = type(model)
    if kind.__module__ != "lightgbm.dask":
        return model
    local: Any = next((base for base in kind.__mro__ if base.__module__ == "lightgbm.sklearn"), None)
    if local is None:
        return model
    attributes = {name: value for name, value in vars(model).items() if name != "client"}
    others = attributes.get("_other_params")
    if isinstance(others, dict):
        attributes["_other_params"] = {name: value for name, value in others.items() if name != "client"}
    found = local.__new__(local)
    vars(found).update(attributes)
    return found

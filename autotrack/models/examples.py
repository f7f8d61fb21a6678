"""Input examples: a few rows beside the model, in the files and forms that MLflow reads."""

from __future__ import annotations

import json
from typing import Any

from autotrack.errors import InvalidArgumentError
from autotrack.models.inference import library_of

EXAMPLE = "input_example.json"
SERVING = "serving_input_example.json"


def files_of(example: Any) -> tuple[dict[str, bytes], dict[str, Any]]:
    """An example's two files, and what MLmodel says of it (`saved_input_example_info`).

    Args:
        example: DataFrame, array, sparse matrix (csr or csc), dict, list or scalar of plain values.

    Raises:
        InvalidArgumentError: It has no form in JSON.
    """
    content, serving, kind = _forms(example)
    files = {}
    for name, form in ((EXAMPLE, content), (SERVING, serving)):
        try:
            files[name] = json.dumps(form, default=_plain).encode()
        except (TypeError, ValueError) as error:
            expected = f"a DataFrame, array, sparse matrix, dict or list of plain values ({error})"
            raise InvalidArgumentError("input_example", type(example).__qualname__, expected) from None
    return files, {"artifact_path": EXAMPLE, "serving_input_path": SERVING, **kind}


def _forms(example: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Content of the two files, and the keys that tell how to read the first."""
    library, name = library_of(example)
    if library == "polars" and name == "DataFrame":
        example, library = example.to_pandas(), "pandas"
    if library == "pandas" and name in ("DataFrame", "Series"):
        frame = example.to_frame() if name == "Series" else example
        # Through pandas' own JSON: dates, missing values and categories become what MLflow expects.
        split = json.loads(frame.to_json(orient="split", index=False, date_format="iso"))
        split.pop("index", None)
        return split, {"dataframe_split": split}, {"type": "dataframe", "pandas_orient": "split"}
    if library == "scipy":
        if example.format not in ("csr", "csc"):
            example = example.tocsr()
        parts = {key: getattr(example, key).tolist() for key in ("data", "indices", "indptr")}
        sparse = {**parts, "shape": list(example.shape)}
        return sparse, {"inputs": example.toarray().tolist()}, {"type": f"sparse_matrix_{example.format}"}
    if library in ("numpy", "torch"):
        rows = example.tolist()
        return rows, {"inputs": rows}, {"type": "ndarray"}
    return example, {"inputs": example}, {"type": "json_object"}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__qualname__} has no form in JSON")

"""LightGBM's text format, checked before its library reads it: indices in a crafted file could point anywhere."""

from __future__ import annotations

import re
from pathlib import Path

from autotrack.errors import ModelFormatError
from autotrack.models.safety import UNREADABLE

_TREE = "Tree="
_END = "end of trees"
_MAX_LINES = 22
"""Lines of a tree that LightGBM reads."""

# As LightGBM writes them: with an exponent only where one digit stands before the point, and what a double can hold.
_NUMBER = r"-?(?:\d{1,25}(?:\.\d{0,25})?|[1-9](?:\.\d{1,20})?e[-+](?:\d\d|[12]\d\d|30[0-6])|inf|nan)"
_LINE = re.compile(rf"\w+=(?:{_NUMBER}(?: +{_NUMBER})*)? *")
_PARAMETER = re.compile(r"\[\w+: .*\]|")

_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count", "leaf_const", "num_features")
_PER_NODE = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_PER_NODE_TOO = ("internal_value", "internal_weight", "internal_count")
_NEEDED = ("leaf_value", "split_feature", "threshold", "left_child", "right_child")
"""Where one of these lacks, or an array has another length, LightGBM ends the whole process."""


def check_text(text: str, file: Path) -> None:
    """Check that a model is whole, that LightGBM reads the trees that are read here, and that their indices are right.

    Args:
        text: The model, as `Booster.save_model` writes it.
        file: Named in errors.

    Raises:
        ModelFormatError: It is cut short, damaged, or no LightGBM model.
    """
    if not text.startswith("tree\n") or "\r" in text or "\0" in text:
        raise ModelFormatError(f"{file}: not a LightGBM model in text form")
    if f"\n{_END}" not in text:
        raise ModelFormatError(f"{file}: a LightGBM model that is cut short")
    head, *trees = text[: text.rindex(f"\n{_END}")].split(f"\n{_TREE}")
    try:
        fields = _fields(head.split("\n"))
        last_feature = int(fields["max_feature_idx"])
        for number, tree in enumerate(trees):
            wrong = _wrong_in(_lines_of(tree), last_feature)
            if wrong:
                raise ModelFormatError(f"{file}: tree {number} is damaged: {wrong}")
        wrong = _wrong_in_head(fields, trees) or _wrong_in_tail(text[text.rindex(f"\n{_END}") :])
        if wrong:
            raise ModelFormatError(f"{file}: a damaged LightGBM model: {wrong}")
    except UNREADABLE as error:
        raise ModelFormatError(f"{file}: a damaged LightGBM model: {error!r}") from None


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        # Which of two LightGBM would take is its own affair.
        if separator and fields.setdefault(key, value) != value:
            raise ValueError(f"{key} stands there twice")
    return fields


def _wrong_in_head(fields: dict[str, str], trees: list[str]) -> str | None:
    """What is wrong in what stands before the trees."""
    sizes = [len(_TREE) + len(tree.encode()) + 1 for tree in trees]
    if "tree_sizes" in fields and _numbers(fields, "tree_sizes") != sizes:
        # LightGBM goes by them, and would read other trees than those that are checked.
        return "tree_sizes are not the sizes of its trees"
    classes = int(fields["num_tree_per_iteration"])
    told = [
        int(word.partition(":")[2]) for word in fields.get("objective", "").split() if word.startswith("num_class:")
    ]
    if classes < 1 or len(trees) % classes or any(count != classes for count in (int(fields["num_class"]), *told)):
        return "its numbers of classes and of trees do not belong together"
    return None


def _wrong_in_tail(tail: str) -> str | None:
    """What is wrong in the parameters that stand behind the trees."""
    parameters = tail.partition("\nparameters:\n")[2].partition("\nend of parameters")[0]
    odd = next((line for line in parameters.split("\n") if not _PARAMETER.fullmatch(line)), None)
    return None if odd is None else f"{odd[:40]!r} where a parameter is expected"


def _lines_of(tree: str) -> dict[str, str]:
    """A tree's lines, up to the empty one at which LightGBM stops."""
    number, _, rest = tree.partition("\n")
    block = rest.rstrip("\n").split("\n")
    if not number.isdecimal() or len(block) > _MAX_LINES:
        raise ValueError("other lines than a tree has")
    odd = next((line for line in block if not _LINE.fullmatch(line)), None)
    if odd is not None:
        raise ValueError(f"{odd[:40]!r} where numbers are expected")
    return _fields(block)


def _numbers(fields: dict[str, str], key: str) -> list[int]:
    return [int(value) for value in fields.get(key, "").split()]


def _wrong_in(fields: dict[str, str], last_feature: int) -> str | None:
    """What is wrong in a tree."""
    leaves = int(fields["num_leaves"])
    if leaves < 1:
        return "it has no leaves"
    for key in (*_PER_LEAF, *_PER_NODE, *_PER_NODE_TOO):
        length, expected = len(fields.get(key, "").split()), leaves if key in _PER_LEAF else leaves - 1
        if length != expected and (length or key in _NEEDED):
            return f"{key} has another length than there are {'leaves' if key in _PER_LEAF else 'nodes'}"
    for side in ("left_child", "right_child"):
        children = _numbers(fields, side)
        # Nodes come after their parent, so that no path returns; a leaf is the complement of its number.
        if not all(node < child < leaves - 1 if child >= 0 else ~child < leaves for node, child in enumerate(children)):
            return f"{side} names a node that is not there"
    if not all(0 <= feature <= last_feature for feature in _numbers(fields, "split_feature")):
        return "it asks for a feature that is not there"
    return _wrong_categories(fields) or _wrong_formulas(fields, last_feature)


def _wrong_formulas(fields: dict[str, str], last_feature: int) -> str | None:
    """What is wrong in the formulas of a linear tree's leaves."""
    counts, features = _numbers(fields, "num_features"), _numbers(fields, "leaf_features")
    lengths = {sum(counts), len(features), len(fields.get("leaf_coeff", "").split())}
    known = all(0 <= feature <= last_feature for feature in features)
    if len(lengths) > 1 or min(counts, default=0) < 0 or not known:
        return "its formulas do not belong together, or ask for a feature that is not there"
    if int(fields.get("is_linear", "0")) and not (counts and fields.get("leaf_const")):
        return "a linear tree without formulas"
    return None


def _wrong_categories(fields: dict[str, str]) -> str | None:
    count = int(fields["num_cat"])
    if not count:
        kinds = _numbers(fields, "decision_type")
        return "a split by categories without categories" if any(kind & 1 for kind in kinds) else None
    bounds, words = _numbers(fields, "cat_boundaries"), len(_numbers(fields, "cat_threshold"))
    if len(bounds) != count + 1 or bounds[0] != 0 or bounds[-1] != words or sorted(bounds) != bounds:
        return "its sets of categories do not belong together"
    pairs = zip(_numbers(fields, "decision_type"), fields.get("threshold", "").split(), strict=True)
    if not all(0 <= int(float(threshold)) < count for kind, threshold in pairs if kind & 1):
        return "it asks for a set of categories that is not there"
    return None

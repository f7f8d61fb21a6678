"""Writes the skops file format, without importing skops.

A skops file is a zip: `schema.json`, a tree of nodes that name classes and their state, and one `.npy` or `.npz` for
each array. Written here rather than by `skops.io.dump` for three reasons. Importing skops imports all of
scikit-learn (1,100 modules, seconds of CPU), which behind a training is time taken from it. Its files hold memory
addresses and times, so that equal models differ; these are equal to the byte. And an object whose class the policy
does not trust is found out while writing, not at the next load.

`skops.io.load` (0.13 and later), and MLflow with it, reads these files.
"""

from __future__ import annotations

import collections
import functools
import io
import json
import types
from math import isfinite
from typing import Any

import msgspec

from autotrack.models.policy import is_trusted
from autotrack.models.zip_writer import SMALL, ZipWriter

Node = dict[str, Any]

_LOSS_MODULES = ("sklearn._loss._loss", "sklearn.linear_model._sgd_fast")
_WRAPPERS = ("autotrack", "wrapt")
_KEY_TYPES = (str, int, float)


class NotHeldError(Exception):
    """The format cannot hold this object, or the policy does not trust its class; says which. Internal to models."""


def dumps(model: object) -> tuple[bytes, list[str]]:
    """A model as a skops file.

    Returns:
        The file's bytes, and the classes and functions that it names, sorted.

    Raises:
        NotHeldError: Some part of the model cannot be written, or would not be trusted when loaded.
    """
    writer = _Writer()
    try:
        return writer.write(model), sorted(writer.names)
    except RecursionError:
        raise NotHeldError("it is nested too deeply") from None


def _module_and_name(kind: Any) -> tuple[str, str]:
    return str(kind.__module__), str(kind.__name__)


class _Writer:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self._zip = ZipWriter()
        # Objects already written, by id. They are kept alive, so that no id is used twice.
        self._memo: dict[int, tuple[object, Node]] = {}
        self._open: set[int] = set()
        self._files: dict[tuple[bytes, str], str] = {}
        # Nodes of classes and functions, by id; those too are kept alive.
        self._heads: dict[tuple[str, int], tuple[Any, Node]] = {}
        self._protocol = 1

    def write(self, model: object) -> bytes:
        root = dict(self._node(model))
        root["protocol"] = self._protocol
        self._zip.add("schema.json", _schema(root))
        return self._zip.getvalue()

    def _file(self, content: bytes, suffix: str) -> str:
        """Name of a file with this content; the trees of a forest have many small ones in common."""
        known = self._files.get((content, suffix)) if len(content) <= SMALL else None
        if known is not None:
            return known
        name = f"{self._zip.count + 1}.{suffix}"
        self._zip.add(name, content)
        if len(content) <= SMALL:
            self._files[content, suffix] = name
        return name

    def _head(self, loader: str, kind: Any) -> Node:
        """A node's class, after asking the policy for it."""
        _, known = self._heads.get((loader, id(kind)), (None, None))
        if known is None:
            module, name = _module_and_name(kind)
            dotted = f"{module}.{name}"
            if not is_trusted(dotted):
                raise NotHeldError(f"{dotted} is not a class or function that is loaded without trust")
            if module != "builtins":
                self.names.add(dotted)
            known = {"__class__": name, "__module__": module, "__loader__": loader}
            self._heads[loader, id(kind)] = kind, known
        return known.copy()

    def _node(self, value: Any) -> Node:
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return _json_node(value)
        if kind in (tuple, frozenset, slice, bytes, functools.partial) or isinstance(value, type):
            return self._immutable(value, kind)
        known = self._memo.get(id(value))
        if known is not None:
            return known[1]
        if id(value) in self._open:
            raise NotHeldError(f"a {kind.__qualname__} refers to itself")
        self._open.add(id(value))
        node = self._object(value, kind)
        self._open.discard(id(value))
        if node["__loader__"] != "FunctionNode":
            node["__id__"] = len(self._memo) + 1
        self._memo[id(value)] = (value, node)
        return node

    def _immutable(self, value: Any, kind: type) -> Node:
        if isinstance(value, type):
            return self._head("TypeNode", value)
        if kind is tuple:
            return {**self._head("TupleNode", kind), "content": [self._node(item) for item in value]}
        if kind is frozenset:
            return self._constructed(kind, (sorted(value, key=repr),))
        if kind is bytes:
            return {**self._head("BytesNode", kind), "file": self._file(value, "bin")}
        if kind is slice:
            content = {"start": value.start, "stop": value.stop, "step": value.step}
            if any(type(part) not in (int, type(None)) for part in content.values()):
                raise NotHeldError("a slice by label")
            return {**self._head("SliceNode", kind), "content": content}
        parts = {"func": value.func, "args": value.args, "kwds": value.keywords, "namespace": vars(value) or None}
        content = {name: self._node(part) for name, part in parts.items()}
        return {**self._head("PartialNode", kind), "content": content}

    def _constructed(self, kind: type, arguments: tuple[Any, ...]) -> Node:
        return {**self._head("ConstructorFromReduceNode", kind), "content": self._node(arguments)}

    def _object(self, value: Any, kind: type) -> Node:
        if isinstance(value, dict):
            return self._dict(value, kind)
        if kind is list:
            return self._sequence("ListNode", kind, value)
        if kind is set:
            return self._sequence("SetNode", kind, sorted(value, key=repr))
        package = kind.__module__.partition(".")[0]
        if package in _WRAPPERS and hasattr(value, "__wrapped__"):
            # A function that autotrack watches: the file names the function itself.
            return self._object(value.__wrapped__, type(value.__wrapped__))
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)) or package == "numpy":
            return self._numpy_or_function(value, kind)
        if package == "scipy" and hasattr(value, "tocsr"):
            return self._sparse(value, kind)
        if package == "pandas":
            return self._index(value, kind)
        if _module_and_name(kind) == ("sklearn.tree._tree", "Tree"):
            _, arguments, state = value.__reduce__()
            return self._reduced("TreeNode", kind, arguments, state)
        if kind.__module__ in _LOSS_MODULES:
            return self._loss(value, kind)
        return self._instance(value, kind)

    def _sequence(self, loader: str, kind: type, items: Any) -> Node:
        return {**self._head(loader, kind), "content": [self._node(item) for item in items]}

    def _dict(self, value: dict[Any, Any], kind: type) -> Node:
        if kind is collections.defaultdict:
            return self._defaultdict(value)
        content: dict[str, Node] = {}
        key_types = []
        for key, item in value.items():
            plain = key.item() if type(key).__module__ == "numpy" and hasattr(key, "item") else key
            text = plain if isinstance(plain, str) else json.dumps(plain) if type(plain) in _KEY_TYPES else None
            # The reader makes keys of their texts: a bool or a tuple would not come back, 1 and "1" are one.
            if text is None or text in content:
                raise NotHeldError(f"a dict with the key {key!r}")
            content[text] = self._node(item)
            key_types.append(self._head("TypeNode", type(key)))
        types_node = {**self._head("ListNode", list), "content": key_types}
        return {**self._head("DictNode", kind), "content": content, "key_types": types_node}

    def _defaultdict(self, value: Any) -> Node:
        if not all(type(key) is str for key in value):
            raise NotHeldError("a defaultdict whose keys are not all texts")
        content = {"main": self._dict(dict(value), dict), "default_factory": self._node(value.default_factory)}
        return {**self._head("DefaultDictNode", collections.defaultdict), "content": content}

    def _numpy_or_function(self, value: Any, kind: type) -> Node:
        import numpy as np

        if isinstance(value, np.generic):
            if value.dtype.kind not in "biufcU":
                raise NotHeldError(f"a numpy scalar of dtype {value.dtype}")
            return self._array(np.asarray(value), kind)
        if isinstance(value, np.ma.MaskedArray):
            content = {"data": self._node(np.asarray(value.data)), "mask": self._node(value.mask)}
            return {**self._head("MaskedArrayNode", kind), "content": content}
        if kind in (np.ndarray, np.memmap):
            return self._array(np.asarray(value), np.ndarray)
        if isinstance(value, np.dtype):
            return {**self._head("DTypeNode", np.dtype), "content": self._node(np.empty(0, value))}
        if isinstance(value, np.random.RandomState):
            content = self._node(value.get_state(legacy=False))
            return {**self._head("RandomStateNode", kind), "content": content}
        if isinstance(value, np.random.Generator):
            return self._generator(value, kind)
        if isinstance(value, np.ufunc):
            return self._ufunc(value)
        return self._function(value)

    def _array(self, array: Any, kind: type) -> Node:
        node = self._head("NdArrayNode", kind)
        if array.dtype == object:
            return {**node, "type": "json", **self._objects(array)}
        if array.dtype.hasobject:
            raise NotHeldError("an array of records that hold objects")
        return {**node, "type": "numpy", "file": self._file(_npy(array), "npy")}

    def _objects(self, array: Any) -> Node:
        flat = array.ndim == 1
        # The reader stacks nested lists: what has a length of its own would become an axis, and so would no row.
        if not flat and (
            not array.size
            or not array.ndim
            or any(hasattr(item, "__len__") and type(item) is not str for item in array.flat)
        ):
            raise NotHeldError(f"an array of objects of shape {array.shape}")
        return {"content": [self._node(item) for item in array.tolist()], "shape": self._node(array.shape)}

    def _generator(self, value: Any, kind: type) -> Node:
        seed: Any = getattr(value.bit_generator, "seed_seq", None)
        if not hasattr(seed, "state"):
            raise NotHeldError("a random generator without a seed sequence")
        self._protocol = 2
        content = {"bit_generator": self._node(value.bit_generator.state), "seed_seq": self._node(seed.state)}
        return {**self._head("RandomGeneratorNode", kind), "content": content}

    def _ufunc(self, value: Any) -> Node:
        import numpy as np
        import scipy.special

        name = value.__name__
        for module in (np, scipy.special):
            if getattr(module, name, None) is value:
                self.names.add(f"{module.__name__}.{name}")
                return {"__class__": name, "__module__": module.__name__, "__loader__": "FunctionNode"}
        raise NotHeldError(f"the ufunc {name}")

    def _function(self, value: Any) -> Node:
        # A method has no place of its own; a lambda or an inner function is not what its module holds by its name.
        if not hasattr(value, "__name__") or getattr(value, "__self__", None).__class__ not in (
            type(None),
            types.ModuleType,
        ):
            raise NotHeldError(f"a {type(value).__module__}.{type(value).__qualname__}")
        return self._head("FunctionNode", value)

    def _sparse(self, value: Any, kind: type) -> Node:
        import scipy.sparse

        buffer = io.BytesIO()
        try:
            scipy.sparse.save_npz(buffer, value)
        except NotImplementedError as error:
            raise NotHeldError(str(error)) from None
        node = self._head("SparseMatrixNode", kind)
        return {**node, "type": "scipy", "file": self._file(buffer.getvalue(), "npz")}

    def _index(self, value: Any, kind: type) -> Node:
        import pandas as pd

        if kind is not pd.Index:
            raise NotHeldError(f"a {kind.__module__}.{kind.__qualname__}")
        arguments = (value.to_numpy(dtype=object), None, False, value.name)
        again = pd.Index(*arguments)
        if again.dtype != value.dtype or not again.equals(value):
            raise NotHeldError(f"a pandas Index of {value.dtype}")
        self.names.add("pandas.Index")
        node = {"__class__": "Index", "__module__": "pandas", "__loader__": "ConstructorFromReduceNode"}
        return {**node, "content": self._node(arguments)}

    def _reduced(self, loader: str, kind: type, arguments: Any, state: Any) -> Node:
        node = self._head(loader, kind)
        return {**node, "__reduce__": {"args": self._node(arguments)}, "content": self._node(state)}

    def _loss(self, value: Any, kind: type) -> Node:
        maker, arguments, *state = value.__reduce__()
        if maker is not kind:
            # Cython's own: (unpickle, (class, checksum, state)), where the state is the constructor's arguments.
            arguments = arguments[2] or ()
        if (state and state[0]) or not isinstance(arguments, tuple):
            raise NotHeldError(f"a {kind.__qualname__} with a state")
        return self._reduced("LossNode", kind, arguments, {})

    def _instance(self, value: Any, kind: type) -> Node:
        node = self._head("ObjectNode", kind)
        if _pickled_as_object(kind):
            state = _state_of(value, kind)
        else:
            maker, arguments, *rest = value.__reduce__()
            if maker is kind and not any(part is not None for part in rest):
                return self._constructed(kind, arguments)
            if arguments != (kind,) or len(rest) != 1 or not hasattr(kind, "__setstate__"):
                raise NotHeldError(f"a {kind.__qualname__}, which is pickled in a way of its own")
            state = rest[0]
        return node if state is None else {**node, "content": self._node_of_state(state)}

    def _node_of_state(self, state: Any) -> Node:
        return self._dict(state, dict) if type(state) is dict else self._node(state)


def _pickled_as_object(kind: Any) -> bool:
    return kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__


def _state_of(value: Any, kind: type) -> Any:
    getstate = getattr(kind, "__getstate__", None)
    if getstate is not None and getstate is not getattr(object, "__getstate__", None):
        state = value.__getstate__()
    elif any(vars(base).get("__slots__") for base in kind.__mro__):
        raise NotHeldError(f"a {kind.__qualname__}, which has slots")
    else:
        state = vars(value) if hasattr(value, "__dict__") else None
    if not isinstance(state, (dict, type(None))) and not hasattr(kind, "__setstate__"):
        raise NotHeldError(f"a {kind.__qualname__}, whose state is no dict")
    return state


def _schema(root: Node) -> bytes:
    try:
        return msgspec.json.encode(root)
    except UnicodeEncodeError:  # half of a surrogate pair in the key of a dict
        return json.dumps(root, separators=(",", ":")).encode()


def _json_node(value: Any) -> Node:
    kind = type(value)
    content = repr(value) if kind is int or (kind is float and isfinite(value)) else json.dumps(value)
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": content, "is_json": True}


def _npy(array: Any) -> bytes:
    """An array as an `.npy` file, as `numpy.save` writes it; that makes the header anew for each, which takes longer
    than all else."""
    import numpy as np

    flags = array.flags
    columns_first = flags.f_contiguous and not flags.c_contiguous
    try:
        head = _npy_head(array.dtype, array.shape, columns_first)
    except ValueError:  # needs a later version of the format: names of fields that are long, or not in Latin-1
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, allow_pickle=False)
        return buffer.getvalue()
    body: bytes = (array.T if columns_first else array).tobytes()
    return head + body


@functools.lru_cache(maxsize=1024)
def _npy_head(dtype: Any, shape: tuple[int, ...], columns_first: bool) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": columns_first, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()

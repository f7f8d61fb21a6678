"""Figures, images, dicts and tables as the bytes of a file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from autotrack import clock
from autotrack.errors import IntegrationNotAvailableError, InvalidArgumentError
from autotrack.hooks.calls import quiet
from autotrack.tracking.values import checked_file, checked_int

THUMBNAIL = (256, 256)
"""Most pixels of an image's small copy."""

_FORMATS = {"jpg": "jpeg", "tif": "tiff"}
_IMAGE_KEY = re.compile(r"[A-Za-z0-9_\-./ ]+")


def suffix_of(file: object, default: str) -> str:
    """The part of a file's name behind the last dot, lower case."""
    name = str(file).rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else default


def figure_bytes(figure: Any, artifact_file: str, save_kwargs: Mapping[str, Any] | None = None) -> bytes:
    """A matplotlib or plotly figure in the format that the file's suffix names.

    Raises:
        InvalidArgumentError: It is no figure that can be stored, or the suffix is of no format; the options are none.
    """
    if save_kwargs is not None and not isinstance(save_kwargs, Mapping):
        raise InvalidArgumentError("save_kwargs", save_kwargs, "a dict of options, such as {'dpi': 200}")
    options = dict(save_kwargs or {})
    try:
        if hasattr(figure, "savefig"):
            buffer = io.BytesIO()
            with quiet():  # it is not to be recorded as the program's own saving, too
                figure.savefig(buffer, **{"format": suffix_of(artifact_file, "png"), **options})
            return buffer.getvalue()
        if hasattr(figure, "to_html"):
            return _plotly_bytes(figure, suffix_of(artifact_file, "html"), options)
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(
            "artifact_file", artifact_file, f"the suffix of a picture format ({error})"
        ) from error
    raise InvalidArgumentError("figure", figure, "a matplotlib or plotly figure")


def _plotly_bytes(figure: Any, suffix: str, options: dict[str, Any]) -> bytes:
    if suffix in ("html", "htm"):
        return bytes(figure.to_html(**options).encode())
    if suffix == "json" and hasattr(figure, "to_json"):
        return bytes(figure.to_json(**options).encode())
    return bytes(figure.to_image(**{"format": suffix, **options}))


def image_bytes(image: Any, artifact_file: str) -> bytes:
    """An image in the format that the file's suffix names.

    Args:
        image: A PIL image, what has `to_pil`, an array of shape (height, width[, channels]) or a torch tensor, whose
            channels may come first. Whole numbers and booleans are taken from 0 to 255 (booleans: black and white),
            floats from 0 to 1.
        artifact_file: The file's path.

    Raises:
        InvalidArgumentError: It is no image, or the suffix is of no picture format.
        IntegrationNotAvailableError: Pillow is not installed.
    """
    picture = picture_of(image)
    suffix = suffix_of(artifact_file, "png")
    if suffix in ("jpg", "jpeg") and picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    try:
        picture.save(buffer, format=_FORMATS.get(suffix, suffix))
    except (KeyError, ValueError, OSError) as error:
        raise InvalidArgumentError("artifact_file", artifact_file, "the suffix of a picture format") from error
    return buffer.getvalue()


def thumbnail(image: Any) -> Any:
    """A small copy of an image."""
    small = picture_of(image).copy()
    small.thumbnail(THUMBNAIL)
    return small


def image_name(key: object, step: int, time: int, unique: str) -> str:
    """Where MLflow keeps one image of a series, without the suffix.

    Raises:
        InvalidArgumentError: The key holds more than letters, digits, blanks and `_-./`.
    """
    if not isinstance(key, str) or not _IMAGE_KEY.fullmatch(key):
        raise InvalidArgumentError("key", key, "letters, digits, blanks and _-./")
    return f"images/{key.replace('/', '~')}+step+{step}+timestamp+{time}+{unique}"


def picture_of(image: Any) -> Any:
    """An image as Pillow's; see `image_bytes`.

    Raises:
        InvalidArgumentError: It is no image.
        IntegrationNotAvailableError: Pillow is not installed.
    """
    if hasattr(image, "to_pil"):
        return image.to_pil()
    return image if hasattr(image, "save") and hasattr(image, "mode") else _picture(image)


def picture_from(data: bytes) -> Any:
    """A picture file's content as a PIL image.

    Raises:
        ValueError: It is no picture.
        IntegrationNotAvailableError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise IntegrationNotAvailableError("Pillow", "load_image makes a picture", "pip install pillow") from None
    try:
        found = Image.open(io.BytesIO(data))
        found.load()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"no picture ({error})") from error
    return found


def _picture(array: Any) -> Any:
    """An array as a PIL image."""
    try:
        import numpy
        from PIL import Image
    except ImportError:
        raise IntegrationNotAvailableError("Pillow", "log_image makes a picture", "pip install pillow") from None
    pixels = numpy.asarray(_on_host(array))
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    good = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not good or pixels.size == 0 or pixels.dtype.kind not in "buif":
        expected = "a PIL image or an array of shape (height, width[, 1, 3 or 4])"
        raise InvalidArgumentError("image", f"{pixels.dtype} array of shape {pixels.shape}", expected)
    if pixels.dtype.kind in "bf":
        pixels = numpy.nan_to_num(pixels.astype("float64"), nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 255
    return Image.fromarray(pixels.clip(0, 255).round().astype("uint8"))


def _on_host(array: Any) -> Any:
    """A tensor where numpy can read it, with its channels last."""
    if not hasattr(array, "detach"):
        return array
    tensor = array.detach().cpu()
    channels_first = tensor.ndim == 3 and tensor.shape[0] in (1, 3, 4) and tensor.shape[2] not in (1, 3, 4)
    return tensor.permute(1, 2, 0) if channels_first else tensor


def table_text(table: Mapping[str, list[Any]]) -> str:
    """A table as JSON.

    Raises:
        InvalidArgumentError: A cell holds itself, or a dict with keys that are no text.
    """
    try:
        return json.dumps(table, default=_plain, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError("data", table, f"a table of plain values ({error})") from None


def appended(text: bytes, table: Mapping[str, list[Any]], argument: str) -> dict[str, list[Any]]:
    """A stored table with the rows of another below its own; a column that either lacks is empty there.

    Raises:
        InvalidArgumentError: What is stored is no table.
    """
    try:
        old = json.loads(text)
        columns, rows = list(old["columns"]), [list(row) for row in old["data"]]
    except (ValueError, TypeError, KeyError):
        raise InvalidArgumentError(argument, text[:40], "the path of a table, or of no file yet") from None
    new = [name for name in table["columns"] if name not in columns]
    both = columns + new
    places = {name: place for place, name in enumerate(table["columns"])}
    more = [[row[places[name]] if name in places else None for name in both] for row in table["data"]]
    return {"columns": both, "data": [[*row, *[None] * len(new)] for row in rows] + more}


def image_files(
    image: Any, artifact_file: str | None, key: str | None, step: int | None, timestamp: int | None
) -> dict[str, bytes]:
    """The files that an image is stored as, by path: one under its own path, or two of a series under a key.

    Raises:
        InvalidArgumentError: It is no image that can be stored, or not exactly one of path and key is given.
        IntegrationNotAvailableError: Pillow is not installed.
    """
    if (artifact_file is None) == (key is None):
        raise InvalidArgumentError("artifact_file and key", (artifact_file, key), "exactly one of them")
    if artifact_file is not None:
        return {checked_file(artifact_file): image_bytes(image, artifact_file)}
    place = 0 if step is None else checked_int(step, "step")
    time = clock.now() if timestamp is None else checked_int(timestamp, "timestamp")
    unique = clock.new_id()
    parts = (unique[:8], unique[8:12], unique[12:16], unique[16:20], unique[20:])
    name = image_name(key, place, time, "-".join(parts))
    small = image_bytes(thumbnail(image), "x.webp")
    return {f"{name}.png": image_bytes(image, "x.png"), f"{name}+compressed.webp": small}


def dict_text(dictionary: Any, file: str) -> str:
    """A dict or list as YAML where the file is called so, as JSON else.

    Raises:
        InvalidArgumentError: It holds keys that are no text, or itself.
    """
    try:
        return _as_text(dictionary, file)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError("dictionary", dictionary, f"plain values ({error})") from None


def parser_of(file: object) -> Callable[[bytes], Any]:
    """What reads JSON, or YAML where a file is called so; raises ValueError where it does not parse."""
    return _parsed_yaml if str(file).endswith((".yaml", ".yml")) else json.loads


def _parsed_yaml(data: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _as_text(value: Any, file: str) -> str:
    if not file.endswith((".yaml", ".yml")):
        return json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
    import yaml

    plain = json.loads(json.dumps(value, default=_plain))  # YAML knows neither numpy nor tuples
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays and their scalars as lists and numbers, all else as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return sorted(value, key=str) if isinstance(value, (set, frozenset)) else str(value)

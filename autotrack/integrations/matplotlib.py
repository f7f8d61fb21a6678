"""matplotlib.

Hooked: `Figure.savefig`, which `pyplot.savefig` comes to, and `pyplot.show`. Recorded: the file as it was saved (to a
path, or into a `BytesIO`), and each figure that is shown and was not saved, as a PNG; below `figures/` among the
artifacts of the run that is open, or that this thread opened last. Each content once, 100 a run, 10 MB each.

A figure that is shown is drawn from a copy: drawing sets limits, positions and flags on what it draws.

Deliberately not: what libraries save on their own; figures written into other streams, or into one file of several
pages; shown figures that cannot be copied.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import stat
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from autotrack import config, origin
from autotrack.hooks.patching import Call, Patcher
from autotrack.integrations.options import IntegrationConfig
from autotrack.tracking import figures, scope
from autotrack.tracking.figures import MAX_BYTES, Album

PLOTTERS = frozenset({"matplotlib", "seaborn", "pandas", "plotnine", "mpl_toolkits", "pylab"})
"""Packages that save and show figures on behalf of whoever called them."""

MAX_SECONDS = 2.0
"""Time that the shown figures of one run may take to be drawn."""

UNCOPYABLE = (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError, NotImplementedError)
"""What pickling raises of a figure that holds a lambda, an open file, or too much."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    if not config.settings().log_figures:
        return
    from matplotlib.figure import Figure

    hooks = Hooks(configuration)
    patcher.method(Figure, "savefig", hooks.on_savefig)
    patcher.when_imported("matplotlib.pyplot", lambda module: _watch_show(patcher, module, hooks))


def _watch_show(patcher: Patcher, module: ModuleType, hooks: Hooks) -> None:
    patcher.function(module, "show", hooks.on_show, rebind_in=_is_users)


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


class Hooks:
    """The handlers."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        self._configuration = configuration
        self._saved: WeakSet[Any] = WeakSet()
        """Figures that were saved: to show them gives nothing new."""
        self._spent: WeakKeyDictionary[Album, float] = WeakKeyDictionary()

    def on_savefig(self, call: Call) -> Any:
        """A figure is saved."""
        target = call.args[0] if call.args else call.kwargs.get("fname")
        start = target.tell() if type(target) is io.BytesIO and not target.closed else 0
        yield
        album = self._album(call)
        if album is None:
            return
        data = saved_bytes(target, start)
        if data:
            self._saved.add(call.instance)
            album.put(data, name_of(call.instance, target, call.kwargs.get("format")))

    def on_show(self, call: Call) -> Any:
        """Figures are about to be shown; afterwards they may be gone."""
        album = self._album(call)
        if album is not None:
            for figure in open_figures():
                self._show(figure, album)
        yield

    def _show(self, figure: Any, album: Album) -> None:
        spent = self._spent.get(album, 0.0)
        if figure in self._saved or album.is_full() or spent > MAX_SECONDS:
            return
        began = time.perf_counter()
        data = drawn(figure)
        self._spent[album] = spent + time.perf_counter() - began
        if data:
            album.put(data, name_of(figure, None, "png"))

    def _album(self, call: Call) -> Album | None:
        """Where what the program saves or shows goes; None where it is not the program, or nothing is recorded."""
        if not origin.is_users(origin.caller_past(call.caller(), PLOTTERS)):
            return None
        if scope.explicit_run() is not None and self._configuration().exclusive:
            return None
        album = figures.album()
        return None if album is None or album.is_full() else album


def saved_bytes(target: Any, start: int) -> bytes | None:
    """What was saved, from the cache of the file system or out of memory; None where it is too much, or elsewhere.

    Args:
        target: What `savefig` was given.
        start: Where in a stream the figure begins.
    """
    if type(target) is io.BytesIO:
        with target.getbuffer() as content:
            size = content.nbytes - start
            return bytes(content[start:]) if 0 < size <= MAX_BYTES else None
    if not isinstance(target, (str, os.PathLike)):
        return None
    try:
        path = file_of(os.fspath(target))
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_BYTES:
            return None
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except (OSError, ValueError):
        return None


def file_of(path: str) -> str:
    """The file that a figure was saved as: a name without a suffix gets one."""
    if os.path.splitext(path)[1] or os.path.exists(path):
        return path
    return f"{path.rstrip('.')}.{_default_format()}"


def _default_format() -> str:
    import matplotlib

    return str(matplotlib.rcParams["savefig.format"])


def name_of(figure: Any, target: Any, wanted: Any) -> str:
    """The name of the artifact: that of the program's file, else one by the figure's label or number."""
    if isinstance(target, (str, os.PathLike)):
        return os.path.basename(file_of(os.fspath(target)))
    label = "".join(letter if letter.isalnum() or letter in "-_ ." else "_" for letter in str(figure.get_label()))
    number = getattr(figure, "number", None)
    stem = label.strip(" .")[:80] or (f"figure_{number}" if isinstance(number, int) else "figure")
    return f"{stem}.{wanted if isinstance(wanted, str) else _default_format()}"


def open_figures() -> list[Any]:
    """The figures that pyplot would show, in order."""
    from matplotlib._pylab_helpers import Gcf

    return [manager.canvas.figure for manager in Gcf.get_all_fig_managers()]


class _Copier(pickle.Pickler):
    """Copies one figure without the note that has a copy join the figures of pyplot."""

    def __init__(self, file: io.BytesIO, figure: Any) -> None:
        super().__init__(file)
        self._figure = figure

    def reducer_override(self, value: Any) -> Any:
        if value is not self._figure:
            return NotImplemented
        state = dict(value.__getstate__())
        state.pop("_restore_to_pylab", None)
        return copyreg.__newobj__, (type(value),), state  # type: ignore[attr-defined]


class _Bounded(io.BytesIO):
    """A buffer that takes no more than a figure may have."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MAX_BYTES:
            raise ValueError("the figure is too large to be copied")
        return super().write(data)


def drawn(figure: Any) -> bytes | None:
    """A figure as a PNG, drawn from a copy; None where there can be none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if type(figure) is not Figure:
        return None
    buffer, picture = _Bounded(), io.BytesIO()
    try:
        _Copier(buffer, figure).dump(figure)
        copy = pickle.loads(buffer.getvalue())
        FigureCanvasAgg(copy).print_png(picture)
    except UNCOPYABLE:
        return None
    return picture.getvalue()

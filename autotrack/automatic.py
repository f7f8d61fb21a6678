"""The switches of automatic recording: `autolog`, `disable`, `enable`, `disabled`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar

from autotrack import bootstrap, console
from autotrack.errors import InvalidArgumentError
from autotrack.integrations import registry
from autotrack.tracking import scope

P = ParamSpec("P")
T = TypeVar("T")


def autolog(
    *,
    disable: bool | None = None,
    exclusive: bool | None = None,
    disable_for_unsupported_versions: bool | None = None,
    silent: bool | None = None,
    log_models: bool | Literal["best"] | None = None,
    registered_model_name: str | None = None,
    log_datasets: bool | None = None,
    log_input_examples: bool | None = None,
    log_model_signatures: bool | None = None,
    log_transformers: bool | None = None,
    log_training_metrics: Literal["library", "all", "none"] | None = None,
    log_post_training_metrics: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record training from now on, for all frameworks that are installed, imported already or not.

    An option that is not given stays as it is; what `autotrack.<framework>.autolog` set for one framework beats what is
    set here for all. Calling it again is cheap and never stacks anything.

    Args:
        disable: True switches everything off, False back on.
        exclusive: Record nothing inside runs that the program opened itself.
        disable_for_unsupported_versions: Leave frameworks alone that are newer than the tested ones.
        silent: Never write to stderr.
        log_models: Record fitted models; "best": of those of one run the one with the best score alone.
        registered_model_name: Make each of them the next version of the registered model of this name ("": of none).
        log_datasets: Record what data a fit saw.
        log_input_examples: Store five rows of the training data beside the model.
        log_model_signatures: Record the input and output signature of models.
        log_transformers: A transformer fitted on its own opens a run.
        log_training_metrics: "library" (default), "all" (also where a user-written `predict` is involved), "none".
        log_post_training_metrics: Record `sklearn.metrics` and `score` calls after the fit.
        extra_tags: Tags on every automatic run.

    Raises:
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    options = {key: value for key, value in locals().items() if value is not None}
    configure(options, None)


def configure(options: Mapping[str, Any], name: str | None) -> None:
    """What `autolog` of one integration (or of all) does.

    Raises:
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    if name is not None:
        registry.require(name)
    registry.configure({"disable": False, **options} if name is None else options, name)
    if options.get("silent") is not None:
        console.silent = options["silent"]
    if name is None and not options.get("disable"):
        registry.switch(off=False)
    if name is None and options.get("disable"):
        bootstrap.deactivate()
    elif not registry.is_off():
        bootstrap.activate()


def disable() -> None:
    """Switch automatic recording off, wholly: all patches and the import finder are taken off."""
    registry.switch(off=True)
    bootstrap.deactivate()


def enable() -> None:
    """Take `disable()` back; options that were set before count again."""
    registry.switch(off=False)
    if not registry.is_off():
        bootstrap.activate()


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext autotrack`: record from now on."""
    del ipython
    autolog()


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext autotrack`: take that back, wholly."""
    del ipython
    disable()


class disabled:
    """Record nothing inside: a context manager and a decorator. Nests; this context (thread, task) only."""

    def __enter__(self) -> disabled:
        scope.push(scope.OFF)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scope.pop(scope.OFF)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function or coroutine function: nothing is recorded inside its calls.

        Raises:
            InvalidArgumentError: It is a generator function, which shares its caller's context.
        """
        import inspect

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidArgumentError("disabled", function, "a function or coroutine function, no generator function")
        if inspect.iscoroutinefunction(function):
            return _quiet_coroutine_function(function)

        @wraps(function)
        def quiet(*args: P.args, **kwargs: P.kwargs) -> T:
            with scope.off():
                return function(*args, **kwargs)

        return quiet


def _quiet_coroutine_function(function: Callable[P, Any]) -> Callable[P, Any]:
    @wraps(function)
    async def quiet(*args: P.args, **kwargs: P.kwargs) -> Any:
        with scope.off():
            return await function(*args, **kwargs)

    return quiet

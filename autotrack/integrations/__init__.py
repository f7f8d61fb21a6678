"""The static table of integrations: names, triggers and version ranges; nothing of a framework is imported here.

The zero-code hook imports this in every child interpreter, so it must stay free of imports.
"""

from __future__ import annotations


class Integration:
    """One row: a framework that autotrack can record.

    Attributes:
        name: Name of the integration, and of its module in this package.
        triggers: Modules whose import applies the integration.
        target: Module that carries `__version__`, and `distribution` the name to install it by.
        minimum: Oldest supported version.
        tested: Newest tested version; the next major or minor is patched too, unless
            `disable_for_unsupported_versions` is on.
        light: It watches through `hooks.light`, since programs that train nothing import its triggers too.
        probes: Attributes that the first trigger has; in a user's own module of the same name they are missing.
    """

    __slots__ = ("distribution", "light", "minimum", "name", "probes", "target", "tested", "triggers")

    def __init__(
        self,
        name: str,
        triggers: tuple[str, ...],
        target: str = "",
        distribution: str = "",
        minimum: str = "",
        tested: str = "",
        probes: tuple[str, ...] = (),
        light: bool = False,
    ) -> None:
        self.name = name
        self.triggers = triggers
        self.target = target
        self.distribution = distribution
        self.minimum = minimum
        self.tested = tested
        self.probes = probes
        self.light = light


INTEGRATIONS = (
    Integration(
        "sklearn",
        triggers=("sklearn.base",),
        target="sklearn",
        distribution="scikit-learn",
        minimum="1.4",
        tested="1.9",
        probes=("BaseEstimator", "TransformerMixin"),
    ),
    Integration(
        "lightgbm",
        triggers=("lightgbm",),
        target="lightgbm",
        distribution="lightgbm",
        minimum="4.0",
        tested="4.7",
        probes=("Dataset", "train"),
    ),
    Integration(
        "pandas",
        triggers=("pandas",),
        target="pandas",
        distribution="pandas",
        minimum="2.1",
        tested="3.1",
        probes=("DataFrame", "read_csv"),
    ),
    Integration(
        "polars",
        triggers=("polars",),
        target="polars",
        distribution="polars",
        minimum="1.0",
        tested="2.1",
        probes=("DataFrame", "read_csv"),
    ),
    Integration(
        "lightning",
        triggers=("lightning.pytorch",),
        target="lightning",
        distribution="lightning",
        minimum="2.0",
        tested="2.6",
        probes=("LightningModule", "Trainer"),
    ),
    Integration(
        "pytorch_lightning",
        triggers=("pytorch_lightning",),
        target="pytorch_lightning",
        distribution="pytorch-lightning",
        minimum="2.0",
        tested="2.6",
        probes=("LightningModule", "Trainer"),
    ),
    Integration(
        "matplotlib",
        triggers=("matplotlib.figure",),
        target="matplotlib",
        distribution="matplotlib",
        minimum="3.5",
        tested="3.11",
        probes=("Figure",),
    ),
    Integration(
        "torch",
        triggers=("torch",),
        target="torch",
        distribution="torch",
        minimum="2.1",
        tested="2.13",
        probes=("nn", "optim"),
    ),
    Integration(
        "optuna",
        triggers=("optuna",),
        target="optuna",
        distribution="optuna",
        minimum="3.0",
        tested="5.0",
        probes=("Study", "create_study"),
    ),
    Integration(
        "ray",
        triggers=("ray.tune",),
        target="ray",
        distribution="ray[tune]",
        minimum="2.7",
        tested="2.60",
        probes=("Tuner", "TuneConfig"),
    ),
    Integration("threads", triggers=("autotrack.tracking.scope",), light=True),
    Integration("processes", triggers=("autotrack.tracking.scope",), light=True),
    Integration("joblib", triggers=("joblib.parallel",), light=True),
    Integration("dask", triggers=("distributed.client",), light=True),
    Integration("seeds", triggers=("numpy.random", "torch")),
    Integration("argparse", triggers=("argparse",), light=True),
    Integration("click", triggers=("click.core", "typer._click.core"), light=True),
    Integration("fire", triggers=("fire.core",), light=True),
    Integration("hydra", triggers=("hydra.core.hydra_config",), light=True),
)
"""All integrations. Those without a target are no frameworks: `threads`, `processes`, `joblib` and `dask` carry the
scope along with work, from the moment on that there can be one; `seeds` rides with what has random numbers; the other
light ones read command lines."""


def find(name: str) -> Integration | None:
    """The row of that name."""
    return next((row for row in INTEGRATIONS if row.name == name), None)

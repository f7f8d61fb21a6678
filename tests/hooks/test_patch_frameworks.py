"""scikit-learn and torch under the engine, with handlers that only watch."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from autotrack.hooks.guard import Health
from autotrack.hooks.patching import Call, Patcher

X, Y = load_iris(return_X_y=True)
METHODS = ("fit", "fit_transform", "fit_predict", "predict", "predict_proba", "decision_function", "transform", "score")


class Watch:
    """Patches what it is told to and keeps the names of what was called."""

    def __init__(self, health: Health) -> None:
        self.patcher = Patcher(health.name, health)
        self.calls: list[str] = []

    def on_call(self, call: Call) -> Generator[None, Any, None]:
        """One entry per event."""
        self.calls.append(f"{type(call.instance).__name__}.{call.name}")
        yield

    def patch(self, *classes: type) -> None:
        """All methods of these classes that they have."""
        with self.patcher.applying():
            for cls in classes:
                for name in METHODS:
                    if any(name in vars(base) for base in cls.__mro__):
                        assert self.patcher.method(cls, name, self.on_call)


@pytest.fixture
def watch(health: Health) -> Iterator[Watch]:
    """Takes everything back at the end."""
    watch = Watch(health)
    yield watch
    watch.patcher.revert()


def test_hasattr_says_what_it_said(watch: Watch) -> None:
    """Methods that a meta-estimator has only if its steps have them, before and after fit: the same truth table."""

    def table() -> list[bool]:
        made: list[Any] = [
            make_pipeline(StandardScaler()),
            make_pipeline(StandardScaler(), LogisticRegression()),
            make_pipeline(StandardScaler(), LinearSVC()),
            GridSearchCV(LinearSVC(), {"C": [1.0]}, cv=2),
            GridSearchCV(LogisticRegression(max_iter=500), {"C": [1.0]}, cv=2),
            SVC(),
            SGDClassifier(loss="hinge"),
        ]
        found = [hasattr(est, name) for est in made for name in METHODS]
        for est in made:
            est.fit(X, Y)
        return found + [hasattr(est, name) for est in made for name in METHODS]

    before = table()
    raws = {cls: dict(vars(cls)) for cls in (Pipeline, GridSearchCV, SVC, SGDClassifier, LinearSVC)}
    watch.patch(Pipeline, GridSearchCV, SVC, SGDClassifier, LogisticRegression, LinearSVC, StandardScaler)
    assert table() == before
    watch.patcher.revert()
    for cls, namespace in raws.items():
        assert all(vars(cls)[name] is value for name, value in namespace.items())


def test_available_if_methods_fire_once_and_fail_alike(watch: Watch) -> None:
    """`Pipeline.predict` is one event of the pipeline; where the last step has no predict, the error is the same."""
    without = make_pipeline(StandardScaler())
    with pytest.raises(AttributeError) as plain:
        without.predict  # noqa: B018
    watch.patch(Pipeline)
    with pytest.raises(AttributeError) as watched:
        without.predict  # noqa: B018
    assert str(watched.value) == str(plain.value)
    assert str(watched.value.__cause__) == str(plain.value.__cause__)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert np.array_equal(Pipeline.predict(model, X), model.predict(X))
    assert watch.calls == ["Pipeline.fit", "Pipeline.predict", "Pipeline.predict"]


def test_a_search_is_seen_with_every_fit_inside(watch: Watch) -> None:
    """The engine reports nested fits of other instances; the method sites are patched once, where they are defined."""
    watch.patch(GridSearchCV, Pipeline, LogisticRegression, StandardScaler)
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2)
    search.fit(X, Y)
    fits = [call for call in watch.calls if call.endswith(".fit")]
    assert fits[0] == "GridSearchCV.fit"
    assert fits.count("Pipeline.fit") == 3
    assert fits.count("LogisticRegression.fit") == 3
    assert "fit" not in vars(GridSearchCV)


def test_clone_and_parameters_do_not_see_the_patch(watch: Watch) -> None:
    """clone, get_params, set_params and repr work on patched classes, and clones are watched."""
    watch.patch(LogisticRegression)
    model = clone(LogisticRegression(C=3.0, max_iter=500))
    assert (model.get_params()["C"], repr(model)) == (3.0, "LogisticRegression(C=3.0, max_iter=500)")
    model.set_params(C=1.0).fit(X, Y)
    assert watch.calls == ["LogisticRegression.fit"]
    assert vars(model).keys() == vars(LogisticRegression(max_iter=500).fit(X, Y)).keys()


def test_metadata_routing_goes_through(watch: Watch) -> None:
    """set_fit_request on a patched class and on a subclass made under the patch; routed weights arrive."""
    watch.patch(LogisticRegression, Pipeline, GridSearchCV)
    weights: list[Any] = []

    class Own(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None, group: Any = None) -> Any:
            weights.append((sample_weight, group))
            return super().fit(X, y, sample_weight=sample_weight)

    watch.patch(Own)
    signature = inspect.signature(Own.set_fit_request)  # type: ignore[attr-defined]
    assert set(signature.parameters) == {"self", "sample_weight", "group"}
    with sklearn.config_context(enable_metadata_routing=True):
        own = Own(max_iter=500).set_fit_request(sample_weight=True, group=True)  # type: ignore[attr-defined]
        scored = cross_validate(
            make_pipeline(own.set_score_request(sample_weight=True)),
            X,
            Y,
            cv=2,
            params={"sample_weight": np.ones(len(Y)), "group": np.zeros(len(Y))},
        )
    assert len(scored["test_score"]) == 2
    assert [(len(w), len(g)) for w, g in weights] == [(75, 75), (75, 75)]
    assert watch.calls.count("Own.fit") == 2


class Centroid(ClassifierMixin, BaseEstimator):
    """A user's own classifier, as small as the rules allow."""

    def fit(self, X: Any, y: Any) -> Centroid:
        """Keeps the mean of each class."""
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict(self, X: Any) -> Any:
        """The nearest mean."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self.classes_[((X[:, None] - self.means_[None]) ** 2).sum(axis=2).argmin(axis=1)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator", [Centroid(), StandardScaler(), DecisionTreeClassifier()], ids=lambda e: type(e).__name__
)
def test_scikit_learns_own_checks_have_the_same_outcome(watch: Watch, estimator: Any) -> None:
    """check_estimator on a patched class gives, check by check, what it gives without the patch."""

    def outcome() -> list[tuple[str, str]]:
        return [(r["check_name"], r["status"]) for r in check_estimator(estimator, on_fail=None, on_skip=None)]

    before = outcome()
    watch.patch(type(estimator))
    assert outcome() == before
    assert len(watch.calls) > 50
    assert not [name for name, status in before if status == "failed"]


def test_fits_in_threads_are_separate_events(watch: Watch) -> None:
    """Two fits at once in two threads: two events, without cross-talk."""
    watch.patch(LogisticRegression, DecisionTreeClassifier)
    threads = [
        threading.Thread(target=model.fit, args=(X, Y))
        for model in (LogisticRegression(max_iter=500), DecisionTreeClassifier())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(watch.calls) == ["DecisionTreeClassifier.fit", "LogisticRegression.fit"]


torch_steps = """
import torch
from autotrack.hooks import guard
from autotrack.hooks.patching import Patcher
hits = []
def on_step(call):
    hits.append(type(call.instance).__name__)
    yield
patcher = Patcher("torch", guard.health("torch"))
guard.reraise = True
def apply():
    with patcher.applying():
        assert patcher.method(torch.optim.RMSprop, "step", on_step)
def make():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    return torch.optim.RMSprop([weight], lr=0.1)
def step(optimizer):
    hits.clear()
    optimizer.step()
    return len(hits)
"""


def test_an_optimizer_that_torch_wraps_over_ours_falls_silent_at_revert(child: Callable[..., str]) -> None:
    """Patched before its first use, torch puts a wrapper of its own over ours; no event after revert, on again one."""
    out = child(
        torch_steps
        + """
raw = vars(torch.optim.RMSprop)["step"]
apply()
optimizer = make()
print(step(optimizer), [p.state for p in patcher.patches()])
patcher.revert()
print(step(optimizer), step(make()), [p.state for p in patcher.patches()])
apply()
print(step(optimizer), step(make()), [p.state for p in patcher.patches()])
patcher.revert()
print(step(optimizer), vars(torch.optim.RMSprop)["step"].hooked)
"""
    )
    assert out.splitlines() == ["1 ['applied']", "0 0 ['orphaned']", "1 1 ['applied']", "0 True"]


def test_an_optimizer_patched_after_its_first_use_is_restored(child: Callable[..., str]) -> None:
    """Torch's wrapper is then the raw attribute, and stands there again after revert; torch does not wrap twice."""
    out = child(
        torch_steps
        + """
first = make()
raw = vars(torch.optim.RMSprop)["step"]
apply()
print(step(first), step(make()))
patcher.revert()
print(vars(torch.optim.RMSprop)["step"] is raw, step(first), step(make()))
"""
    )
    assert out.splitlines() == ["1 1", "True 0 0"]


def test_an_optimizer_under_a_scheduler_still_fires(child: Callable[..., str]) -> None:
    """A learning-rate scheduler rebinds `step.__func__`; the handler hears each step, and none after revert."""
    out = child(
        torch_steps
        + """
apply()
optimizer = make()
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
print([step(optimizer) for _ in range(3)])
scheduler.step()
import copy, pickle
state = pickle.loads(pickle.dumps(optimizer.state_dict()))
twin = copy.deepcopy(make())
print(step(twin), optimizer.param_groups[0]["lr"] < 0.1)
patcher.revert()
print([step(optimizer), step(twin)])
"""
    )
    assert out.splitlines() == ["[1, 1, 1]", "1 True", "[0, 0]"]


def test_autoreload_gives_classes_that_are_watched(child: Callable[..., str], tmp_path: Path) -> None:
    """IPython's autoreload updates old classes in place and makes new ones: each call is one event, revert is clean."""
    (tmp_path / "shelf_notebook.py").write_text("class Model:\n    def fit(self, x):\n        return ('old', x)\n")
    out = child(
        """
        import os, sys, time
        sys.path.insert(0, ".")
        from IPython.core.interactiveshell import InteractiveShell
        from autotrack.hooks import guard
        from autotrack.hooks.patching import Patcher
        guard.reraise = True
        hits = []
        def on_fit(call):
            hits.append(call.args)
            yield
        patcher = Patcher("notebook", guard.health("notebook"))
        with patcher.applying():
            patcher.when_imported("shelf_notebook", lambda m: patcher.method(m.Model, "fit", on_fit))
        shell = InteractiveShell.instance()
        for line in ("%load_ext autoreload", "%autoreload 2", "import shelf_notebook",
                     "from shelf_notebook import Model", "model = Model()", "first = model.fit(1)"):
            shell.run_cell(line).raise_error()
        with open("shelf_notebook.py", "w") as file:
            file.write("class Model:\\n    def fit(self, x):\\n        return ('new', x)\\n")
        os.utime("shelf_notebook.py", (time.time() + 10, time.time() + 10))
        for line in ("second = model.fit(2)", "third = Model().fit(3)", "fourth = shelf_notebook.Model().fit(4)"):
            shell.run_cell(line).raise_error()
        names = shell.user_ns
        print(names["first"], names["second"], names["third"], names["fourth"], hits, file=sys.stderr)
        assert [names[n] for n in ("first", "second", "third", "fourth")] == [
            ("old", 1), ("new", 2), ("new", 3), ("new", 4)]
        assert hits == [(1,), (2,), (3,), (4,)], hits
        patcher.revert()
        for line in ("model.fit(5)", "Model().fit(6)", "shelf_notebook.Model().fit(7)"):
            shell.run_cell(line).raise_error()
        assert len(hits) == 4, hits
        import shelf_notebook
        assert type(vars(shelf_notebook.Model)["fit"]).__name__ == "function"
        print("good")
        """
    )
    assert out.splitlines()[-1] == "good"


def test_reload_of_a_framework_module_patches_the_new_classes(child: Callable[..., str]) -> None:
    """`importlib.reload(sklearn.dummy)`: new classes are watched; old records are not put onto new objects."""
    out = child(
        """
        import importlib, sklearn.dummy
        from autotrack.hooks import guard
        from autotrack.hooks.patching import Patcher
        guard.reraise = True
        hits = []
        def on_fit(call):
            hits.append(type(call.instance))
            yield
        patcher = Patcher("sklearn", guard.health("sklearn"))
        with patcher.applying():
            patcher.when_imported("sklearn.dummy", lambda m: patcher.method(m.DummyClassifier, "fit", on_fit))
        old = sklearn.dummy.DummyClassifier
        importlib.reload(sklearn.dummy)
        new = sklearn.dummy.DummyClassifier
        for cls in (old, new):
            cls().fit([[1], [2]], [0, 1])
        raws = [vars(cls)["fit"].__wrapped__ for cls in (old, new)]
        patcher.revert()
        print(hits == [old, new], [vars(cls)["fit"] for cls in (old, new)] == raws, raws[0] is raws[1])
        """
    )
    assert out == "True True False\n"

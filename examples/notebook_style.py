# %% [markdown]
# # Iris, step by step
# Cells for an editor that knows `# %%`; autotrack's explicit API, whose names are MLflow's.

# %%
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

import autotrack
import autotrack.sklearn

X, y = load_iris(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=7)

# %% [markdown]
# ## Train
# One run, with a curve that grows epoch by epoch and the model at the end.

# %%
autotrack.set_experiment("iris by hand")
params = {"loss": "log_loss", "alpha": 0.01, "learning_rate": "constant", "eta0": 0.01, "random_state": 7}
epochs = 30

with autotrack.start_run(run_name="sgd") as run:
    autotrack.log_params(params)
    autotrack.log_param("epochs", epochs)
    autotrack.set_tag("data", "iris")
    model = SGDClassifier(**params)
    for epoch in range(epochs):
        model.partial_fit(X_train, y_train, classes=[0, 1, 2])
        autotrack.log_metric("train_loss", log_loss(y_train, model.predict_proba(X_train)), step=epoch)
        autotrack.log_metric("test_accuracy", accuracy_score(y_test, model.predict(X_test)), step=epoch)
    autotrack.sklearn.log_model(model, name="iris_model")

# %% [markdown]
# ## Load it again
# The model of a run is found by the run's id.

# %%
loaded = autotrack.load_model(f"runs:/{run.info.run_id}/iris_model")
assert (loaded.predict(X_test) == model.predict(X_test)).all()

# %% [markdown]
# ## Compare runs
# Every run of the experiment, the best first.

# %%
runs = autotrack.search_runs(experiment_names=["iris by hand"], order_by=["metrics.test_accuracy DESC"])
print(runs[["run_id", "params.alpha", "metrics.train_loss", "metrics.test_accuracy"]].head().to_string(index=False))

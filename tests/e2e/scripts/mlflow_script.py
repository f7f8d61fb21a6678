"""An ordinary script for MLflow, longer than most; the only line of it that is not MLflow's is the import."""

import json
import os
import sys
import tempfile

import autotrack as mlflow


def out(**facts):
    print(json.dumps(facts, sort_keys=True))


mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()

# experiments
made = mlflow.create_experiment("churn", tags={"team": "growth"})
mlflow.create_experiment("other")
mlflow.set_experiment("churn")
mlflow.set_experiment_tags({"stage": "draft", "owner": "ada"})
mlflow.set_experiment_tag("stage", "final")
client.set_experiment_tag(made, "year", 2024)
client.delete_experiment_tag(made, "owner")
client.rename_experiment(client.get_experiment_by_name("other").experiment_id, "another")
experiment = mlflow.get_experiment_by_name("churn")
tags = {key: value for key, value in experiment.tags.items() if not key.startswith("mlflow.")}
out(same=experiment.experiment_id == made == mlflow.get_experiment(made).experiment_id, tags=tags)
another = mlflow.get_experiment_by_name("another")
mlflow.delete_experiment(another.experiment_id)
view = mlflow.entities.ViewType


def names(**options):
    return sorted(one.name for one in mlflow.search_experiments(**options) if one.name != "Default")


out(
    active=names(),
    gone=names(view_type=view.DELETED_ONLY),
    all=names(view_type=view.ALL),
    filtered=names(filter_string="tags.team = 'growth'"),
)
client.restore_experiment(another.experiment_id)
out(missing=mlflow.get_experiment_by_name("nowhere") is None, back=names())

# nested runs
with mlflow.start_run(run_name="sweep", description="a grid") as parent:
    for depth in (1, 2, 3):
        with mlflow.start_run(run_name=f"depth-{depth}", nested=True, tags={"kind": "trial"}) as child:
            mlflow.log_param("depth", depth)
            mlflow.log_params({"solver": "lbfgs" if depth < 3 else "sag", "none": None, "list": [1, 2]})
            for step in range(4):
                mlflow.log_metric("loss", 1 / (depth + step), step=step)
            mlflow.log_metrics({"accuracy": 0.5 + depth / 10, "f1/macro": 0.25}, step=3)
            mlflow.set_tags({"a": 1, "b": True})
            mlflow.delete_tag("b")
            assert mlflow.active_run().info.run_id == child.info.run_id
    mlflow.log_metric("best", 0.8)
assert mlflow.active_run() is None
out(
    last=mlflow.last_active_run().info.run_name,
    parent=client.get_parent_run(child.info.run_id).info.run_id
    == parent.info.run_id
    == mlflow.get_parent_run(child.info.run_id).info.run_id,
    none=client.get_parent_run(parent.info.run_id) is None,
)
run = mlflow.get_run(child.info.run_id)
out(
    params=run.data.params,
    metrics=run.data.metrics,
    status=run.info.status,
    name=run.info.run_name,
    tags={key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
)
out(history=[[point.step, point.value] for point in client.get_metric_history(child.info.run_id, "loss")])

# a failure, a resumed run
try:
    with mlflow.start_run(run_name="broken") as broken:
        raise KeyError("x")
except KeyError:
    pass
out(failed=client.get_run(broken.info.run_id).info.status)
with mlflow.start_run(run_id=broken.info.run_id):
    out(resumed=client.get_run(broken.info.run_id).info.status)
    mlflow.log_metric("late", 1.5)
out(finished=client.get_run(broken.info.run_id).info.status, late=client.get_run(broken.info.run_id).data.metrics)

# searches
frame = mlflow.search_runs(
    filter_string="params.solver = 'lbfgs' and metrics.accuracy > 0.55", order_by=["metrics.accuracy DESC"]
)
out(
    rows=len(frame),
    depths=list(frame["params.depth"]),
    accuracy=list(frame["metrics.accuracy"]),
    names=list(frame["tags.mlflow.runName"]),
    children=list(frame["tags.mlflow.parentRunId"] == parent.info.run_id),
)
out(
    listed=[
        one.info.run_name
        for one in mlflow.search_runs(
            experiment_names=["churn"], order_by=["attributes.start_time ASC"], output_format="list"
        )
    ]
)
out(
    here=len(mlflow.search_runs([another.experiment_id])),
    everywhere=len(mlflow.search_runs(search_all_experiments=True)),
)
page = client.search_runs([made], "tags.kind = 'trial'", view.ACTIVE_ONLY, 2, ["metrics.loss ASC"])
rest = client.search_runs([made], "tags.kind = 'trial'", view.ACTIVE_ONLY, 2, ["metrics.loss ASC"], page.token)
out(pages=[[one.info.run_name for one in page], [one.info.run_name for one in rest]], last=not rest.token)
out(
    unlike=[
        one.info.run_name
        for one in client.search_runs(
            [made], "attributes.run_name LIKE 'depth%' and params.depth != '2'", order_by=["params.depth ASC"]
        )
    ]
)

# the client alone
by_hand = client.create_run(
    made, start_time=1600000000000, tags={"mlflow.parentRunId": parent.info.run_id}, run_name="by hand"
)
run_id = by_hand.info.run_id
client.log_batch(
    run_id,
    metrics=[mlflow.entities.Metric("m", 1.0, 1600000000001, 0), mlflow.entities.Metric("m", 2.0, 1600000000002, 1)],
    params=[mlflow.entities.Param("p", "1")],
    tags=[mlflow.entities.RunTag("t", "x")],
)
client.log_metric(run_id, "m", 3.0, timestamp=1600000000003, step=2)
client.log_param(run_id, "q", "2")
client.set_tag(run_id, "u", "y")
client.delete_tag(run_id, "t")
client.update_run(run_id, name="renamed")
client.set_terminated(run_id, "FAILED", 1600000000010)
found = client.get_run(run_id)
out(
    status=found.info.status,
    start=found.info.start_time,
    end=found.info.end_time,
    name=found.info.run_name,
    metrics=found.data.metrics,
    params=found.data.params,
    gone="t" not in found.data.tags,
    u=found.data.tags["u"],
    parent=client.get_parent_run(run_id).info.run_name,
)
client.delete_run(run_id)
out(
    deleted=client.get_run(run_id).info.lifecycle_stage,
    found=len(client.search_runs([made], "attributes.run_name = 'renamed'")),
    view=len(client.search_runs([made], "attributes.run_name = 'renamed'", view.DELETED_ONLY)),
)
client.restore_run(run_id)
out(restored=client.get_run(run_id).info.lifecycle_stage)

# artifacts
with mlflow.start_run(run_name="files") as files, tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/deep/er")
    for name in ("a.txt", "deep/b.txt", "deep/er/c.txt"):
        with open(f"{folder}/{name}", "w") as file:
            file.write(name)
    mlflow.log_artifact(f"{folder}/a.txt")
    mlflow.log_artifact(f"{folder}/a.txt", "copies")
    mlflow.log_artifacts(f"{folder}/deep", artifact_path="tree")
    mlflow.log_text("héllo", "notes/hello.txt")
    mlflow.log_dict({"a": [1, 2], "b": {"c": None}}, "config.json")
    mlflow.log_dict({"a": [1, 2]}, "config.yaml")
    mlflow.log_table({"x": [1, 2], "y": ["u", "v"]}, "table.json")
    mlflow.log_table({"x": [3], "z": [0.5]}, "table.json")
    assert mlflow.get_artifact_uri("config.json").endswith("/config.json")


def listed(path=None):
    found = client.list_artifacts(files.info.run_id, path)
    return sorted([one.path, one.is_dir, one.file_size] for one in found)


out(root=listed(), tree=listed("tree"), nothing=listed("nowhere"))
with tempfile.TemporaryDirectory() as folder:
    place = client.download_artifacts(files.info.run_id, "tree", folder)
    out(
        tree=sorted(os.path.relpath(os.path.join(at, name), place) for at, _, names in os.walk(place) for name in names)
    )
    with open(
        mlflow.artifacts.download_artifacts(run_id=files.info.run_id, artifact_path="tree/er/c.txt", dst_path=folder)
    ) as file:
        out(content=file.read())
out(
    text=mlflow.artifacts.load_text(f"runs:/{files.info.run_id}/notes/hello.txt"),
    config=mlflow.artifacts.load_dict(f"runs:/{files.info.run_id}/config.json"),
    yaml=mlflow.artifacts.load_text(f"runs:/{files.info.run_id}/config.yaml"),
)
table = mlflow.load_table("table.json", run_ids=[files.info.run_id], extra_columns=["run_id"])
out(
    columns=list(table.columns),
    x=list(table["x"]),
    y=[str(one) for one in table["y"]],
    same=set(table["run_id"]) == {files.info.run_id},
)
mlflow.end_run()

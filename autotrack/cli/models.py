"""`autotrack models`: list registered models, predict with a model, or serve it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from autotrack import __version__
from autotrack.cli import registered, terminal
from autotrack.cli.actions import add_action
from autotrack.errors import IntegrationNotAvailableError, InvalidArgumentError

FORMATS = ("csv", "parquet", "json", "jsonl")


def add_options(parser: argparse.ArgumentParser) -> None:
    """One action each."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    registered.add_actions(actions)
    _add_predict(actions)
    _add_serve(actions)


def run(options: argparse.Namespace) -> int:
    """Do the action."""
    return _ACTIONS[options.action](options)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    text = "path, runs:/ID/name, models:/name/3, models:/name@champion, or a URL"
    parser.add_argument("-m", "--model", metavar="URI", required=True, help=text)
    parser.add_argument("--store", metavar="URI", help="the store that runs:/ and models:/ look into")
    parser.add_argument(
        "--trusted", action="store_true", help="load it though that runs code that comes with the model"
    )


def _add_predict(actions: Any) -> None:
    text = "predict for all rows of a file, piece by piece"
    parser = add_action(actions, "predict", text)
    _add_model_options(parser)
    parser.add_argument("-i", "--input", metavar="FILE", required=True, help="csv, parquet, json or jsonl")
    parser.add_argument("-o", "--output", metavar="FILE", help="the same kinds (default: csv on stdout)")
    parser.add_argument("--input-format", choices=FORMATS, help="where the suffix does not say it")
    parser.add_argument("--output-format", choices=FORMATS, help="where the suffix does not say it")
    parser.add_argument("--params", metavar="JSON", help="parameters of predict, such as '{\"threshold\": 0.5}'")
    parser.add_argument("--chunk-rows", metavar="N", type=int, default=10_000, help="rows at a time (default: 10000)")
    parser.add_argument("--with-input", action="store_true", help="write the columns that came, too")


def _add_serve(actions: Any) -> None:
    text = "answer predictions over HTTP, as MLflow's scoring server does"
    parser = add_action(actions, "serve", text)
    _add_model_options(parser)
    host = "address to listen at (default: 127.0.0.1, this machine alone; there is no password)"
    parser.add_argument("--host", default="127.0.0.1", help=host)
    parser.add_argument("--port", type=int, default=5001, help="port (default: 5001; 0 picks a free one)")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="predictions at a time (default: 1)")
    parser.add_argument("--max-body", metavar="MIB", type=float, default=16, help="size of a request (default: 16)")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=60, help="seconds a prediction may take (default: 60)"
    )


def _load(options: argparse.Namespace) -> Any:
    import autotrack.tracking.outputs  # noqa: F401 - teaches load_model runs:/ and models:/
    from autotrack.models.pyfunc import load_model
    from autotrack.tracking import recorders

    if options.store:
        recorders.set_uri(options.store)
    return load_model(options.model, trusted=options.trusted)


def _predict(options: argparse.Namespace) -> int:
    from autotrack.serving.batch import predict_file

    rows = predict_file(
        _load(options),
        options.input,
        options.output or sys.stdout.buffer,
        source_format=options.input_format,
        target_format=options.output_format,
        params=_params(options.params),
        chunk_rows=options.chunk_rows,
        with_input=options.with_input,
    )
    if options.output:
        terminal.remark(f"{rows} predictions written to {options.output}")
    return 0


def _params(text: str | None) -> dict[str, Any] | None:
    try:
        params = json.loads(text) if text else None
    except ValueError as error:
        raise InvalidArgumentError("--params", text, f"a JSON object ({error})") from None
    if params is not None and not isinstance(params, dict):
        raise InvalidArgumentError("--params", text, "a JSON object")
    return params


def _serve(options: argparse.Namespace) -> int:
    try:
        import uvicorn

        from autotrack.serving.app import Limits, make_app
        from autotrack.serving.protocol import PatientProtocol
    except ModuleNotFoundError as error:
        raise IntegrationNotAvailableError("serve", str(error), "pip install 'autotrack[serve]'") from None
    for name, value in (
        ("--threads", options.threads),
        ("--max-body", options.max_body),
        ("--timeout", options.timeout),
    ):
        if not value > 0:
            raise InvalidArgumentError(name, value, "a number above 0")
    limits = Limits(int(options.max_body * 2**20), predict_seconds=options.timeout, threads=options.threads)
    app = make_app(_load(options), __version__, limits)
    settings = uvicorn.Config(
        app, host=options.host, port=options.port, log_level="info", timeout_keep_alive=15, server_header=False,
        timeout_graceful_shutdown=10, limit_concurrency=1000, ws="none", http=PatientProtocol,
    )  # fmt: skip
    if options.host not in ("127.0.0.1", "localhost", "::1"):
        terminal.remark(f"whoever reaches {options.host}:{options.port} may use this model: there is no password")
    uvicorn.Server(settings).run()
    return 0


_ACTIONS = {
    "ls": registered.list_models,
    "show": registered.show_model,
    "predict": _predict,
    "serve": _serve,
}

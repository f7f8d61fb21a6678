"""Secrets of a program, wherever they come from: not one byte of them is in the store's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from autotrack import Client

FILL = "a1B2c3D4e5F6g7H8j9K0" * 3

# Each is put together here, so that no scanner of source code takes it for a real one. Its tail tells the channel.
SECRETS = {
    "argv, of two items": "argvPassphrase",
    "argv, with =": "ghp_" + "Argv" + FILL[:32],
    "code of the command line": "sk-proj-" + "Code" + FILL[:40],
    "environment": "EnvironmentHunter2",
    "environment, a URL": "UrlHunter3",
    "remote": "glpat-" + "Remote" + FILL[:14],
    "uncommitted change": "AKIA" + "DIFFDIFFDIFFDIFF",
    "untracked file": "hf_" + "Untracked" + "abcdefghijklmnopqrstuvw",
    "exception": "xoxb-" + "123456789012-Exception" + FILL[:20],
    "source line of a traceback": "TracebackHunter4",
    "parameter by its name": "ParameterHunter5",
    "parameter by its shape": "npm_" + "Shape" + FILL[:31],
    "parameter inside a dict": "NestedHunter6",
    "parameter logged by hand": "ByHandHunter7",
    "tag": "dapi" + "0123456789abcdef" * 2,
    "argument of argparse": "ArgparseHunter8",
    "candidate of a search": "SG." + "Candidate" + FILL[:13] + "." + FILL[:43],
    "dataset": "DatasetHunter9",
    "internal error": "pypi-" + "AgEInternal" + FILL[:40],
    "description": "sk_" + "live_Description" + FILL[:12],
}

PROGRAM = """
import argparse, json, os, subprocess, sys

import autotrack
from autotrack.hooks import guard
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV

SECRETS = json.load(open("../secrets.json"))
parser = argparse.ArgumentParser()
parser.add_argument("--passphrase")
parser.add_argument("--note")
parser.add_argument("--db-password", default=SECRETS["argument of argparse"])
parser.add_argument("--tokenizer")
parser.parse_args()

class Remote(ClassifierMixin, BaseEstimator):
    def __init__(self, api_key=None, note="", options=None, n_tokens=8, fail=False):
        self.api_key, self.note, self.options, self.n_tokens, self.fail = api_key, note, options, n_tokens, fail
    def fit(self, X, y):
        self.classes_ = [0, 1]
        if self.fail:
            password = os.environ["DB_PASSWORD"]; "password=TRACEBACK"; raise ValueError(self.fail)
        return self
    def predict(self, X):
        return [0] * len(X)

X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
options = {"password": SECRETS["parameter inside a dict"], "retries": 3}
Remote(SECRETS["parameter by its name"], SECRETS["parameter by its shape"], options).fit(X, y)
GridSearchCV(Remote(), {"note": [SECRETS["candidate of a search"], "x"]}, cv=2).fit(X, y)
with autotrack.start_run(description="with " + SECRETS["description"]):
    autotrack.log_param("secret", SECRETS["parameter logged by hand"])
    autotrack.log_param("sha", "0123456789abcdef" * 4)
    autotrack.set_tag("used", SECRETS["tag"])
    place = "https://me:" + SECRETS["dataset"] + "@h/x.csv"
    autotrack.log_input(autotrack.data.from_numpy(__import__("numpy").eye(2), source=place, name="d"))
with guard.shield(guard.health("sklearn"), "a step"):
    raise RuntimeError("no " + SECRETS["internal error"])
autotrack.flush()
subprocess.run([sys.executable, "-c", "import autotrack; autotrack.start_run(); 'CODE'"])
Remote(fail="refused: " + SECRETS["exception"]).fit(X, y)
"""


def test_no_secret_of_a_program_reaches_the_store(tmp_path: Path) -> None:
    """Command line, environment, repository, exceptions, parameters, tags, our own errors: all bytes are looked at."""
    (tmp_path / "secrets.json").write_text(json.dumps(SECRETS))
    place = repository(tmp_path)
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "AUTOTRACK_TRACKING_URI": str(tmp_path / "store"),
        "AUTOTRACK_ENVIRONMENT_VARIABLES": "DB_PASSWORD,SERVICE_URL,PLAIN",
        "DB_PASSWORD": SECRETS["environment"],
        "SERVICE_URL": f"postgresql://me:{SECRETS['environment, a URL']}@db/x",
        "PLAIN": "plain value",
    }
    given = ["--passphrase", SECRETS["argv, of two items"], f"--note={SECRETS['argv, with =']}", "--tokenizer", "bert"]
    done = subprocess.run(
        [sys.executable, "-m", "autotrack", "train.py", *given],
        cwd=place, env=environ, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert SECRETS["exception"] in done.stderr  # the program's own traceback is as it would be
    client = Client(str(tmp_path / "store"))
    shown = seen_by(client)
    content = stored_bytes(tmp_path / "store")
    leaked = [channel for channel, secret in SECRETS.items() if secret.encode() in content or secret in shown]
    assert leaked == []
    assert b"[redacted]" in content
    for kept in (
        "plain value",
        "0123456789abcdef" * 4,
        "n_tokens",
        "bert",
        "new_line_of_the_diff",
        "h/x.csv",
        "refused",
    ):
        assert kept in shown, kept


def repository(tmp_path: Path) -> Path:
    """A repository with a program that was changed since its commit, a file that is not in it, and a remote."""
    place = tmp_path / "project"
    place.mkdir()
    code, line = SECRETS["code of the command line"], SECRETS["source line of a traceback"]
    (place / "train.py").write_text(PROGRAM.replace("CODE", code).replace("TRACEBACK", line))
    (place / "settings.py").write_text("old = 1\n")
    remote = f"https://oauth2:{SECRETS['remote']}@git.example.org/a/b.git"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*identity, "commit", "-qm", "x"],
        ["remote", "add", "origin", remote],
    ):
        subprocess.run(["git", *command], cwd=place, check=True)
    (place / "settings.py").write_text(f"new_line_of_the_diff = 1\naws = {SECRETS['uncommitted change']!r}\n")
    (place / "notes.txt").write_text(f"hub: {SECRETS['untracked file']}\n")
    return place


def seen_by(client: Client) -> str:
    """All that a reader is shown of all runs and their sessions."""
    found: list[Any] = []
    for run in client.search_runs(run_view_type="ALL"):
        run_id = run.info.run_id
        session = client.get_session(run.info.session_id)
        found += [run, session, client.get_environment(run_id), *client.get_fits(run_id), *client.get_trials(run_id)]
    assert len(found) > 12
    return "\n".join(json.dumps(one.to_dict(), ensure_ascii=False, default=str) for one in found if one is not None)


def stored_bytes(folder: Path) -> bytes:
    """Every file of the store: database and its log, journals, artifacts, models, reports of the health."""
    names = [path for path in folder.rglob("*") if path.is_file()]
    assert {"autotrack.db"} <= {path.name for path in names}
    assert any(path.suffix == ".jsonl" for path in names)
    return b"\0".join(path.read_bytes() for path in names)

"""The server: answers, limits, errors; in process, and as a user starts it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn
from sklearn.linear_model import LogisticRegression

from autotrack.models import infer_signature, pyfunc, save_model
from autotrack.models.mlmodel import Model
from autotrack.serving.app import Limits, make_app
from autotrack.serving.protocol import PatientProtocol

ROOT = Path(__file__).resolve().parents[2]
X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
FITTED = LogisticRegression().fit(X, [0, 0, 1, 1])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model directory."""
    save_model(FITTED, tmp_path / "model", signature=infer_signature(X, FITTED.predict(X)))
    return tmp_path / "model"


class Predictor:
    """A model whose `predict` does what a test wants."""

    def __init__(self, predict: Any) -> None:
        self.raw = self
        self._predict = predict

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        """Whatever the test wants."""
        return self._predict(data)


def ask(model: pyfunc.PyFuncModel, limits: Limits | None = None, **request: Any) -> httpx.Response:
    """One request, to the application itself."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(model, "1.2.3", limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(**{"method": "POST", "url": "/invocations", **request})

    return asyncio.run(once())


def model_of(predict: Any) -> pyfunc.PyFuncModel:
    """A model of one function."""
    return pyfunc.PyFuncModel(Model(), Predictor(predict))


@pytest.fixture
def server(saved: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`autotrack models serve` as a user starts it, on a free port."""
    command = [sys.executable, "-m", "autotrack.cli", "models", "serve", "-m", str(saved), "--port", "0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stderr is not None
    said = ""
    while (found := re.search(r"running on (http://127.0.0.1:\d+)", said)) is None:
        line = child.stderr.readline()
        assert line, said
        said += line
    drained = threading.Thread(target=child.stderr.read, daemon=True)
    drained.start()
    yield found[1], child
    child.kill()
    child.wait()
    drained.join()
    child.stderr.close()
    assert child.stdout is not None
    child.stdout.close()


def test_a_real_server_answers_and_ends_on_request(server: tuple[str, subprocess.Popen[str]]) -> None:
    """On this machine alone: it predicts what the model predicts, refuses what does not match, ends on Ctrl-C."""
    url, child = server
    assert httpx.get(f"{url}/ping").status_code == httpx.get(f"{url}/health").status_code == 200
    expected = FITTED.predict(X).tolist()
    forms: list[dict[str, Any]] = [
        {"dataframe_split": X.to_dict("split")},
        {"dataframe_records": X.to_dict("records")},
        {"instances": X.to_numpy().tolist()},
        {"inputs": X.to_dict("list")},
    ]
    for form in forms:
        answer = httpx.post(f"{url}/invocations", json=form)
        assert (answer.status_code, answer.json()) == (200, {"predictions": expected})
    csv = httpx.post(f"{url}/invocations", content=X.to_csv(index=False), headers={"Content-Type": "text/csv"})
    assert csv.json() == {"predictions": expected}
    refused = httpx.post(f"{url}/invocations", json={"dataframe_records": [{"a": 1.0}]})
    assert refused.status_code == 400
    assert "column 'b' is missing" in refused.json()["message"]
    child.send_signal(signal.SIGINT)
    assert child.wait(60) in (0, 130, -signal.SIGINT)


def test_paths_and_content_types(saved: Path) -> None:
    """What is not served is a 404 or 405, another kind of body a 415 that names the two that are taken."""
    model = pyfunc.load_model(saved)
    assert ask(model, method="GET", url="/version").text == "1.2.3"
    assert ask(model, method="GET", url="/nothing").status_code == 404
    assert ask(model, method="GET").status_code == 405
    answer = ask(model, content=b"x", headers={"Content-Type": "application/x-python-pickle"})
    assert answer.status_code == 415
    assert "application/json or text/csv" in answer.json()["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    """By what it says of itself, and by what comes when it says nothing."""
    model, limits = model_of(len), Limits(body_bytes=1000)
    headers = {"Content-Type": "application/json"}
    assert ask(model, limits, content=b" " * 1001, headers=headers).status_code == 413
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 100
            yield b" " * 100

    assert ask(model, limits, content=endless(), headers=headers).status_code == 413


def test_a_body_that_does_not_come_is_given_up() -> None:
    """A client that sends a byte now and then holds nothing for ever."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(600)

    answer = ask(model_of(len), Limits(body_seconds=0.05), content=slow(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_code"]) == (408, "REQUEST_TIMEOUT")


VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_head_that_does_not_come_is_given_up() -> None:
    """Neither at the first request of a connection nor at a later one; a whole one in between is answered."""

    class Protocol(PatientProtocol):
        head_seconds = 0.5

    async def talk() -> list[bytes]:
        config = uvicorn.Config(make_app(model_of(len), "1.2.3"), port=0, http=Protocol, log_level="warning", ws="none")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        answers = []
        for whole, begun in ((b"", b""), (b"", b"GET /version HT"), (VERSION, b"GET /ver")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(whole)
            if whole:
                await reader.readuntil(b"1.2.3")
            writer.write(begun)
            answers.append(await asyncio.wait_for(reader.read(), 60))
            writer.close()
        server.should_exit = True
        await running
        return answers

    assert asyncio.run(talk()) == [b"", b"", b""]


def test_a_model_that_takes_too_long_is_not_waited_for() -> None:
    """The answer comes in time; as long as the model goes on, its place is taken and others are told so."""
    go_on, limits = threading.Event(), Limits(predict_seconds=0.05, threads=1, waiting=0)

    async def talk() -> list[int]:
        app = make_app(model_of(lambda data: [go_on.wait(60)]), "1", limits)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            codes = [(await client.post("/invocations", json={"inputs": [1]})).status_code for _ in range(2)]
            go_on.set()
            while codes[-1] != 200 and len(codes) < 1000:
                codes.append((await client.post("/invocations", json={"inputs": [1]})).status_code)
                await asyncio.sleep(0.01)
            return codes

    codes = asyncio.run(talk())
    assert codes[:2] == [504, 503]
    assert codes[-1] == 200


def test_an_error_of_the_model_is_told_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The client hears type and message, the log has the rest; the server lives on."""

    def fail(data: Any) -> Any:
        raise KeyError("colour")

    answer = ask(model_of(fail), json={"inputs": [1]})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert "KeyError: 'colour'" in answer.json()["message"]
    assert "Traceback" not in answer.text
    assert "in fail" in caplog.text


def test_many_requests_at_once_each_get_their_own_answer() -> None:
    """Predictions in several threads are not mixed up."""

    async def talk() -> list[Any]:
        app = make_app(model_of(lambda data: np.asarray(data) * 2), "1", Limits(threads=4))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answers = await asyncio.gather(*(client.post("/invocations", json={"inputs": [n]}) for n in range(50)))
        return [json.loads(answer.content)["predictions"] for answer in answers]

    assert asyncio.run(talk()) == [[2 * number] for number in range(50)]

"""Places for files: a folder, `memory://`, and buckets of an S3 server that runs in this process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotrack.artifacts import Artifacts


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of an S3 server; by name, as real ones are, so that names are looked up."""
    server = pytest.importorskip("moto.server", reason="there is no S3 server to test with")
    pytest.importorskip("s3fs", reason="there is no S3 client to test")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield f"http://localhost:{running.get_host_and_port()[1]}"
    running.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket; its server and credentials stand in the environment, as they do for users."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex}"
    s3().mkdir(name)
    yield f"s3://{name}"
    s3().rm(name, recursive=True)


def s3() -> Any:
    """The S3 server, past autotrack; it remembers no listing."""
    import fsspec

    found = fsspec.filesystem("s3")
    found.invalidate_cache()
    return found


@pytest.fixture
def memory() -> Iterator[str]:
    """A root in memory."""
    import fsspec

    yield f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["folder", "file-url", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    """An empty place for files: a folder with a difficult name, the URL of one, and remote ones."""
    if request.param == "memory":
        return Artifacts(request.getfixturevalue("memory") + "/run")
    if request.param == "s3":
        return Artifacts(request.getfixturevalue("bucket") + "/runs/a b%20é/run")
    difficult = tmp_path / "a b::c %20 é"
    return Artifacts(str(difficult) if request.param == "folder" else f"file://{tmp_path}/with%20space/run")

"""The engine's tests under every supported release of wrapt, with its C extension and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / ".wrapt-versions"
ENGINE = "tests/hooks/test_patching_engine.py"


def _release(version: str) -> Path:
    """The folder of one release, fetched the first time. Compiled parts are per interpreter; workers may race."""
    folder = VERSIONS / f"{version}-{sys.implementation.cache_tag}"
    if folder.is_dir():
        return folder
    VERSIONS.mkdir(exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=VERSIONS))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh)]
    done = subprocess.run([*command, f"wrapt=={version}"], capture_output=True, text=True)
    assert done.returncode == 0, f"wrapt {version} could not be installed for this test:\n{done.stderr}"
    try:
        fresh.rename(folder)
    except OSError:  # another worker was faster
        shutil.rmtree(fresh)
    return folder


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "pure"])
@pytest.mark.parametrize("version", ["1.17.3", "2.0.1", "2.2.1", "installed"])
def test_the_engine_holds_under_this_wrapt(version: str, compiled: bool) -> None:
    """All tests of the engine pass in a process that has this release, in this flavour."""
    path = [str(ROOT)] if version == "installed" else [str(_release(version)), str(ROOT)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    env.pop("WRAPT_DISABLE_EXTENSIONS", None)
    if not compiled:
        env["WRAPT_DISABLE_EXTENSIONS"] = "1"
    asked = [sys.executable, "-c", "import sys, wrapt; print(wrapt.__version__, 'wrapt._wrappers' in sys.modules)"]
    found, native = subprocess.run(asked, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert version in (found, "installed")
    assert native == str(compiled)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", ENGINE],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]

"""Roles: which of a program's processes are recorded, and as what."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from test_launcher import ROLE
from zero_code_interpreters import Interpreter, Outcome

from autotrack import process

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("line", "options", "target"),
    [
        ("", "", ""),
        ("a.py -u", "", "a.py -u"),
        ("- x", "", "- x"),
        ("-u -W error -Xdev a.py", "-u -W error -X dev", "a.py"),
        ("-um mod -c", "-u", "-m mod -c"),
        ("-mmod -c", "", "-m mod -c"),
        ("-uBc1 x", "-u -B", "-c 1 x"),
        ("-OOWd a", "-O -O -W d", "a"),
        ("--check-hash-based-pycs always -m", "--check-hash-based-pycs always", "-m"),
        ("-u -- a.py", "-u", "a.py"),
        ("-X", "-X", ""),
    ],
)
def test_command_line_splits_as_python_splits_it(line: str, options: str, target: str) -> None:
    """Options end where Python ends them: at the script, `-m`, `-c`, `-` or `--`."""
    assert process.split_options(line.split()) == (options.split(), target.split())


@pytest.mark.parametrize(
    ("command_line", "role"),
    [
        (["python"], "main"),
        (["python", "train.py", "-m", "pip"], "main"),
        (["python", "-u", "-m", "train"], "main"),
        (
            ["python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)", "--fork"],
            "worker",
        ),
        (["python", "-B", "-c", "from multiprocessing.forkserver import main; main(3, 4)"], "worker"),
        (["python", "-c", "import sys; from multiprocessing.forkserver import main; main(3, 4)", "--fast"], "worker"),
        (["python", "-c", "import sys; from mine.forkserver import main; main()"], "main"),
        (["python", "-c", "import sys; print(1)"], "main"),
        (["python", "-c", "from multiprocess.spawn import spawn_main; spawn_main()"], "worker"),
        (["python", "-c", "from multiprocessing.resource_tracker import main;main(5)"], "helper"),
        (["python", "-c", "from joblib.externals.loky.backend.resource_tracker import main; main(5, False)"], "helper"),
        (["python", "-m", "joblib.externals.loky.backend.popen_loky_posix", "--process-name", "x"], "worker"),
        (["python", "-c", "from joblib.externals.loky.backend.popen_loky_win32 import main; main()"], "worker"),
        (["python", "/x/site-packages/torch/_inductor/compile_worker/__main__.py", "--workers=2"], "helper"),
        (["python", "/x/site-packages/ray/_private/workers/default_worker.py", "--node-ip-address=1"], "worker"),
        (["python", "/x/site-packages/ray/_private/workers/setup_worker.py", "default_worker.py"], "helper"),
        (["python", "-u", "/x/site-packages/ray/_private/log_monitor.py", "--logs-dir=x"], "helper"),
        (["python", "/x/site-packages/ray/dashboard/agent.py"], "helper"),
        (["python", "-m", "ray.util.client.server"], "helper"),
        (["python", "mine/ray/train.py"], "main"),
        (["python", "/x/bin/ray", "start", "--head"], "tool"),
        (["python", "-m", "ipykernel_launcher", "-f", "x.json"], "main"),
        (["python", "-c", "from mine.spawn import x"], "main"),
        (["python", "-c", "print('multiprocessing.spawn')"], "main"),
        (["python", "-c", "from"], "main"),
        (["python", "-c", ""], "main"),
        (["python", "-m"], "main"),
        (["python", "-m", "pip", "install", "x"], "tool"),
        (["python", "-Im", "ensurepip"], "tool"),
        (["python", "/venv/bin/pip3.11", "list"], "tool"),
        (["python", "/venv/bin/pip", "list"], "tool"),
        (["python", "pip.py"], "main"),
        (["python", "-m", "autotrack", "train.py"], "tool"),
        (["python", "/venv/bin/autotrack", "ls"], "main"),
    ],
)
def test_role_is_read_off_the_command_line(command_line: list[str], role: str) -> None:
    """Pool workers, their trackers and tools are told from programs, whatever their arguments are."""
    assert process.role_of(command_line, {}) == role


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        ({"RANK": "0", "SLURM_PROCID": "3"}, (0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, (2, 4)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, (3, 8)),
        ({"RANK": "first", "WORLD_SIZE": "2"}, (0, 1)),
        ({"RANK": "-1"}, (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": ""}, (2, 1)),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (1, 2)),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
        ({"LOCAL_RANK": "1"}, (0, 1)),
    ],
)
def test_rank_comes_from_the_distributed_launchers_variables(environ: dict[str, str], rank: tuple[int, int]) -> None:
    """torchrun's, MPI's, SLURM's and Lightning's variables are understood; what is no number is ignored."""
    assert process.rank_of(environ) == rank
    assert process.role_of(["python", "train.py"], environ) == ("rank" if rank[0] else "main")
    assert process.role_of(["python", "-m", "pip"], environ) == "tool"


SPAWN = """
import multiprocessing, sys
def role():
    module = sys.modules.get("autotrack.process")
    print(module.role if module and module.activated else "inactive", flush=True)
if __name__ == "__main__":
    role()
    child = multiprocessing.get_context(sys.argv[1]).Process(target=role)
    child.start()
    child.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_multiprocessing_are_workers(python: Interpreter, program: Write, method: str) -> None:
    """A pool's children activate as workers; the resource tracker is left alone."""
    done = python.launched(program(SPAWN), method, AUTOTRACK_DEBUG="1")
    assert (done.stdout, done.status) == ("main\nworker\n", 0)
    verdicts = sorted(re.findall(r"(?<=]: ).*", done.stderr))
    assert verdicts == [
        "active (role main, by hook)",
        "active (role worker, by hook)",
        "inactive: this process is a helper",
    ]


def test_workers_of_joblib_are_workers(python: Interpreter, program: Write) -> None:
    """loky's processes activate as workers."""
    joblib = pytest.importorskip("joblib")
    script = program(
        "import sys\nfrom joblib import Parallel, delayed\n"
        "def role(_):\n    m = sys.modules.get('autotrack.process')\n    return m and m.activated and m.role\n"
        "print(Parallel(n_jobs=2)(delayed(role)(i) for i in range(2)))\n"
    )
    packages = os.path.dirname(os.path.dirname(joblib.__file__))
    assert python.launched(script, PYTHONPATH=packages) == Outcome("['worker', 'worker']\n", "", 0)


def test_tools_started_by_a_program_are_left_alone(python: Interpreter, program: Write, tmp_path: Path) -> None:
    """`python -m compileall` under the hook is plain."""
    (tmp_path / "empty").mkdir()
    done = python.hooked("-m", "compileall", "-q", tmp_path / "empty", AUTOTRACK_DEBUG="1")
    assert (done.stdout, done.status) == ("", 0)
    assert done.stderr.endswith("inactive: this process is a tool\n")


@pytest.mark.parametrize(("rank", "role"), [("0", "main"), ("1", "rank")])
def test_ranks_of_a_distributed_job_are_active_and_told_apart(python: Interpreter, rank: str, role: str) -> None:
    """Every rank is active; all but the first know that they are not the one that opens runs."""
    assert python.launched("-c", ROLE, RANK=rank, WORLD_SIZE="2") == Outcome(f"{role}\n", "", 0)

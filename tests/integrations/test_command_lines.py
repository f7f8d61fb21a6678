"""Command-line arguments on runs: argparse, click, typer, fire, Hydra, in interpreters of their own and in this one."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import fire
import pytest
import typer
from sklearn.linear_model import Ridge

import autotrack
from autotrack.hooks import light
from autotrack.integrations import registry
from autotrack.testing import TemporaryStore
from autotrack.tracking.program_facts import GIVEN_TAG

Python = Callable[..., subprocess.CompletedProcess[str]]

SHOW = """
import json
import autotrack
with autotrack.start_run() as run:
    pass
data = autotrack.get_run(run.run_id).data
print(json.dumps([data.param_values, data.tags.get("args.given")]))
"""


def arguments(run: Any) -> dict[str, Any]:
    """The arguments on a run, with their types."""
    values = run.data.param_values
    return {key.removeprefix("args."): value for key, value in values.items() if key.startswith("args.")}


def given(run: Any) -> list[str]:
    """The names of those that were given."""
    return [name for name in run.data.tags[GIVEN_TAG].split(",") if name]


def parser() -> argparse.ArgumentParser:
    """A parser as training scripts have one."""
    made = argparse.ArgumentParser()
    made.add_argument("--lr", type=float, default=0.1)
    made.add_argument("-b", "--batch-size", type=int, default=32)
    made.add_argument("--amp", action="store_true")
    made.add_argument("data", nargs="?", default="train.csv")
    return made


def fit() -> None:
    """Train something."""
    Ridge().fit([[0.0], [1.0]], [0.0, 1.0])


def test_arguments_are_on_automatic_runs_with_their_types(recorded: TemporaryStore) -> None:
    """What argparse came to is on the run of a fit that follows, and a tag says which arguments were given."""
    parser().parse_args(["--lr", "0.5", "-b64"])
    fit()
    run = recorded.only_run()
    assert arguments(run) == {"lr": 0.5, "batch_size": 64, "amp": False, "data": "train.csv"}
    assert given(run) == ["lr", "batch_size"]
    assert "alpha" in run.data.params


def test_an_argument_given_at_its_default_counts_as_given(recorded: TemporaryStore) -> None:
    """Whether an argument was given does not depend on its value."""
    parser().parse_args(["--lr=0.1", "--amp", "train.csv"])
    fit()
    assert sorted(given(recorded.only_run())) == ["amp", "data", "lr"]


@pytest.mark.parametrize("method", ["parse_args", "parse_known_args", "parse_intermixed_args"])
def test_every_way_of_parsing_is_seen(recorded: TemporaryStore, method: str) -> None:
    """Plain, tolerant and intermixed parsing give the same."""
    getattr(parser(), method)(["--lr", "2", "x.csv"])
    fit()
    run = recorded.only_run()
    assert arguments(run)["lr"] == 2.0
    assert arguments(run)["data"] == "x.csv"
    assert sorted(given(run)) == ["data", "lr"]


def test_arguments_of_subparsers_are_recorded(recorded: TemporaryStore) -> None:
    """The command and its own arguments stand beside those of the parser above it."""
    top = argparse.ArgumentParser()
    top.add_argument("--seed", type=int, default=0)
    train = top.add_subparsers(dest="command").add_parser("train")
    train.add_argument("--epochs", type=int, default=3)
    train.add_argument("--key-of-api", dest="plain", default="x")
    train.add_argument("--password", dest="pw", default="from-the-vault")
    top.parse_args(["--seed", "1", "train", "--epochs", "5"])
    fit()
    run = recorded.only_run()
    assert arguments(run) == {"seed": 1, "command": "train", "epochs": 5, "plain": "x", "pw": "[redacted]"}
    assert given(run) == ["seed", "command", "epochs"]


def test_secrets_are_redacted_also_as_defaults(recorded: TemporaryStore) -> None:
    """A key or password is not stored, whether the command line or the default has it, nor a URL's credentials."""
    made = argparse.ArgumentParser()
    made.add_argument("--api-key", default="4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c")
    made.add_argument("--password")
    made.add_argument("--store")
    made.add_argument("--max-tokens", type=int, default=100)
    made.parse_args(["--password", "hunter2", "--store", "https://me:hunter2@host/x"])
    fit()
    run = recorded.only_run()
    values = arguments(run)
    assert values["api_key"] == values["password"] == "[redacted]"
    assert values["max_tokens"] == 100
    assert "hunter2" not in str(run)
    assert "4f9a8b7c" not in str(run)


def test_objects_among_the_values_run_no_code_of_the_programs(recorded: TemporaryStore, tmp_path: Path) -> None:
    """Files show their name, functions theirs, paths their text; a user's own `__repr__` is not called."""

    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("called")

    made = argparse.ArgumentParser()
    made.add_argument("--out", type=argparse.FileType("w"))
    made.add_argument("--folder", type=Path)
    made.set_defaults(call=fit, thing=Loud(), pair=(1, "b"))
    result = made.parse_args(["--out", str(tmp_path / "o.txt"), "--folder", "data/raw"])
    result.out.close()
    fit()
    values = arguments(recorded.only_run())
    assert values["out"] == str(tmp_path / "o.txt")
    assert values["folder"] == str(Path("data/raw"))
    assert values["pair"] == [1, "b"]
    assert "fit" in values["call"]
    assert "Loud" in values["thing"]


def test_the_result_of_parsing_is_the_programs_own(recorded: TemporaryStore) -> None:
    """Namespace, left-over arguments, errors and the exit status are those of plain argparse."""
    given_namespace = argparse.Namespace(kept=1)
    namespace, rest = parser().parse_known_args(["--lr", "3", "--other"], given_namespace)
    assert namespace is given_namespace
    assert vars(namespace) == {"kept": 1, "lr": 3.0, "batch_size": 32, "amp": False, "data": "train.csv"}
    assert rest == ["--other"]
    with pytest.raises(SystemExit) as error:
        parser().parse_args(["--lr", "many"])
    assert error.value.code == 2


def test_a_parser_of_a_library_is_not_the_programs(recorded: TemporaryStore) -> None:
    """What a library parses on its own behalf is on no run."""
    from IPython.core import magic_arguments

    @magic_arguments.magic_arguments()
    @magic_arguments.argument("--depth", type=int, default=1)
    def magic(line: str) -> None:
        """A magic."""

    assert magic_arguments.parse_argstring(magic, "--depth 3").depth == 3
    fit()
    assert arguments(recorded.only_run()) == {}


def test_a_place_that_parses_again_is_told_anew(recorded: TemporaryStore) -> None:
    """A sweep inside one process: each run has the arguments of its own round alone."""
    for round_ in ("a", "b"):
        made = argparse.ArgumentParser()
        made.add_argument(f"--{round_}", type=int, default=1)
        made.parse_args([f"--{round_}", "7"])
        fit()
    assert [arguments(run) for run in recorded.runs()] == [{"a": 7}, {"b": 7}]


def test_two_parsers_add_up(recorded: TemporaryStore) -> None:
    """A parser for `--config` first and the whole one then: both are on the run, the later one wins."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config", default="base.yaml")
    first.add_argument("--lr", type=float, default=9.0)
    first.parse_known_args(["--config", "big.yaml", "--lr", "1"])
    parser().parse_args([])
    fit()
    run = recorded.only_run()
    assert arguments(run)["config"] == "big.yaml"
    assert arguments(run)["lr"] == 0.1
    assert given(run) == ["config"]


def test_arguments_reach_a_run_that_is_open_already(recorded: TemporaryStore) -> None:
    """A program that opens its run before it reads its command line has both."""
    with autotrack.start_run():
        parser().parse_args(["--lr", "4"])
    assert arguments(recorded.only_run())["lr"] == 4.0


def test_a_run_of_the_client_says_nothing_of_this_process(recorded: TemporaryStore) -> None:
    """Who copies runs with `Client.create_run` does not find the copier's command line on them."""
    parser().parse_args(["--lr", "4"])
    recorded.client.create_run()
    assert recorded.only_run().data.params == {}


def test_nothing_is_said_while_switched_off(recorded: TemporaryStore) -> None:
    """Inside `disabled()`, after `disable()`, and on the program's own runs with `exclusive`."""
    with autotrack.disabled():
        parser().parse_args(["--lr", "4"])
    with autotrack.start_run():
        pass
    parser().parse_args(["--lr", "5"])
    with autotrack.disabled(), autotrack.start_run():
        pass
    autotrack.disable()
    with autotrack.start_run():
        pass
    autotrack.enable()
    autotrack.autolog(exclusive=True)
    with autotrack.start_run():
        pass
    assert [arguments(run) for run in recorded.runs()] == [{}] * 4
    autotrack.autolog(exclusive=False)
    fit()
    assert arguments(recorded.runs()[-1])["lr"] == 5.0


def test_arguments_are_switched_off_by_a_setting(recorded: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AUTOTRACK_LOG_ARGUMENTS=0` leaves them away."""
    monkeypatch.setenv("AUTOTRACK_LOG_ARGUMENTS", "0")
    autotrack.config.reload()
    parser().parse_args(["--lr", "4"])
    fit()
    run = recorded.only_run()
    assert arguments(run) == {}
    assert GIVEN_TAG not in run.data.tags


def test_runs_are_found_by_their_arguments(recorded: TemporaryStore) -> None:
    """Arguments compare as numbers in filters, and the tag tells who gave one."""
    for rate in ("0.05", "0.5"):
        parser().parse_args(["--lr", rate])
        fit()
    parser().parse_args([])
    fit()
    found = autotrack.search_runs(filter_string="params.args.lr < 0.2", output_format="list")
    assert sorted(run.data.params["args.lr"] for run in found) == ["0.05", "0.1"]
    gave = autotrack.search_runs(filter_string=f"tags.`{GIVEN_TAG}` LIKE '%lr%'", output_format="list")
    assert len(gave) == 2


def test_methods_are_as_they_were_after_switching_off() -> None:
    """The raw functions come back, the identical objects, and a second switching on watches once."""
    raw = dict(vars(argparse.ArgumentParser))
    for _ in range(2):
        autotrack.autolog()
        assert argparse.ArgumentParser.parse_known_args is not raw["parse_known_args"]
        assert len(registry.patches("argparse")) == 3
        autotrack.disable()
        autotrack.enable()
    autotrack.disable()
    assert dict(vars(argparse.ArgumentParser)) == raw
    assert light.installed() == []


def test_a_wrapper_of_somebody_elses_stays(recorded: TemporaryStore) -> None:
    """Who wrapped a watched method keeps their wrapper when autotrack goes, and is not wrapped twice when it comes."""
    import functools

    ours = argparse.ArgumentParser.parse_known_args
    calls = []

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return ours(*args, **kwargs)

    argparse.ArgumentParser.parse_known_args = theirs  # type: ignore[method-assign]
    try:
        autotrack.disable()
        assert argparse.ArgumentParser.parse_known_args is theirs
        autotrack.enable()
        assert argparse.ArgumentParser.parse_known_args is theirs
        parser().parse_args(["--lr", "6"])
        fit()
    finally:
        argparse.ArgumentParser.parse_known_args = ours  # type: ignore[method-assign]
    assert calls == [1]
    assert arguments(recorded.only_run())["lr"] == 6.0


def test_a_class_and_a_method_under_fire(recorded: TemporaryStore) -> None:
    """fire: the arguments of the class and of its method, by name and by position, and which were given."""

    class Trainer:
        def __init__(self, width: int = 3, name: str = "mlp") -> None:
            self.width = width

        def train(self, lr: float, decay: float = 0.2, *, warm: int = 1) -> None:
            fit()

    fire.Fire(Trainer, ["--width", "5", "train", "0.1", "--warm=7"])
    run = recorded.only_run()
    assert arguments(run) == {"width": 5, "name": "mlp", "lr": 0.1, "decay": 0.2, "warm": 7}
    assert given(run) == ["width", "lr", "warm"]


def test_groups_and_commands_of_click(recorded: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """click: parameters of group and command; given are those of command line and environment, not the defaults."""

    @click.group()
    @click.option("--debug/--no-debug", default=False)
    def cli(debug: bool) -> None:
        """A group."""

    @cli.command()
    @click.option("--lr", type=float, default=0.1)
    @click.option("--decay", type=float, default=0.2, envvar="DECAY")
    @click.option("--pin", hide_input=True, default="1234")
    @click.argument("data", type=click.Path())
    def train(lr: float, decay: float, pin: str, data: str) -> None:
        fit()

    monkeypatch.setenv("DECAY", "0.3")
    cli(["train", "x.csv"], standalone_mode=False)
    run = recorded.only_run()
    assert arguments(run) == {"debug": False, "lr": 0.1, "decay": 0.3, "data": "x.csv"}
    assert sorted(given(run)) == ["data", "decay"]


def test_commands_of_typer(recorded: TemporaryStore) -> None:
    """typer: a command's parameters, with a path and a choice as the command line has them."""
    import enum

    class Kind(str, enum.Enum):
        small = "s"
        big = "b"

    app = typer.Typer()

    def train(data: Path, kind: Kind = Kind.small, lr: float = 0.1) -> None:
        fit()

    train.__annotations__.update(data=Path, kind=Kind, lr=float, **{"return": None})
    app.command()(train)
    app(["x.csv", "--kind", "b"], standalone_mode=False)
    run = recorded.only_run()
    assert arguments(run) == {"data": "x.csv", "kind": "b", "lr": 0.1}
    assert sorted(given(run)) == ["data", "kind"]


HYDRA = """
import autotrack
autotrack.autolog()
import hydra

def draw():
    raise AssertionError("a resolver of the program's was called")

from omegaconf import OmegaConf
OmegaConf.register_new_resolver("draw", draw)

@hydra.main(config_path=".", config_name="conf", version_base=None)
def main(cfg):
    SHOW

main()
"""


def test_the_configuration_of_a_hydra_task(run_python: Python, tmp_path: Path) -> None:
    """Hydra: the task's configuration by dotted keys, references followed, resolvers not called, secrets redacted."""
    pytest.importorskip("hydra")
    (tmp_path / "conf.yaml").write_text(
        'model: {width: 3, depth: "${model.width}", lazy: "${draw:}"}\n'
        "opt: {lr: 0.1, api_key: abcdef}\nlayers: [1, 2]\n"
    )
    body = SHOW.strip().replace("\n", "\n    ")
    (tmp_path / "train.py").write_text(HYDRA.replace("SHOW", body))
    values, tag = json.loads(run_python(Path("train.py"), "opt.lr=0.3", "+new=1").stdout)
    assert values == {
        "args.model.width": 3,
        "args.model.depth": 3,
        "args.model.lazy": "${draw:}",
        "args.opt.lr": 0.3,
        "args.opt.api_key": "[redacted]",
        "args.layers": [1, 2],
        "args.new": 1,
    }
    assert tag == "opt.lr,new"


EARLY = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--gpu", default="0")
args = parser.parse_args()
heavy = [name for name in ("msgspec", "sqlalchemy", "wrapt", "asyncio", "numpy", "autotrack.integrations.options")
         if name in sys.modules]
"""


def test_arguments_parsed_before_any_framework_is_imported(run_python: Python, tmp_path: Path) -> None:
    """Zero-code: parsing first and importing then is recorded, and until then nothing heavy has been loaded."""
    code = EARLY + "print(heavy)\nfrom sklearn.linear_model import Ridge\nRidge().fit([[0.0], [1.0]], [0.0, 1.0])\n"
    (tmp_path / "train.py").write_text(code)
    store = str(tmp_path / "store")
    done = run_python("-m", "autotrack", "train.py", "--gpu", "1", env={"AUTOTRACK_TRACKING_URI": store})
    assert done.stdout == "[]\n"
    run = TemporaryStore(Path(store)).only_run()
    assert arguments(run) == {"lr": 0.1, "gpu": "1"}
    assert given(run) == ["gpu"]


def test_autolog_after_argparse_is_imported_loads_nothing_heavy(run_python: Python) -> None:
    """`autolog()` in a program that has imported argparse and random already costs no engine and no settings."""
    code = (
        "import argparse, random, sys\nimport autotrack\nautotrack.autolog()\n"
        "print([name for name in ('msgspec', 'sqlalchemy', 'wrapt', 'asyncio', 'numpy') if name in sys.modules])\n"
    )
    assert run_python(code).stdout == "[]\n"


def test_a_module_of_the_programs_named_fire_or_click_is_left_alone(run_python: Python, tmp_path: Path) -> None:
    """A user's own `fire.py`, `click.py` and `hydra.py` import and work."""
    for name in ("fire", "click", "hydra"):
        (tmp_path / f"{name}.py").write_text(f"def Fire(x): return {name!r} + x\n")
    (tmp_path / "train.py").write_text("import fire, click, hydra\nprint(fire.Fire('x'), click.Fire('y'), hydra)\n")
    assert run_python("-m", "autotrack", "train.py").stdout.startswith("firex clicky")


def test_random_numbers_are_as_they_were(recorded: TemporaryStore) -> None:
    """Reading a command line draws no random numbers."""
    random.seed(5)
    state = random.getstate()
    parser().parse_args(["--lr", "4"])
    fit()
    assert random.getstate() == state

"""One training loop, from its first step until its parameters are gone, and all loops of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from weakref import ref

import msgspec

from autotrack import clock, config, events
from autotrack.events import EndStatus
from autotrack.hooks import guard
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.torch import describe
from autotrack.integrations.torch.models import Parts, snapshot_of, taken_apart
from autotrack.integrations.torch.passes import Pass, description_of
from autotrack.integrations.torch.streak import MAX_WAIT, Streak
from autotrack.integrations.torch.validation import Validation
from autotrack.models.snapshot import NoSnapshot
from autotrack.streams import sha256_of
from autotrack.tracking import behind, outputs
from autotrack.tracking.fit_data import FitData, dataset_of, loader_data_of
from autotrack.tracking.run import RunWriter
from autotrack.tracking.training import Training
from autotrack.tracking.values import safe_number

NAME = "torch"

RENEWAL = 2.0
"""Seconds after which it is looked again whether parameters have other memory than before."""

MAX_CHECKPOINTS = 100
"""Files of `torch.save` that are kept with a training."""

HEALTH = guard.health(NAME)


class Kept(msgspec.Struct):
    """A module that is to be stored when the loop ends."""

    module: ref[Any]
    parts: Parts | NoSnapshot
    name: str


class Trained:
    """An optimizer in a loop: how many steps it made, and the learning rates that are recorded."""

    __slots__ = ("loop", "name", "optimizer", "rates", "steps")

    def __init__(self, optimizer: Any, name: str, gone: Callable[[ref[Any]], object]) -> None:
        self.optimizer = ref(optimizer, gone)
        self.loop: Loop | None = None
        """None where nothing is to be recorded."""
        self.name = name
        self.steps = 0
        self.rates: list[float | None] = []
        """Of each group the last one, the very object; None of what is no number, and of tensors."""

    def is_over(self) -> bool:
        """Whether what it trains goes on in another loop."""
        return self.loop is not None and self.loop.ended


class Loop:
    """A training loop, as a companion of the run that it records into."""

    def __init__(self, session: Training, run: RunWriter, options: IntegrationConfig) -> None:
        self.session = session
        self.run = run
        self.options = options
        self.taken = run.cost.steps
        """The time that steps take."""
        self.done = 0
        """Steps so far, but for those of a streak that is not settled; see `steps`."""
        self.epochs = 0
        self.by_hand = False
        """Steps are those of `backward`, so far: no optimizer is known."""
        self.validation: Validation | None = None
        """The pass of validation at hand."""
        self.inputs: Any = None
        self.source: Pass | None = None
        self.suffix = behind.suffix_of(session.number)
        self.points: list[tuple[str, float, int, int]] = []
        """What waits to be written: key, value, step, milliseconds since the epoch."""
        self.streak: Streak | None = None
        """The steps at hand, where they are all alike."""
        self.written = clock.now()
        self._renewed = perf_counter()
        self.lock = threading.RLock()
        self._parameters: dict[int, ref[Any]] = {}
        self._kept: list[Kept] = []
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self._epoch_began = 0.0
        self.ended = False
        run.add_companion(self)

    def watch(self, parameters: Iterable[Any]) -> None:
        """The loop lasts as long as these parameters."""
        self._parameters.update({id(one): ref(one, partial(self._gone, id(one))) for one in parameters})

    def _gone(self, key: int, reference: ref[Any]) -> None:
        if self._parameters.get(key) is reference:
            del self._parameters[key]
        if not self._parameters and not self.ended:
            # Called wherever the program drops its last reference: nothing is done here.
            self.run.recorder.worker.submit(self.finish)

    @property
    def steps(self) -> int:
        """How many steps were made."""
        self._settle()
        return self.done

    def _settle(self) -> None:
        streak = self.streak
        if streak is not None:
            streak.settle()

    def begin_streak(self, trained: Trained, key: int, name: str) -> Streak:
        """The steps that come may all be alike.

        Args:
            trained: The optimizer.
            key: Its id.
            name: Of the losses' curve.
        """
        self.end_streak()
        self.streak = streak = Streak(self, trained, key, name)
        streak.wait_from(self.written)
        return streak

    def end_streak(self) -> None:
        """What comes is no more of the kind that was."""
        streak, self.streak = self.streak, None
        if streak is not None:
            streak.end()

    def add(self, key: str, value: Any, step: int) -> None:
        """A point of a curve: a number, or a tensor of an accelerator, which is not waited for."""
        if type(value) is float:
            self.points.append((key + self.suffix, value, step, clock.now()))
        else:
            self.run.log_tensor(key + self.suffix, value, step)

    def after_manual(self, values: list[tuple[str, Any]], source: Pass | None) -> None:
        """A `backward` without an optimizer is a step, too."""
        self.by_hand = True
        time = clock.now()
        self.end_validation()
        if source is not None and source is not self.source:
            self.next_epoch(source, self.done)
        for name, value in values:
            self.add(name, value, self.done)
        self.done += 1
        self.write_if_due(time)

    def note_rates(self, trained: Trained, groups: list[dict[str, Any]], step: int) -> None:
        """Learning rates, or groups of parameters, are others than before."""
        import torch

        del trained.rates[len(groups) :]
        for index, group in enumerate(groups):
            rate = group.get("lr")
            before = trained.rates[index] if index < len(trained.rates) else None
            if not isinstance(rate, torch.Tensor):
                number = safe_number(rate)
                rate = known = None if number is None else float(number)
            else:
                known = None  # changed in place: never the same, and to look at it is to wait for an accelerator
            trained.rates[index : index + 1] = [known]
            if rate is not None and (known is None or known != before):
                key = "lr" if len(groups) == 1 else f"lr_group_{index}"
                self.add(f"{trained.name}.{key}" if trained.name else key, rate, step)

    def next_epoch(self, source: Pass, step: int) -> None:
        """A step was made with the first batch of a pass."""
        self._end_epoch()
        loader = source.loader()
        if self.source is None and loader is not None:
            self.run.log_fit_params(description_of(loader), "DataLoader", self.session.number)
            if self.options.log_datasets:
                guard.call(HEALTH, "data", self._describe_data, loader)
            else:
                self.run.skip(f"dataset{self.suffix}", behind.off("log_datasets"))
        self.source = source
        self.epochs += 1
        self._epoch_began = source.first
        self.add("epoch", float(self.epochs), step)

    def _describe_data(self, loader: Any) -> None:
        data = loader_data_of(loader, "train", config.settings().max_sample_size)
        if data is None:
            self.run.skip(f"dataset{self.suffix}", "the loader's dataset is no TensorDataset, but code of its own")
        else:
            job = partial(behind.guarded, self.run, NAME, "data", partial(self._log_data, data))
            behind.submit(self.run, job, data.nbytes, "datasets")

    def _log_data(self, data: FitData) -> None:
        self.run.log_dataset(dataset_of(data), "train", fit_id=self.session.fit_id)

    def _end_epoch(self) -> None:
        if self.source is not None:
            for key, value in self.source.pace(perf_counter() - self._epoch_began).items():
                self.add(key, value, max(0, self.steps - 1))

    def add_validation(self, name: str, value: Any, rows: int, is_sum: bool) -> None:
        """A loss of validation, see `Validation.add`."""
        validation = self.validation  # which a step of another thread may end
        if validation is None:
            validation = self.validation = Validation()
            self.end_streak()
        validation.add(name, value, rows, is_sum)

    def end_validation(self) -> None:
        """A pass of validation is over."""
        validation, self.validation = self.validation, None
        if validation is not None:
            for name, value in validation.means().items():
                self.add(name, value, max(0, self.steps - 1))

    def write_if_due(self, time: int) -> None:
        """`write`, where the last time is long ago; or to come: clocks are set back, too."""
        if abs(time - self.written) > MAX_WAIT:
            self.write(time)

    def write(self, time: int) -> None:
        """Write the points that wait, as from time to time a step does; and see what else is due then.

        Args:
            time: Milliseconds since the epoch.
        """
        self.written = time
        self.flush()
        self._renew_parts()

    def flush(self) -> None:
        """Write the points that wait."""
        self._settle()
        with self.lock:
            points = self.points[:]
            # The same list: another thread may be adding to it in this moment.
            del self.points[: len(points)]
        if points:
            self.run.log_batch(points, [], {})

    def keep(self, modules: list[Any], inputs: Any) -> None:
        """The modules that are trained.

        Args:
            modules: The modules.
            inputs: Something like the first argument of the first one; None where that is not known.
        """
        self.inputs = inputs
        if not self.options.log_models:
            self.run.skip(f"model{self.suffix}", behind.off("log_models"))
        else:
            for index, module in enumerate(modules, 1):
                name = f"model{self.suffix}" if len(modules) == 1 else f"model{self.suffix}_{index}"
                self._kept.append(Kept(ref(module), _taken_apart(module), name))

    def _renew_parts(self) -> None:
        """The program may have given parameters other memory: by `p.data = ...`, or moved to another device."""
        if perf_counter() - self._renewed < RENEWAL:
            return
        self._renewed = perf_counter()
        for kept in self._kept:
            module = kept.module()
            if module is not None and isinstance(kept.parts, Parts) and not kept.parts.are_of(module):
                kept.parts = _taken_apart(module)

    def store_summary(self, modules: list[Any]) -> None:
        """Keep a summary of the modules among the run's files."""
        job = partial(self._store_summary, [describe.parts_of(describe.unwrapped(module)) for module in modules])
        self.run.recorder.worker.submit(job, cost=self.run.cost)

    def _store_summary(self, parts: list[list[describe.Part]]) -> None:
        text = "\n".join(describe.summary_of(rows) for rows in parts)
        outputs.store_bytes(self.run, text.encode(), f"model_summary{self.suffix}.txt")

    def add_checkpoint(self, path: str) -> None:
        """A file that `torch.save` wrote; hashed behind the training thread."""
        if len(self._checkpoints) < MAX_CHECKPOINTS or path in self._checkpoints:
            job = partial(self._note_checkpoint, path, self.steps, self.epochs)
            self.run.recorder.worker.submit(job, cost=self.run.cost)

    def _note_checkpoint(self, path: str, step: int, epoch: int) -> None:
        try:
            size = os.path.getsize(path)
            digest = sha256_of(Path(path))
        except OSError:  # written over, or removed, by now
            return
        self._checkpoints[path] = {"path": path, "size": size, "sha256": digest, "step": step, "epoch": epoch}
        if not self.ended:
            self.session.note(checkpoints=list(self._checkpoints.values()))

    def close(self, status: EndStatus, error: events.ErrorInfo | None) -> None:
        """The run ends, or the loop does: write what waits, and have the model stored."""
        with self.lock:
            if self.ended:
                return
            self.ended = True
        streak = self.streak
        self.end_streak()
        if streak is not None:
            streak.let_go()
        if self.session.is_elsewhere():
            return
        self.end_validation()
        self._end_epoch()
        self.flush()
        numbers = {"epochs": self.epochs, "steps": self.steps}
        self.session.details.update({key: value for key, value in numbers.items() if value})
        if self._checkpoints:
            self.session.details["checkpoints"] = list(self._checkpoints.values())
        self.session.close(status, error)
        self.run.remove_companion(self)
        guard.call(HEALTH, "model", self._submit_models)

    def finish(self, status: EndStatus = "FINISHED", error: events.ErrorInfo | None = None) -> None:
        """The loop is over, and so is a run that was opened for it."""
        if self.session.is_elsewhere():
            return
        self.close(status, error)
        self.session.end_run(status, error)

    def cell_over(self, error: BaseException | None) -> bool:
        """A notebook's cell has ended: see `notebook`."""
        if self.ended:
            return False
        self.flush()
        return self.session.cell_over(error, self.finish)

    def _submit_models(self) -> None:
        kept, self._kept = self._kept, []
        for one in kept:
            self._submit_model(one)

    def _submit_model(self, kept: Kept) -> None:
        module = kept.module()
        parts = kept.parts if module is None else _taken_apart(module)
        if isinstance(parts, NoSnapshot):
            self.run.degrade(f"the model is not recorded: {parts.reason}")
            return
        if module is not None:  # it may be trained on, in another run
            parts.tensors = [one.clone() for one in parts.tensors]
        size = sum(one.numel() * one.element_size() for one in parts.tensors)
        job = partial(behind.guarded_model, self.run, NAME, partial(self._store, parts, kept.name))
        behind.submit(self.run, job, size, "models")

    def _store(self, parts: Parts, name: str) -> None:
        snapshot = snapshot_of(parts, config.settings().max_model_size)
        if isinstance(snapshot, NoSnapshot):
            self.run.degrade(f"the model is not recorded: {snapshot.reason}")
            return
        model_id: str | None = clock.new_id()
        if self.options.log_models == "best":  # without scores the last counts
            model_id = outputs.place_of_best(self.run, None, str(model_id))
        outputs.record_model(
            self.run, "pytorch", snapshot, name=name, model_id=str(model_id), step=self.steps,
            inputs=self.inputs if self.options.log_model_signatures else None,
            registered_model_name=self.options.registered_model_name,
        )  # fmt: skip


def _taken_apart(module: Any) -> Parts | NoSnapshot:
    return taken_apart(describe.unwrapped(module), config.settings().max_model_size)


def log_description(
    loop: Loop, optimizers: list[Trained], modules: list[Any], parameters: list[Any], facts: dict[str, Any]
) -> None:
    """Parameters of a loop that begins: of its optimizers and of its module, and what else is known of it."""
    params: dict[str, Any] = describe.model_params(modules, parameters)
    for trained in optimizers:
        optimizer = trained.optimizer()
        if optimizer is not None:
            prefix = f"{trained.name}." if trained.name else ""
            params.update({prefix + key: value for key, value in describe.optimizer_params(optimizer).items()})
    loop.run.log_fit_params({**params, **facts}, "torch", loop.session.number)

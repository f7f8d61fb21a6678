"""PyTorch: plain training loops, without a line changed.

Hooked: torch's own hook behind optimizer steps; `backward`; the losses in `torch.nn.functional`; how optimizers,
passes over a `DataLoader` and batches begin; `clip_grad_norm_`; `GradScaler.scale`; `torch.save`; `torch.compile`; the
scalars of TensorBoard's `SummaryWriter`; `compute` of torchmetrics. All of them only look on at finished calls, but for
`torch.multiprocessing.spawn` and torchrun's end of its ranks, which are seen as they begin. Until the first module that
is trained is called, a hook in front of modules reads what it is given.

Recorded: one run for the lifetime of an optimizer's parameters. The loss of every step, under the name of the variable
that `backward` was called on; learning rates as they change; gradient norms where they are clipped; epochs, rows a
second and the share of waiting, from passes over the loader; losses computed in evaluation, averaged over a pass.
Parameters of optimizer, module and loader; a summary of the module; files of `torch.save`; the module at the end.

Deliberately not: what runs inside another training call (skorch, Lightning), in workers of a `DataLoader`, inside
compiled graphs; `torch.autograd.grad`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from threading import get_ident
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

from autotrack import origin
from autotrack.hooks import guard, taps
from autotrack.hooks.patching import Patcher
from autotrack.hooks.taps import Args, Kwargs
from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.torch import elastic, mirrors, names, spawning, steps
from autotrack.integrations.torch.loops import HEALTH, Loop
from autotrack.integrations.torch.passes import Pass
from autotrack.integrations.torch.registry import Loops
from autotrack.integrations.torch.validation import rows_of
from autotrack.tracking import scope

LOSSES = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss",
    "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
)  # fmt: skip
"""Functions of `torch.nn.functional`; the modules of the same names call them."""

MAX_CALLS = 1_000
"""Calls of other modules after which the one that is to be trained is waited for no longer."""


def instrument(patcher: Patcher, configuration: Callable[[], IntegrationConfig]) -> None:
    """Put the patches on."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    torch: Any = sys.modules["torch"]
    hooks = Hooks(configuration)
    step = register_optimizer_step_post_hook(hooks.steps.on_step)
    patcher.on_revert(step.remove)
    patcher.on_revert(hooks.forget)
    patcher.tap(torch.autograd, "backward", hooks.steps.on_backward, rebind_in=_is_users)
    patcher.tap(torch.optim.Optimizer, "__init__", hooks.on_optimizer)
    patcher.tap(torch.nn.Module, "named_parameters", hooks.on_parameters)
    patcher.tap(torch.nn.Module, "eval", hooks.on_eval)
    patcher.tap(torch, "compile", hooks.on_compile, rebind_in=_is_users)
    patcher.tap(torch, "save", hooks.on_save, rebind_in=_is_users)
    patcher.tap(torch.nn.utils, "clip_grad_norm_", hooks.on_clip, rebind_in=_is_users)
    # Without gradients, or while some module is in evaluation mode; never inside of what torch compiles.
    validating = taps.When(hooks.evaluated, torch.is_grad_enabled, torch.compiler.is_compiling)
    for name in LOSSES:
        if hasattr(torch.nn.functional, name):
            patcher.tap(torch.nn.functional, name, partial(hooks.on_loss, name), watch=validating, rebind_in=_is_users)
    patcher.when_imported("torch.utils.data.dataloader", partial(hooks.instrument_loader, patcher))
    scaler = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler
    patcher.tap(scaler, "scale", hooks.on_scale)
    for package in ("torch.utils.tensorboard.writer", "tensorboardX.writer"):
        patcher.when_imported(package, partial(hooks.instrument_writer, patcher))
    patcher.when_imported("torchmetrics.metric", partial(hooks.instrument_metrics, patcher))
    patcher.when_imported(elastic.MODULE, partial(elastic.instrument, patcher))
    patcher.when_imported(spawning.MODULE, partial(spawning.instrument, patcher))


def _is_users(module: ModuleType) -> bool:
    return not origin.is_library_module(module.__name__)


class Hooks:
    """What looks on, and what that has seen."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        import torch

        self.loops = Loops(configuration)
        self._torch: Any = torch
        self.steps = steps.Steps(self.loops)
        self._passes: WeakKeyDictionary[Any, Pass] = WeakKeyDictionary()
        self._first_call: Any = None
        """Handle of the hook that waits for a module to be called."""
        self._calls = 0
        """Modules that it has seen."""
        self.evaluated: dict[int, Any] = {}
        """Weak reference to the module that a thread put into evaluation mode last, by its ident."""

    def forget(self) -> None:
        """The patches are taken off."""
        self._stop_waiting()
        self.loops.finish_all()
        self.steps.names.clear()
        self.evaluated.clear()

    def on_optimizer(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """An optimizer was made."""
        if not scope.silenced():
            self.loops.made(args[0], self.steps.names.at(_program(), "optimizer", names.assigned))
            self._wait_for_module()

    def on_parameters(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """A module gives out its parameters; what it says of its parts is said by them, too."""
        if not scope.silenced() and not kwargs.get("prefix"):
            self.loops.offered(args[0])

    def on_compile(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`torch.compile`: a hook on modules would be compiled in, so there is none from here on."""
        del result, args, kwargs
        self.loops.compiled = True
        self._stop_waiting()

    def _wait_for_module(self) -> None:
        """Have the first call of a module that is trained seen."""
        if self._first_call is None and not (self.loops.compiled or _has_compiled()):
            register = self._torch.nn.modules.module.register_module_forward_pre_hook
            self._first_call = register(self._before_module)

    def _stop_waiting(self) -> None:
        handle, self._first_call, self._calls = self._first_call, None, 0
        if handle is not None:
            handle.remove()

    def _before_module(self, module: Any, args: tuple[Any, ...]) -> None:
        guard.call(HEALTH, "first call of a module", self._look_at_module, module, args)

    def _look_at_module(self, module: Any, args: tuple[Any, ...]) -> None:
        wanted = self.loops.awaited()
        self._calls += 1
        if not wanted or self._calls > MAX_CALLS:
            self._stop_waiting()
        elif any(id(one) in wanted for one in module.parameters()):
            self._stop_waiting()
            self.loops.offered(module)
            self.loops.called(module, args[0] if len(args) == 1 else None)

    def on_eval(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`module.eval()`: what comes is not training."""
        self.evaluated[get_ident()] = ref(args[0])

    def _evaluated_now(self) -> Any:
        """The module that this thread evaluates; None where it is trained again, or gone."""
        known = self.evaluated.get(get_ident())
        module = known() if known is not None else None
        if module is not None and not module.training:
            return module
        if known is not None:
            self.evaluated.pop(get_ident(), None)
        return None

    def on_loss(self, name: str, result: Any, args: Args, kwargs: Kwargs) -> None:
        """A loss was computed: in evaluation mode, or without gradients, it is one of validation."""
        module = self._evaluated_now()
        if (module is None and self._torch.is_grad_enabled()) or scope.silenced():
            return
        loop = self.loops.of_module(module) if module is not None else None
        loop = loop or self.steps.current()
        if loop is None or not isinstance(result, self._torch.Tensor) or result.numel() != 1:
            return
        value = self.steps.value_of(result)
        if value is None:
            return
        variable = self.steps.names.at(_program(), name, names.assigned)
        target = args[1] if len(args) > 1 else kwargs.get("target")
        is_sum = kwargs.get("reduction") == "sum"
        key = names.validation_name(variable, name)
        loop.add_validation(key, value, rows_of(target), is_sum)

    def on_pass(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """A pass over a loader begins."""
        if not scope.silenced():
            before = self._passes.get(result)
            if before is not None:
                before.ended = True
            self._passes[result] = Pass(args[0], result)

    def on_batch(self, result: Any, args: Args, kwargs: Kwargs, seconds: float) -> None:
        """A loader gave a batch."""
        now = self.steps.now()
        source = now.source
        if source is None or source.iterator() is not args[0] or source.ended:
            source = now.source = self._passes.get(args[0])
            if source is None:
                return
        if self._torch.is_grad_enabled() and self._evaluated_now() is None:
            now.batch = source
        source.batches += 1
        source.waited += seconds

    def on_scale(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`GradScaler.scale`: what is recorded is the loss itself."""
        loss, scaled = args[1] if len(args) > 1 else kwargs.get("outputs"), result
        if scaled is not loss and isinstance(scaled, self._torch.Tensor) and scaled.numel() == 1:
            self.steps.now().scaled = ref(scaled), self.steps.value_of(loss)
            self.loops.scaled = True

    def on_clip(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`clip_grad_norm_` gives the norm before."""
        value = self.steps.value_of(result) if isinstance(result, self._torch.Tensor) and not scope.silenced() else None
        if value is not None:
            self.steps.now().values.append(("grad_norm", value))

    def on_save(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`torch.save` wrote a file."""
        loop = None if scope.silenced() else self.steps.current()
        path = mirrors.path_of(args, kwargs)
        if loop is not None and path is not None:
            loop.add_checkpoint(path)

    def instrument_loader(self, patcher: Patcher, module: ModuleType) -> None:
        """See passes over loaders, and their batches."""
        patcher.tap(module.DataLoader, "__iter__", self.on_pass)
        patcher.tap(module._BaseDataLoaderIter, "__next__", self.on_batch, timed=True)

    def instrument_writer(self, patcher: Patcher, module: ModuleType) -> None:
        """Mirror the scalars of a TensorBoard writer."""
        patcher.tap(module.SummaryWriter, "add_scalar", self.on_scalar)
        patcher.tap(module.SummaryWriter, "add_scalars", self.on_scalars)
        patcher.tap(module.SummaryWriter, "add_hparams", self.on_hparams)

    def _run(self) -> Any:
        """The run that is mirrored into: the program's own, else that of the loop that made the last step."""
        if scope.silenced():
            return None
        loop: Loop | None = self.steps.current()
        return scope.explicit_run() or (loop.run if loop is not None else None)

    def on_scalar(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`add_scalar(tag, value, step)`."""
        run = self._run()
        if run is not None and not mirrors.is_nested(taps.caller()):
            mirrors.log_scalar(run, args[1:], kwargs, self._torch)

    def on_scalars(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`add_scalars(tag, values by name, step)`."""
        run = self._run()
        if run is not None:
            mirrors.log_scalars(run, args[1:], kwargs, self._torch)

    def on_hparams(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`add_hparams(parameters, metrics)`."""
        run = self._run()
        if run is not None:
            mirrors.log_hparams(run, args[1:], kwargs, self._torch)

    def instrument_metrics(self, patcher: Patcher, module: ModuleType) -> None:
        """See what metrics of torchmetrics come to."""
        patcher.tap(module, "_squeeze_if_scalar", self.on_metric)

    def on_metric(self, result: Any, args: Args, kwargs: Kwargs) -> None:
        """`metric.compute()`, called by the program."""
        loop = None if scope.silenced() else self.steps.current()
        frame = mirrors.frame_of_compute(taps.caller())
        if loop is None or frame is None or not origin.is_users(frame):
            return
        name = self.steps.names.at(frame, "metric", names.receiver) or self.steps.names.at(
            frame, "metric into", names.assigned
        )
        values = result if isinstance(result, dict) else {"": result}
        for key, value in values.items():
            number = (
                self.steps.value_of(value) if isinstance(value, self._torch.Tensor) and value.numel() == 1 else None
            )
            if number is not None:
                full = "_".join(part for part in (name or "metric", str(key)) if part)
                loop.add(full, number, max(0, loop.steps - 1))


def _has_compiled() -> bool:
    """Whether the program had something compiled before recording was switched on."""
    backends = getattr(sys.modules.get("torch._dynamo.eval_frame"), "cached_backends", {})
    return any(one is not None for one in backends.values())  # "none" stands for functions that are not to be compiled


def _program() -> FrameType | None:
    return names.program_frame(sys._getframe(1))

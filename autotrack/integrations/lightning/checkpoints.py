"""The checkpoints that a fit wrote: where they are, how good, and what is in the files."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autotrack.hooks import guard
from autotrack.tracking import outputs
from autotrack.tracking.values import safe_number

if TYPE_CHECKING:
    from autotrack.integrations.lightning.recording import Recording

BLOCK = 1 << 20


class Checkpoints(msgspec.Struct):
    """What the callbacks of a trainer left behind."""

    files: dict[str, dict[str, Any]] = {}
    """What is known of each file, by path."""
    best_path: str = ""
    best: dict[str, Any] = {}
    """The best value of each metric that a callback watched."""
    score: float | None = None
    """The best value of the first, the better the higher."""
    may_stop: bool = False
    """Whether a callback could have stopped the fit."""


def checkpoints_of(trainer: Any) -> Checkpoints:
    """What the callbacks of a trainer know."""
    found = Checkpoints()
    for callback in trainer.callbacks:
        monitor, known = getattr(callback, "monitor", None), vars(callback)
        if "stopped_epoch" in known:
            found.may_stop = True
            if trainer.should_stop and known["stopped_epoch"]:
                found.best["stopped_epoch"] = known["stopped_epoch"]
        best = safe_number(known.get("best_model_score", known.get("best_score")))
        if monitor and best is not None:
            found.best.setdefault(f"best_{monitor}", best)
            if found.score is None:
                found.score = -float(best) if known.get("mode") == "min" else float(best)
        if known.get("best_model_path"):
            found.best_path = found.best_path or str(known["best_model_path"])
            _add_files(found, known, monitor)
    return found


def _add_files(found: Checkpoints, known: dict[str, Any], monitor: str | None) -> None:
    for path, score in {known["best_model_path"]: None, **known.get("best_k_models", {})}.items():
        about = found.files.setdefault(str(path), {"path": str(path), "best": str(path) == found.best_path})
        if monitor and safe_number(score) is not None:
            about |= {"monitor": monitor, "score": safe_number(score)}
    if known.get("last_model_path"):
        path = str(known["last_model_path"])
        found.files.setdefault(path, {"path": path, "best": False})["last"] = True


def describe(recording: Recording, found: Checkpoints) -> None:
    """Behind the training thread: size and hash of the files, as an artifact, and of the best one as tags."""
    run = recording.run
    for about in found.files.values():
        run.recorder.worker.give_way()
        with suppress(OSError):  # elsewhere, or gone already
            about.update(_content_of(Path(about["path"])))
    tags = {
        f"best_checkpoint.{key}{recording.suffix}": str(found.files[found.best_path][key])
        for key in ("size", "sha256")
        if key in found.files.get(found.best_path, {})
    }
    run.set_tags(tags)
    data = json.dumps(list(found.files.values()), indent=1).encode()
    guard.call(recording.health, "checkpoints", outputs.store_bytes, run, data, f"checkpoints{recording.suffix}.json")


def _content_of(path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}

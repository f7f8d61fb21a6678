"""The older distribution of Lightning, `pytorch_lightning`: what `lightning` hooks and records, with its own names."""

from __future__ import annotations

from autotrack.integrations.lightning import instrument

__all__ = ["instrument"]

"""`autotrack.pytorch` is `autotrack.torch`: this module puts the other in its own place."""

import sys

from autotrack import torch

sys.modules[__name__] = torch

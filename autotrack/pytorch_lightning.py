"""`autotrack.pytorch_lightning` is `autotrack.lightning`: this module puts the other in its own place."""

import sys

from autotrack import lightning

sys.modules[__name__] = lightning

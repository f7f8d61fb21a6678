"""`python -m autotrack.cli`: the console script `autotrack` where no script was installed."""

import sys

from autotrack.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The command line: python -m e2e.bench --help."""

import sys

from e2e.bench.cli import main

sys.exit(main())

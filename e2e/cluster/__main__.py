"""The command line: python -m e2e.cluster --help."""

import sys

from e2e.cluster.cli import main

sys.exit(main())

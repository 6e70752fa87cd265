"""The command line: python -m e2e.bench --help; python -m e2e.bench serving --help for the model servers."""

import sys

from e2e.bench.cli import main
from e2e.bench.serving.cli import main as serving

if sys.argv[1:2] == ["serving"]:
    sys.exit(serving(sys.argv[2:]))
sys.exit(main())

"""What the operator holds in memory before it needs it: neither MLflow nor the numeric libraries."""

import subprocess
import sys


def test_mlflow_and_numeric_libraries_are_not_imported_before_a_registry_is_asked() -> None:
    code = (
        "import sys, millgate.evidence.reader, millgate.sources.registry as registry;"
        "registry.MlflowRegistry('http://127.0.0.1:1').close();"
        "print(sorted({'mlflow', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == "[]"

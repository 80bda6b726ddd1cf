"""What sources bring is imported when a network of theirs is asked for, and not before."""

import subprocess
import sys


def test_no_source_is_imported_before_it_is_asked_for():
    code = (
        "import safer_bench.networks.loading, safer_bench.networks.reading, sys\n"
        "print(sorted({'timm', 'torchvision', 'transformers', 'datasets', 'PIL'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"

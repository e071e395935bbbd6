"""The repository's root, on the path: benchmarks run by hand, with or without an installed package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

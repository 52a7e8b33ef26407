"""Where things are: this checkout, and the test data beside it, which may be missing."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"

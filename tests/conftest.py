"""Before anything is imported: compiled kernels are cached apart for each state of their sources.

The disk cache watches only the file of the function it caches, so that a kernel whose helper
changed in another file would go on with the old one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import settings

KERNELS = Path(__file__).parent.parent / "engine" / "kernels"


def kernels_hash() -> str:
    """A name for the present text of all kernels."""
    sources = sorted(KERNELS.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]


os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"cep-kernels-{kernels_hash()}")
)
settings.register_profile("cep", derandomize=True, deadline=None)
settings.load_profile("cep")

"""A fingerprint of a network's weights, the same for a checkpoint and for every graph exported from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_COUNTER = "num_batches_tracked"


def weights_sha256(state: Mapping[str, Any]) -> str:
    """64 hex digits over the tensors of a state dict: names, types, shapes and bytes, in the order of their names.

    Training counters are left out: they change nothing that is drawn.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.endswith(_COUNTER):
            continue
        array = state[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

"""Manifests that show by themselves whether a byte of them was changed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Mapping

SEAL = "sha256"


def seal(facts: Mapping[str, Any]) -> bytes:
    """Plain data as JSON, with the hash of the rest as its last entry."""
    return _text({**facts, SEAL: hashlib.sha256(_text(facts)).hexdigest()})


def unseal(content: bytes, where: str) -> dict[str, Any]:
    """What was sealed.

    Args:
        content: of the file, untrusted.
        where: its name, for messages.

    Raises:
        QuaintError: QV401 for anything that ``seal`` did not give.
    """
    try:
        facts = json.loads(content)
        unsealed = {key: value for key, value in facts.items() if key != SEAL}
        intact = seal(unsealed) == content
    except (ValueError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise QuaintError("QV401", "the manifest was changed or damaged", where=where, hint="quantize again")
    return unsealed


def _text(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode()

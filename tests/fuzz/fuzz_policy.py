"""A policy file is a whole policy, or a UsageError with a remedy."""

from __future__ import annotations

from firmware.errors import UsageError
from firmware.policy.load import parse_policy
from firmware.policy.model import Policy
from tests.vectors.build.policies import POLICY

SEEDS = (
    POLICY,
    POLICY.replace(b"version = 1", b"version = 0x" + b"f" * 4000),
)


def target(data: bytes) -> None:
    try:
        found: Policy | str = parse_policy(data.decode("utf-8", "replace"))
    except UsageError as error:
        found = error.remedy
    assert found

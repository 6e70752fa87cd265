"""The name of a rollout policy's content, so that a verdict can be held against the policy it was reached under."""

import hashlib
import json

from millgate.api.spec import Rollout

DIGEST_LENGTH = 10


def policy_digest(rollout: Rollout) -> str:
    """Ten characters. Only what is set goes in, so that a field added by a later version of the API changes no name."""
    text = json.dumps(rollout.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

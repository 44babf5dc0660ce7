"""Which key belongs to whom."""

import hashlib
import hmac

import pytest

from agent_service.api.authentication import ApiKeys


def digest(key):
    return hashlib.sha256(key).hexdigest()


@pytest.fixture
def keys():
    return ApiKeys({"ci": digest(b"first"), "ops": digest(b"second"), "bot": digest(b"third")})


@pytest.mark.parametrize(("key", "owner"), [(b"first", "ci"), (b"second", "ops"), (b"third", "bot"), (b"", None)])
def test_a_key_has_the_owner_that_it_was_configured_for(keys, key, owner):
    assert keys.owner_of(key) == owner


def test_a_digest_is_not_a_key(keys):
    assert keys.owner_of(digest(b"first").encode()) is None


def test_every_digest_is_compared_whichever_fits(keys, monkeypatch):
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or compare(a, b))
    keys.owner_of(b"first")
    keys.owner_of(b"wrong")
    assert len(compared) == 6

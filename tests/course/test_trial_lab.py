"""The scopes of a check restore what they replace."""

import builtins
import enum

from harness.course.trial_lab import own_hash


def test_scopes_with_their_own_hash_can_be_nested():
    hash_here = builtins.hash
    with own_hash():
        outer = hash("a")
        with own_hash():
            assert hash("a") != outer
            assert vars(enum)["hash"] is hash_here
        assert hash("a") == outer
        assert vars(enum)["hash"] is hash_here
    assert builtins.hash is hash_here
    assert "hash" not in vars(enum)

"""Conforming a tree to its Schema: what Go's decoder and encoder would have made of it, and what they would refuse."""

from podling.api.conform.trees import Problems, cannot_handle, conform, strict_decoding_error, walk
from podling.api.conform.words import WrongType

__all__ = ["Problems", "WrongType", "cannot_handle", "conform", "strict_decoding_error", "walk"]

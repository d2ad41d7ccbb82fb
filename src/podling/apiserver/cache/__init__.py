"""The watch cache: every object as bytes, in order, with the last changes and whoever watches them."""

from podling.apiserver.cache.notices import Notice
from podling.apiserver.cache.shelf import Scope, Shelf, WatchStream
from podling.apiserver.cache.watchcache import CachedKind, WatchCache
from podling.apiserver.cache.watchers import Watcher

__all__ = ["CachedKind", "Notice", "Scope", "Shelf", "WatchCache", "WatchStream", "Watcher"]

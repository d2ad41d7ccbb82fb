"""Objects as rows: what `kubectl get` prints, and objects of which only the metadata is wanted."""

from podling.apiserver.tables.render import Include, columns_of, partial_list, partial_object, render

__all__ = ["Include", "columns_of", "partial_list", "partial_object", "render"]

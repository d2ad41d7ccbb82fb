"""The published description of the API: OpenAPI v2 and v3, as JSON and in the protobuf form that Go clients ask for."""

from podling.apiserver.openapi.documents import OpenApi

__all__ = ["OpenApi"]

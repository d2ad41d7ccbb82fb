"""The typed view of Kubernetes objects: one module of frozen structs per group and version."""

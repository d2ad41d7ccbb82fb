"""Who calls, and what they may: keys, credentials, RBAC."""

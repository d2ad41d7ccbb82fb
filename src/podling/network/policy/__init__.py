"""NetworkPolicies in the rules of one node."""

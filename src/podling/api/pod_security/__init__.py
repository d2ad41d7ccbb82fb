"""The Pod Security Standards: what a Pod may not ask for at which level, in upstream's words. Pure."""

from podling.api.pod_security.levels import DEFAULT, Level, LevelVersion, Policy, policy_of
from podling.api.pod_security.standards import Violations, evaluate

__all__ = ["DEFAULT", "Level", "LevelVersion", "Policy", "Violations", "evaluate", "policy_of"]

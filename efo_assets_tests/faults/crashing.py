"""The code location of the project, ended at the crash point that `EFO_CRASH_POINT` names."""

from efo_assets.definitions import defs
from efo_assets_tests.faults.crash_points import arm

__all__ = ["defs"]

arm()

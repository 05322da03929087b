"""All targets, by name."""

from __future__ import annotations

from fuzz.package_targets import PACKAGE_TARGETS
from fuzz.section_targets import SECTION_TARGETS
from fuzz.spectral_targets import SPECTRAL_TARGETS
from fuzz.store_targets import STORE_TARGETS
from fuzz.stream_targets import STREAM_TARGETS
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for group in (SECTION_TARGETS, SPECTRAL_TARGETS, STREAM_TARGETS, PACKAGE_TARGETS, STORE_TARGETS)
    for target in group
}

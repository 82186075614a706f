"""What both datastores have in common: records, labels and who saved them."""

from __future__ import annotations

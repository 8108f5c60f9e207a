"""Names of the keys of one partition in Redis, and of the parts that other partitions have."""

from __future__ import annotations

import re


class Namespace:
    """The keys of one partition, and of the parts that other partitions have."""

    def __init__(self, group: str, partition: int, partitions: int) -> None:
        self.partition = partition
        self.own = f"{{{group}:{partition}}}"
        self.cursor = f"{self.own}cursor"
        self.damaged = f"{self.own}damaged"
        self.all = {p: f"{{{group}:{p}}}" for p in range(partitions)}

    @property
    def pattern(self) -> str:
        """Matches every key of the partition."""
        return re.sub(r"([*?\[\]\\])", r"\\\1", self.own) + "*"

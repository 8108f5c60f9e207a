"""How many payments a peer has scored, as JSON lines on its standard output, ten a second. Needs nothing but Python: peers have environments of their own."""

from __future__ import annotations

import json
import threading
import time


class Progress:
    """Counts; a thread of its own tells."""

    def __init__(self) -> None:
        self._scored = 0
        threading.Thread(target=self._tell, name="progress", daemon=True).start()

    def scored(self) -> None:
        """One payment more."""
        self._scored += 1

    def _tell(self) -> None:
        told = 0
        while True:
            time.sleep(0.1)
            if (scored := self._scored) != told:
                told = scored
                print(json.dumps({"at_s": round(time.time(), 3), "scored": scored}), flush=True)

"""Counters in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter

BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Requests and their durations, of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.buckets: Counter[float] = Counter()
        self.seconds = 0.0

    def observe(self, method: str, rule: str, status: int, seconds: float) -> None:
        """Count one request."""
        with self.lock:
            self.requests[method, rule, status] += 1
            self.seconds += seconds
            for limit in BUCKETS:
                self.buckets[limit] += seconds <= limit

    def text(self, release: str) -> str:
        """The exposition."""
        with self.lock:
            total = sum(self.requests.values())
            lines = [
                "# HELP evidence_api_info The release that runs.",
                "# TYPE evidence_api_info gauge",
                f'evidence_api_info{{release="{release}"}} 1',
                "# HELP evidence_api_requests_total Requests answered.",
                "# TYPE evidence_api_requests_total counter",
                *(
                    f'evidence_api_requests_total{{method="{method}",path="{rule}",status="{status}"}} {count}'
                    for (method, rule, status), count in sorted(self.requests.items())
                ),
                "# HELP evidence_api_request_duration_seconds Time to answer.",
                "# TYPE evidence_api_request_duration_seconds histogram",
                *(
                    f'evidence_api_request_duration_seconds_bucket{{le="{limit}"}} {self.buckets[limit]}'
                    for limit in BUCKETS
                ),
                f'evidence_api_request_duration_seconds_bucket{{le="+Inf"}} {total}',
                f"evidence_api_request_duration_seconds_sum {self.seconds:.6f}",
                f"evidence_api_request_duration_seconds_count {total}",
            ]
        return "\n".join(lines) + "\n"

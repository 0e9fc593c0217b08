"""One process with threads: the counters of /metrics are those of the whole service."""

bind = "0.0.0.0:8000"
workers = 1
threads = 8
worker_class = "gthread"
timeout = 30
graceful_timeout = 10
control_socket_disable = True

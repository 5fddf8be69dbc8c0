"""What a running detector tells: counts, metrics for Prometheus and OpenTelemetry, logs."""

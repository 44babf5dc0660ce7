"""What the service tells about itself: metrics, logs, traces, and the names they all use."""

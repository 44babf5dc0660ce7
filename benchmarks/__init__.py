"""Side-by-side measurements: each script runs both sides in one go, interleaved, and prints their ratio."""

"""Huey's consumer with gevent: python -m benchmarks.peers.huey_gevent, and its own arguments."""

from gevent import monkey

monkey.patch_all()

from huey.bin.huey_consumer import consumer_main  # noqa: E402 - after the patch

if __name__ == "__main__":
    consumer_main()

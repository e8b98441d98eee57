"""Links and the broker; the only room with zmq."""

"""The shell that every role shares: loop, config, journal, outbox, blobs, logs, admin socket."""

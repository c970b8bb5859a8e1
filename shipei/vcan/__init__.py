"""Where SocketCAN exists: the host's kernel, User-Mode Linux, QEMU; `shipei vcan` runs a command in the first that works."""

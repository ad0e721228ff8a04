"""What lies between two servers: a relay of TCP that can be cut, and mended."""

import select
import socket
import struct
import threading


class Cable:
    """Listens on a port of its own and leads to target, (ip, port)."""

    def __init__(self, target, ip='127.0.0.1'):
        self.target = target
        self.listener = socket.create_server((ip, 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = set()      # under lock
        self.cuts = 0
        self.ending = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, timeout=10)
            except OSError:
                near.close()
                continue
            pair = near, far
            with self.lock:
                self.pairs.add(pair)
            threading.Thread(target=self._carry, args=(pair,), daemon=True).start()

    def _carry(self, pair):
        near, far = pair
        other = {near: far, far: near}
        try:
            while True:
                for s in select.select([near, far], [], [])[0]:
                    data = s.recv(65536)
                    if not data:
                        return
                    other[s].sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.pairs.discard(pair)
            for s in pair:
                s.close()

    def cut(self):
        """All connections end at once, whatever is on its way; new ones are taken as before."""
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for s in pair:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.cuts += bool(pairs)
        return len(pairs)

    def close(self):
        self.listener.close()
        self.cut()

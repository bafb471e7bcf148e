"""A TCP proxy on loopback that stores what both sides said, byte for byte."""

import contextlib
import json
import pathlib
import socket
import threading

WAIT = 10  # seconds that an end of a connection may take


class Recorder:
    """Passes connections on to a server and stores them in a folder.

    Connection number N of the whole run, made in the case C, becomes NNN-C.client
    (what the client sent) and NNN-C.server (what the server sent); index.json lists
    them in order.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in (*self.folder.glob("*.client"), *self.folder.glob("*.server")):
            old.unlink()
        self.index = []

    @contextlib.contextmanager
    def case(self, name, transport, upstream, keep=True):
        """The address of a proxy to upstream ("host:port") for one case.

        Each case gets a port of its own: gRPC shares a connection between clients of
        one address, and a file should not hold parts of two cases. With keep False
        nothing is stored.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        pairs, threads = [], []
        accepting = threading.Thread(target=self._accept, args=(listener, upstream, pairs, threads))
        accepting.start()
        try:
            yield "127.0.0.1:%d" % listener.getsockname()[1]
        finally:
            # close() alone does not wake a thread that is in accept().
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            listener.close()
            for thread in threads:
                thread.join(WAIT)
            for pair in pairs:  # what a client left open
                for end in pair.ends:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for pair in pairs:
                for end in pair.ends:
                    end.close()
                if keep:
                    self._store(name, transport, pair)

    def close(self):
        """Write index.json."""
        text = json.dumps(self.index, indent=2)
        (self.folder / "index.json").write_text(text + "\n")

    def _accept(self, listener, upstream, pairs, threads):
        host, port = upstream.rsplit(":", 1)
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((host, int(port)), WAIT)
            except OSError:
                client.close()  # the case fails with the client's own error
                continue
            server.settimeout(None)
            pair = Pair(client, server)
            pairs.append(pair)
            for way in ((client, server, pair.sent), (server, client, pair.received)):
                thread = threading.Thread(target=copy, args=way)
                thread.start()
                threads.append(thread)

    def _store(self, name, transport, pair):
        if not pair.sent:
            return  # opened and not used
        base = "%03d-%s" % (len(self.index) + 1, name)
        (self.folder / f"{base}.client").write_bytes(pair.sent)
        (self.folder / f"{base}.server").write_bytes(pair.received)
        self.index.append({"case": name, "transport": transport, "file": base})


class Pair:
    """One connection: both sockets and what went each way."""

    def __init__(self, client, server):
        self.ends = (client, server)
        self.sent, self.received = bytearray(), bytearray()


def copy(source, target, into):
    """Pass bytes on until the source ends, then end the target's input too."""
    with contextlib.suppress(OSError):
        for end in (source, target):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := source.recv(65536):
            into += data
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

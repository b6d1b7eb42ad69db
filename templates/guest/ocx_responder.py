#!/usr/bin/env python3
"""OCX responder: says, from inside a leased machine, "this guest is alive", in a way nobody else can.

A witness of the lease's committee sends one line of JSON over TCP and gets one line back:

    {"ocx":1,"lease":7,"place":0,"epoch":482113,"round":12,"witness":"0x<20 bytes>","nonce":"0x<32 bytes>"}
    {"guest":"0x<address of this guest's key>","signature":"0x<65 bytes: r, s, v>"}

The signature (secp256k1, RFC 6979, low s, v 27 or 28) is over SHA-256 of: the bytes "OCX guest 1", lease (4
bytes), place (1), epoch (4), round (2), witness (20), nonce (32), big-endian. A nonce is the witness's own,
so no answer can be made before the question, and nobody but this guest can make one. The key is born at the
first start, in this machine (`--state DIR`, mode 0600), never leaves it, and signs nothing else.

One file, standard library only, Python 3.6 or later. It reads no other file, runs nothing, contacts nobody. A
client gets 5 seconds, 1 KiB and 20 answers a second; of too many clients the one that dawdled longest goes.
"""

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import re
import selectors
import socket
import sys
import time

MOST_CLIENTS, MOST_BYTES, MOST_ANSWERS, SECONDS = 64, 1024, 20, 5.0
WIDTHS = (("lease", 4), ("place", 1), ("epoch", 4), ("round", 2))

# ---- secp256k1 -------------------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def double(a):
    """Twice a point (x, y, z) that stands for (x/z^2, y/z^3); z = 0 is infinity."""
    x, y, z = a
    s, m = 4 * x * y * y % P, 3 * x * x % P
    nx = (m * m - 2 * s) % P
    return nx, (m * (s - nx) - 8 * y**4) % P, 2 * y * z % P


def add(a, b):
    """The sum of two points in the form of `double`."""
    if not a[2] or not b[2]:
        return b if not a[2] else a
    az, bz = a[2] * a[2] % P, b[2] * b[2] % P
    u, v = a[0] * bz % P, b[0] * az % P
    s, t = a[1] * b[2] * bz % P, b[1] * a[2] * az % P
    h, r = v - u, t - s
    if not h % P:
        return (0, 1, 0) if r % P else double(a)
    h2 = h * h % P
    h3, w = h * h2 % P, u * h2 % P
    x = (r * r - h3 - 2 * w) % P
    return x, (r * (w - x) - s * h3) % P, h * a[2] * b[2] % P


def times(k):
    """k times the generator, as (x, y); the same number of steps for every k."""
    low, high = (0, 1, 0), (G[0], G[1], 1)
    for bit in range(255, -1, -1):
        total = add(low, high)
        low, high = (total, double(high)) if k >> bit & 1 else (double(low), total)
    inverse = pow(low[2], P - 2, P)
    return low[0] * inverse**2 % P, low[1] * inverse**3 % P


def candidates(key, digest):
    """The nonces of RFC 6979 for SHA-256, one after the other."""
    message = key.to_bytes(32, "big") + (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    v, k = b"\1" * 32, b"\0" * 32
    for mark in (b"\0", b"\1"):
        k = hmac.new(k, v + mark + message, hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()
    while True:
        v = hmac.new(k, v, hashlib.sha256).digest()
        yield int.from_bytes(v, "big")
        k = hmac.new(k, v + b"\0", hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()


def sign(key, digest):
    """The signature of a digest of 32 bytes: r, s, v."""
    number = int.from_bytes(digest, "big")
    for k in candidates(key, digest):
        if 0 < k < N:
            r, y = times(k)
            s = pow(k, N - 2, N) * (number + r * key) % N
            if 0 < r < N and s:
                break
    parity = (y & 1) ^ (s > N // 2)
    return r.to_bytes(32, "big") + min(s, N - s).to_bytes(32, "big") + bytes([27 + parity])


# ---- the address of a key --------------------------------------------------------------------------------


def rotated(lane, by):
    return (lane << by | lane >> (64 - by)) & 0xFFFFFFFFFFFFFFFF if by else lane


def permuted(a):
    """Keccak-f[1600] of 25 lanes, lane x + 5 y."""
    lfsr = 1
    for _ in range(24):
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ rotated(c[(x + 1) % 5], 1) for x in range(5)]
        a = [lane ^ d[i % 5] for i, lane in enumerate(a)]
        x, y, lane, moved = 1, 0, a[1], list(a)
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            moved[x + 5 * y] = rotated(lane, (step + 1) * (step + 2) // 2 % 64)
            lane = a[x + 5 * y]
        for row in range(0, 25, 5):
            b = moved[row : row + 5]
            for x in range(5):
                a[row + x] = b[x] ^ (~b[(x + 1) % 5] & b[(x + 2) % 5])
        for j in range(7):
            if lfsr & 1:
                a[0] ^= 1 << (2**j - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
    return a


def address(key):
    """The Ethereum address of a private key: the last 20 bytes of Keccak-256 of its public half."""
    public = b"".join(part.to_bytes(32, "big") for part in times(key))
    block = (public + b"\1").ljust(135, b"\0") + b"\x80"
    lanes = [int.from_bytes(block[at : at + 8], "little") for at in range(0, 136, 8)]
    return b"".join(lane.to_bytes(8, "little") for lane in permuted(lanes + [0] * 8)[:4])[12:]


# ---- questions and answers -------------------------------------------------------------------------------


def digest_of(question):
    """What is signed for a question; ValueError if it is not exactly one."""
    if not isinstance(question, dict) or set(question) != {"ocx", "witness", "nonce"} | {
        n for n, _ in WIDTHS
    }:
        raise ValueError("these are not the fields of a question")
    numbers = [question["ocx"]] + [question[name] for name, _ in WIDTHS]
    if any(type(number) is not int or number < 0 for number in numbers) or question["ocx"] != 1:
        raise ValueError("lease, place, epoch and round are whole numbers, and ocx is 1")
    parts = [b"OCX guest 1"]
    for name, width in WIDTHS:
        if question[name] >= 1 << 8 * width:
            raise ValueError(name + " is too large")
        parts.append(question[name].to_bytes(width, "big"))
    for name, width in (("witness", 20), ("nonce", 32)):
        if not re.match(rf"0x[0-9a-fA-F]{{{2 * width}}}\Z", str(question[name])):
            raise ValueError(f"{name} is 0x and {width} bytes in hex")
        parts.append(bytes.fromhex(question[name][2:]))
    return hashlib.sha256(b"".join(parts)).digest()


def answer(key, guest, line):
    """The answer to one line, a line itself."""
    try:
        told = {"guest": guest, "signature": "0x" + sign(key, digest_of(json.loads(line.decode()))).hex()}
    except (ValueError, RecursionError) as error:
        told = {"error": str(error)[:200]}
    return json.dumps(told, sort_keys=True).encode() + b"\n"


def key_in(folder):
    """The private key of this guest, made when there is none."""
    path = os.path.join(folder, "key")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if not os.path.exists(path):
        fresh = f"{path}.{os.getpid()}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{1 + int.from_bytes(os.urandom(40), 'big') % (N - 1):064x}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # whoever comes first; a key that is there is never replaced
        os.unlink(fresh)
    with open(path) as file:
        return int(file.read(), 16)


# ---- serving ---------------------------------------------------------------------------------------------


class Client:
    """One connection: what it sent so far, when its time is over, what is still to be sent."""

    def __init__(self, connection, peer, now):
        self.connection, self.peer, self.until = connection, peer, now + SECONDS
        self.asked, self.told = b"", b""


class Server:
    """One thread, one question for each connection; nobody can hold it up."""

    def __init__(self, key, host, port):
        self.key, self.guest = key, "0x" + address(key).hex()
        self.listener = listener_at(host, port)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.clients = []  # oldest first
        self.second, self.answers = 0, {}

    def run(self):
        """Serve until killed."""
        while True:
            wait = max(0.0, self.clients[0].until - time.monotonic()) if self.clients else None
            for ready, _ in self.selector.select(wait):
                if ready.data is None:
                    self.take()
                elif ready.data in self.clients:
                    self.serve(ready.data)
            while self.clients and self.clients[0].until <= time.monotonic():
                self.drop(self.clients[0])

    def take(self):
        try:
            connection, peer = self.listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        if len(self.clients) >= MOST_CLIENTS:
            self.drop(self.clients[0])
        client = Client(connection, peer[0], time.monotonic())
        self.clients.append(client)
        self.selector.register(connection, selectors.EVENT_READ, client)

    def serve(self, client):
        """Read on, or write on; every error ends this client alone."""
        try:
            if not client.told:
                part = client.connection.recv(MOST_BYTES)
                client.asked += part
                line, end, _ = client.asked.partition(b"\n")
                if not part or len(line) > MOST_BYTES or (end and not self.allows(client.peer)):
                    return self.drop(client)
                if not end:
                    return None
                client.told = answer(self.key, self.guest, line)
                self.selector.modify(client.connection, selectors.EVENT_WRITE, client)
            client.told = client.told[client.connection.send(client.told) :]
            return None if client.told else self.drop(client)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return self.drop(client)

    def allows(self, peer):
        """Whether an address may have another answer within this second."""
        now = int(time.monotonic())
        if now != self.second:
            self.second, self.answers = now, {}
        self.answers[peer] = self.answers.get(peer, 0) + 1
        return self.answers[peer] <= MOST_ANSWERS

    def drop(self, client):
        self.clients.remove(client)
        self.selector.unregister(client.connection)
        client.connection.close()


def listener_at(host, port):
    """A listening socket; without a host, at every address of both families where there are two."""
    if not host and socket.has_ipv6:
        try:
            listener = socket.socket(socket.AF_INET6)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            return listening(listener, "::", port)
        except OSError:
            pass  # a kernel without IPv6
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return listening(socket.socket(family), host, port)


def listening(listener, host, port):
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(MOST_CLIENTS)
    listener.setblocking(False)
    return listener


def main():
    parser = argparse.ArgumentParser(description="Says that this guest is alive, to witnesses of its lease.")
    parser.add_argument("--host", default="", help="address to listen at (every one)")
    parser.add_argument("--port", type=int, default=8022, help="TCP port to listen at (8022)")
    parser.add_argument("--state", default="/var/lib/ocx-responder", help="folder of the key")
    args = parser.parse_args()
    server = Server(key_in(args.state), args.host, args.port)
    print(f"ocx responder: {server.guest} at port {args.port}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""A real PostgreSQL of Debian's package, of this machine alone, that tests start and stop."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "geheim-7f3%40"
"""Of the user `search`, percent-encoded as in an address: it holds an @."""


def binaries() -> Path | None:
    """The folder of initdb and postgres, the newest; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parts[-2])
    homes = [each for each in found if (each / "initdb").exists() and (each / "postgres").exists()]
    return homes[-1] if homes else None


class Server:
    """A server on a port of the loopback address, whose data lie in a temporary folder."""

    def __init__(self, home: Path, bin_: Path) -> None:
        self.home, self._bin = home, bin_
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        # It refuses to run as root.
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(home, user.pw_uid, user.pw_gid)
        password = home / "password"
        password.write_text(PASSWORD.replace("%40", "@"))
        self._do("initdb", "--no-sync", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256",
                 "-U", "search", f"--pwfile={password}", "-D", str(home / "data"))  # fmt: skip
        self.start()

    def url(self, database: str = "postgres", password: str | None = PASSWORD) -> str:
        """The address of a database of it."""
        user = "search" if password is None else f"search:{password}"
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The address of a new, empty database, with its password."""
        import psycopg

        name = f"d{secrets.token_hex(4)}"
        plain = self.url().replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-F -c listen_addresses=127.0.0.1 -p {self.port} -k {self.home}"
        self._do("pg_ctl", "-D", str(self.home / "data"), "-w", "-l", str(self.home / "log"),
                 "-o", options, "start")  # fmt: skip

    def stop(self) -> None:
        """Stop it at once: connections break."""
        self._do("pg_ctl", "-D", str(self.home / "data"), "-m", "immediate", "-w", "stop")

    def _do(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], cwd="/", stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=120, check=False, **self._as,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@contextmanager
def running() -> Iterator[Server]:
    """A server that is gone afterwards."""
    bin_ = binaries()
    assert bin_ is not None
    home = Path(tempfile.mkdtemp(prefix="compound-nas-pg-"))  # whose parents another user may enter
    try:
        server = Server(home, bin_)
        try:
            yield server
        finally:
            subprocess.run(
                [str(bin_ / "pg_ctl"), "-D", str(home / "data"), "-m", "immediate", "stop"],
                cwd="/", check=False, capture_output=True, **server._as,
            )  # fmt: skip
    finally:
        shutil.rmtree(home, ignore_errors=True)

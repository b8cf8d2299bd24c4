"""Where the sampler's memory is kept: `storage=journal`, or the address of a database.

An address is text without its password wherever it is printed, compared or stored. The password
is in `Address.with_password()` alone, for whoever connects.
"""

import os
import re
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from search.errors import ConfigError

JOURNAL: Final = "journal"
KINDS: Final = {"postgresql": ("psycopg", "postgres", "PGPASSWORD"),
                "mysql": ("pymysql", "mysql", "MYSQL_PWD")}  # fmt: skip
"""Of a kind of database: its driver, the extra that installs it, and the variable of the
environment that its own clients take a password from."""
DRIVERS: Final = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("pymysql", "mysqldb")}
"""Drivers that take the settings of a connection that are given here."""
HIDDEN: Final = "***"
EXPECTED: Final = (
    "expected journal, postgresql+psycopg://USER@HOST/DATABASE or "
    "mysql+pymysql://USER@HOST/DATABASE"
)
_PARTS: Final = re.compile(r"([A-Za-z][\w+.-]*://)([^:/]*):(.*)@(.*)", re.DOTALL)
"""What comes before a user, the user, the password, the rest. The last @ ends a password, which
may hold others by mistake."""


class Address(str):
    """`storage=` as text without its password."""

    _password: str | None

    def __new__(cls, text: str) -> Self:
        """Take the password, percent-encoded, out of an address."""
        if isinstance(text, cls):
            return text
        found = _PARTS.fullmatch(text)
        password = found[3] if found else None
        shown = f"{found[1]}{found[2]}:{HIDDEN}@{found[4]}" if found else text
        made = super().__new__(cls, shown)
        made._password = None if password == HIDDEN else password
        return made

    @property
    def kind(self) -> str:
        """postgresql or mysql; journal."""
        return self.partition(":")[0].partition("+")[0]

    @property
    def has_password(self) -> bool:
        """Whether one was given in the address itself."""
        return self._password is not None

    @property
    def secrets(self) -> list[str]:
        """What no message may hold: the password, as written and as it is."""
        password = self._password or os.environ.get(KINDS[self.kind][2], "")
        found = {password, unquote(password), quote(password, safe="")} - {""}
        return sorted(found, key=len, reverse=True)

    def with_password(self) -> str:
        """The whole address; the password is the given one, or that of the environment.

        Without one the database's own client looks where it always does (`~/.pgpass`).
        """
        plain = self.replace(f":{HIDDEN}@", "@", 1)
        password = self._password
        if password is None and self.kind == "mysql":  # whose drivers do not read the variable
            password = quote(os.environ.get(KINDS["mysql"][2], ""), safe="")
        if not password or "@" not in plain:  # a password is a user's
            return plain
        head, _, rest = plain.rpartition("@")
        return f"{head}:{password}@{rest}"

    def hide(self, text: str) -> str:
        """A library's message without the password, on one line."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return " ".join(text.split())

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)


def check_storage(storage: str | None) -> None:
    """Refuse what is neither the journal nor a database that is known here.

    Raises:
        ConfigError: says what was expected; the password is not in it.
    """
    if storage is None or storage == JOURNAL:
        return
    address = Address(storage)
    if address.kind not in KINDS or "://" not in address:
        raise ConfigError(f"storage={address} is unknown; {EXPECTED}")
    driver = address.partition(":")[0].partition("+")[2]
    if driver not in ("", *DRIVERS[address.kind]):
        raise ConfigError(
            f"storage={address} has the driver {driver!r}; expected one of "
            f"{', '.join(DRIVERS[address.kind])}"
        )
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"storage={address} cannot be read ({error}); {EXPECTED}") from None
    if any("pass" in name.lower() and "file" not in name for name, _ in parse_qsl(parts.query)):
        raise ConfigError(
            f"storage={parts.scheme}://{parts.netloc}{parts.path}?… has a password after the ?; "
            f"expected it in {KINDS[address.kind][2]}, or as USER:PASSWORD@HOST"
        )
    if address._password is not None and re.search(r"[@/?#\s]", address._password):
        raise ConfigError(
            f"storage={address} has a password with one of @ / ? # in it; expected it "
            "percent-encoded (%40 for @)"
        )
    if not parts.path.strip("/"):
        raise ConfigError(f"storage={address} names no database; {EXPECTED}")


def require_driver(storage: str | None) -> None:
    """Refuse a database whose driver is not installed.

    Raises:
        ConfigError: names the extra.
    """
    from importlib.util import find_spec

    if storage is None or storage == JOURNAL:
        return
    address = Address(storage)
    named = address.partition(":")[0].partition("+")[2]
    driver, extra, _ = KINDS[address.kind]
    wanted = {"": DRIVERS[address.kind][1]}.get(named, named).replace("mysqldb", "MySQLdb")
    if find_spec(wanted) is None:
        raise ConfigError(
            f"storage={address} needs the package {wanted}; expected {address.kind}+{driver}://… "
            f"and pip install 'compound-nas[{extra}]'"
        )

"""Passwords in addresses, which nothing that is printed or stored may hold."""

import re
from typing import Final

_PASSWORD: Final = re.compile(r"([A-Za-z][\w+.-]*://[^\s:/'\"]*):(?!\*\*\*@)[^\s]*@")


def without_passwords(text: str) -> str:
    """`text`, in which `://user:password@` is `://user:***@`."""
    return _PASSWORD.sub(r"\1:***@", text) if "://" in text else text

"""What a console must not tell: passwords, keys, tokens (domain catalogue BOOT-07; UN R155 Annex 5, threats 7 and 18)."""

import re

SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(pass(word|wd|phrase)?|psk|pin|secret|token|api[_-]?key|credential)s?\s*[=:]\s*[^\s*]",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",  # access keys of a cloud
        r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+",  # JSON web tokens
        r"\broot:\$[0-9a-z]+\$",  # a line of /etc/shadow
    )
)


def secret_in(text: str) -> bool:
    """Whether a console line shows a secret; a prompt for one does not.

    >>> secret_in("ecu login: "), secret_in("Password: "), secret_in("wifi psk=hunter2"), secret_in("password: *****")
    (False, False, True, False)
    >>> secret_in("-----BEGIN RSA PRIVATE KEY-----"), secret_in("root:$6$x$y:1:0:99999:7:::"), secret_in("Key type id registered")
    (True, True, False)
    """
    return any(pattern.search(text) for pattern in SECRETS)

"""The lab's key program for the desk's boot loader: python -m rigs.desk.key SEED (hex) prints the key (hex)."""

import hashlib
import hmac
import sys

SECRET = b"shipei reference"

if __name__ == "__main__":
    print(hmac.new(SECRET, bytes.fromhex(sys.argv[1]), hashlib.sha256).digest()[:4].hex())

"""Log in and say who you are: ISSUER=https://id.example.com CLIENT_ID=my-tool python whoami.py [--no-browser]"""

import os
import sys
from pathlib import Path

from py_identity_model import LoginRequired, OAuthClient
from py_identity_model.stores import SqliteStore

store = SqliteStore(Path.home() / ".my-tool.db")  # only the user can read the file
client = OAuthClient(os.environ["ISSUER"], client_id=os.environ["CLIENT_ID"], store=store)
try:
    client.token()  # renewed if need be; every other run of this program shares it
except LoginRequired:
    client.loopback_login(browser="--no-browser" not in sys.argv).raise_for_error()
print(client.userinfo().claims["sub"])

"""People log in. OIDC_ISSUER=https://id.example.com OIDC_CLIENT_ID=app OIDC_CLIENT_SECRET=... ./manage.py runserver

Register http://127.0.0.1:8000/callback at the provider, and /logged-out for logouts. First: python manage.py migrate
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)

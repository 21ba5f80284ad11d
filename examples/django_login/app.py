"""For servers: waitress-serve app:wsgi, or uvicorn app:asgi."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
asgi, wsgi = get_asgi_application(), get_wsgi_application()

"""What gunicorn and flask start: ``gunicorn -c python:levelup_ov.gunicorn_conf wsgi:app``."""

from levelup_ov.app import create_app

app = create_app()

"""A support desk: an example of a Flask application with session_store in it. Run it by `flask --app support run`."""

import os
from pathlib import Path
from typing import Final

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import make_url

from session_store import SessionStore, configure_sqlite
from support.models import db
from support.tickets import tickets

DRIVERS: Final = {"postgresql": "postgresql+psycopg"}


def create_app() -> Flask:
    """Make the application."""
    # Flask-SQLAlchemy looks for a SQLite file in the instance's folder.
    app = Flask(__name__, instance_path=str(Path.cwd()))
    url = make_url(os.environ.get("DATABASE_URL", "sqlite:///support.db"))
    app.config["SQLALCHEMY_DATABASE_URI"] = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    db.init_app(app)
    Migrate(app, db)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            # Write-ahead log, foreign keys, writers that wait for each other: the store leaves an engine as it is.
            configure_sqlite(db.engine)
        app.extensions["session_store"] = SessionStore(db.engine)
    app.register_blueprint(tickets)
    return app

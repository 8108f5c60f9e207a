"""The same decisions over HTTP: `server.py` starts it, `app.py` has the routes."""

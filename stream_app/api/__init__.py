"""The API: HTTP around `stream_app.desk`. `server.py` starts it, `app.py` has the routes."""

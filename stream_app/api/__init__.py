"""The API: HTTP around `stream_app.scoring.desk`. `server.py` starts it, `app.py` has the routes."""

"""The API: HTTP around `stream_app.scoring.online_scoring`. `server.py` starts it, `app.py` has the routes."""

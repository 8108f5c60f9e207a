"""The local stack: real Apache Kafka, Redis and MLflow from PyPI packages alone, without Docker or a system Java.

`stream_app.local.stack.LocalStack` is its API, `stream_app.local.commands.app` its commands (`fraudstream local …`).
Importing this package starts nothing and loads neither MLflow nor any server.

    commands → stack → servers → jars, packages     what to run, and with which configuration
                     → processes                    starting them, finding them again, ending only them
                     → record                       `.fraudstream/stack.json` and the lock
                     → health                       whether a server answers
"""

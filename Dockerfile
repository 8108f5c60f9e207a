# docker build .                      serving: `fraudstream worker` (default), `api`, `topics`, `doctor` …
# docker build --target training .    python -m training.train
# docker build --target mlflow .      the MLflow server of docker-compose.yml: PostgreSQL and S3 drivers beside it
# BASE_IMAGE is any image with Python 3.12 as `python3.12` or `python3`; where none can be pulled, scripts/ship/base-image makes one.
#checkov:skip=CKV_DOCKER_7:the base is an argument, with a version by default
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# uv and setuptools, which build, go into an environment of their own, which no later stage copies.
COPY requirements-build.lock ./
RUN PY=$(command -v python3.12 || command -v python3) \
    && "$PY" -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements-build.lock \
    && mkdir -p /opt/fraudstream && "$PY" -m venv --without-pip /opt/fraudstream/venv
# Byte code is made here: the images' file systems are read-only, each start would compile all modules anew.
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
COPY requirements-serve.lock requirements-training.lock requirements-mlflow.lock ./

FROM build AS mlflow-packages
RUN /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/fraudstream/venv/bin/python -r requirements-mlflow.lock

FROM build AS serve
RUN /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/fraudstream/venv/bin/python -r requirements-serve.lock
COPY pyproject.toml README.md LICENSE ./
COPY stream_app stream_app
COPY training training
RUN /opt/uv/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /opt/wheel . \
    && /opt/uv/bin/uv pip install --quiet --no-deps --python /opt/fraudstream/venv/bin/python /opt/wheel/*.whl
# The feature kernels, compiled for any CPU of this architecture: a worker compiles nothing. Not in the folder of the sources, where those
# would be compiled, and not the installed ones.
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/fraudstream/numba
RUN cd / && /opt/fraudstream/venv/bin/python -c "from stream_app.explaining import shapley; from stream_app.features.warm import warm; from stream_app.rules.warm import warm as warm_rules; warm(); warm_rules(); shapley.warm()"

FROM serve AS train
RUN /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/fraudstream/venv/bin/python -r requirements-training.lock

FROM ${BASE_IMAGE} AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fraudstream" \
    org.opencontainers.image.description="Scores card payments for fraud while they happen" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/fraudstream --create-home fraudstream \
    && mkdir -p /var/lib/fraudstream/models /var/lib/fraudstream/keys && chown -R fraudstream:fraudstream /var/lib/fraudstream
ENV PATH=/opt/fraudstream/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
WORKDIR /var/lib/fraudstream

FROM runtime AS mlflow
COPY --from=mlflow-packages /opt/fraudstream/venv /opt/fraudstream/venv
USER 10001:10001
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:5000/health', timeout=3)"]
ENTRYPOINT ["mlflow"]
CMD ["server", "--host=0.0.0.0", "--port=5000"]

FROM runtime AS compiled
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/fraudstream/numba \
    NUMBA_CACHE_LOCATOR_CLASSES=stream_app.features.sealed_cache.SealedCache
COPY --from=serve /opt/fraudstream/numba /opt/fraudstream/numba

FROM compiled AS training
COPY --from=train /opt/fraudstream/venv /opt/fraudstream/venv
USER 10001:10001
# It ends by itself: there is nothing to ask for its health.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "training.train"]

FROM compiled AS worker
COPY --from=serve /opt/fraudstream/venv /opt/fraudstream/venv
USER 10001:10001
ENV FRAUDSTREAM_METRICS_HOST=0.0.0.0 FRAUDSTREAM_METRICS_PORT=9464 FRAUDSTREAM_MODEL_CACHE=/var/lib/fraudstream/models
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/livez', timeout=3)"]
ENTRYPOINT ["fraudstream"]
CMD ["worker"]

# docker build .                       the worker
# docker build --target training .    python -m training.train
# BASE_IMAGE is any image with Python 3.12 as `python3.12` or `python3` (a base made with debootstrap + docker import will do).
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# uv goes into an environment of its own, which no later stage copies.
RUN PY=$(command -v python3.12 || command -v python3) \
    && "$PY" -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir 'uv>=0.8,<1' \
    && mkdir -p /opt/fraudstream && "$PY" -m venv --without-pip /opt/fraudstream/venv
ENV UV_LINK_MODE=copy UV_NO_CACHE=1
# The build tool, from the lock; the final environments do not hold it.
COPY requirements-serve.lock requirements-training.lock ./
RUN /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/fraudstream/venv/bin/python -r requirements-serve.lock

FROM build AS serve
COPY pyproject.toml README.md LICENSE ./
COPY stream_app stream_app
COPY training training
RUN /opt/uv/bin/uv pip install --quiet --no-deps --python /opt/fraudstream/venv/bin/python .
# The feature kernels, compiled for any CPU of this architecture: a worker compiles nothing.
ENV NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/fraudstream/numba
RUN /opt/fraudstream/venv/bin/python -c "from stream_app import contributions; from stream_app.features.warm import warm; warm(); contributions.warm()"

FROM serve AS train
RUN /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/fraudstream/venv/bin/python -r requirements-training.lock

FROM ${BASE_IMAGE} AS runtime
LABEL org.opencontainers.image.title="fraudstream" \
    org.opencontainers.image.description="Scores card payments for fraud while they happen" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/fraudstream --create-home fraudstream \
    && mkdir -p /var/lib/fraudstream/models && chown -R fraudstream:fraudstream /var/lib/fraudstream
ENV PATH=/opt/fraudstream/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/fraudstream/numba
WORKDIR /var/lib/fraudstream

FROM runtime AS training
COPY --from=train /opt/fraudstream/venv /opt/fraudstream/venv
# numba uses a cache only where it could also write one.
COPY --from=train --chown=10001:10001 /opt/fraudstream/numba /opt/fraudstream/numba
USER 10001:10001
ENTRYPOINT ["python", "-m", "training.train"]

FROM runtime AS worker
COPY --from=serve /opt/fraudstream/venv /opt/fraudstream/venv
COPY --from=serve --chown=10001:10001 /opt/fraudstream/numba /opt/fraudstream/numba
USER 10001:10001
ENV FRAUDSTREAM_METRICS_HOST=0.0.0.0 FRAUDSTREAM_METRICS_PORT=9464 FRAUDSTREAM_MODEL_CACHE=/var/lib/fraudstream/models
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=3)"]
ENTRYPOINT ["fraudstream"]
CMD ["worker"]

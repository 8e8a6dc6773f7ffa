# One image for the code server, the webserver and the daemon.
# Validated by reading only: no engine could pull the base image where this was written.
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md ./
COPY efo_assets efo_assets
RUN python -m venv /opt/efo \
    && /opt/efo/bin/pip install --no-cache-dir --constraint constraints.txt . dagster-dg-cli \
    && /opt/efo/bin/python -m compileall -q /opt/efo/lib

FROM python:3.13-slim
RUN groupadd --gid 10001 efo && useradd --uid 10001 --gid efo --no-create-home efo \
    && install -d -o efo -g efo /var/lib/efo /opt/dagster_home
COPY --from=build /opt/efo /opt/efo
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster_home/
ENV PATH=/opt/efo/bin:$PATH \
    DAGSTER_HOME=/opt/dagster_home \
    DAGSTER_MODULE_NAME=efo_assets.definitions \
    EFO_DATA_DIR=/var/lib/efo \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/efo

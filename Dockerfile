# One image for the code server, the webserver, the daemon, the exporter and a single load.
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# Around an empty package: a new version of ours finds what it needs in this layer.
RUN mkdir efo_assets && touch efo_assets/__init__.py README.md \
    && python -m venv /opt/efo \
    && /opt/efo/bin/pip install --no-cache-dir --constraint constraints.txt . dagster-dg-cli \
    && /opt/efo/bin/python -m compileall -q /opt/efo/lib
COPY README.md ./
COPY efo_assets efo_assets
RUN /opt/efo/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
    && /opt/efo/bin/python -m compileall -q /opt/efo/lib

FROM python:3.13.9-slim-bookworm
RUN groupadd --gid 10001 efo && useradd --uid 10001 --gid efo --no-create-home efo \
    && install -d -o efo -g efo /var/lib/efo /opt/dagster_home \
    && python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/efo /opt/efo
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster_home/
# PYTHONDONTWRITEBYTECODE: the root file system is read-only, and the bytecode is there already.
ENV PATH=/opt/efo/bin:$PATH \
    HOME=/tmp \
    DAGSTER_HOME=/opt/dagster_home \
    DAGSTER_MODULE_NAME=efo_assets.definitions \
    EFO_DATA_DIR=/var/lib/efo \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/efo
CMD ["dagster", "asset", "materialize", "--select", "*"]

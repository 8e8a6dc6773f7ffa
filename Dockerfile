# One image for the code server, the webserver, the daemon, the exporter, a single load, and a run in
# a container of its own: with LAUNCHER=docker or k8s, the extra that launches such runs is in it.
FROM python:3.13.9-slim-bookworm AS build
ARG LAUNCHER=
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# Around an empty package: a new version of ours finds what it needs in this layer.
RUN mkdir efo_assets && touch efo_assets/__init__.py README.md \
    && python -m venv /opt/efo \
    && /opt/efo/bin/pip install --no-cache-dir --constraint constraints.txt ".${LAUNCHER:+[$LAUNCHER]}" dagster-dg-cli \
    && /opt/efo/bin/python -m compileall -q /opt/efo/lib
COPY README.md ./
COPY efo_assets efo_assets
RUN /opt/efo/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
    && /opt/efo/bin/python -m compileall -q /opt/efo/lib
COPY deploy deploy
RUN mkdir /opt/dagster_home && cp deploy/workspace.yaml /opt/dagster_home/ \
    && { cat deploy/dagster.yaml; find deploy/launchers -name "$LAUNCHER.yaml" -exec cat {} +; } \
    > /opt/dagster_home/dagster.yaml

FROM python:3.13.9-slim-bookworm
RUN groupadd --gid 10001 efo && useradd --uid 10001 --gid efo --no-create-home efo \
    && install -d -o efo -g efo /var/lib/efo /opt/dagster_home \
    && python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/efo /opt/efo
COPY --from=build /opt/dagster_home /opt/dagster_home
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

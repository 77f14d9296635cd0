# The image of `keepstream`: workers, topics, publishing. Build it from the repository's root.
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
# The compiler stays behind.
RUN python -m venv /opt/keepstream && python -m venv /opt/compiler
# First what changes rarely, so that a change of the code does not install it again.
# `--build-arg REQUIREMENTS=traces` for an image that can send traces.
ARG REQUIREMENTS=runtime
COPY requirements /src/requirements
RUN /opt/keepstream/bin/pip install --require-hashes --requirement "/src/requirements/${REQUIREMENTS}.txt"
RUN /opt/compiler/bin/pip install --require-hashes --requirement /src/requirements/compile.txt
COPY . /src
RUN cd /src && /opt/compiler/bin/python -m agents.compiler
RUN /opt/keepstream/bin/pip install --no-deps --no-build-isolation --no-index /src

FROM python:3.11-slim-bookworm

RUN groupadd --system --gid 10001 keepstream \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/keepstream --create-home keepstream
COPY --from=build /opt/keepstream /opt/keepstream
ENV PATH=/opt/keepstream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/keepstream
CMD ["keepstream", "--help"]

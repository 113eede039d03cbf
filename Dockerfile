# The image of `swarm`: docker run --rm -v "$PWD:/data" swarm get 'swarm:…'
#
# Any image with Node 22.13 or newer, npm and a shell will do as the base. Where nothing can be pulled, examples/docker-swarm/base-image.sh
# makes one from Debian's packages and a node binary: docker build --build-arg BASE_IMAGE=swarm-base:local .
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No package's script is needed to run: native parts come prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${BASE_IMAGE}
ENV NODE_ENV=production \
    SWARM_LISTEN=/ip4/0.0.0.0/tcp/4001 \
    SWARM_STATE_DIR=/state
COPY package.json LICENSE /app/
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/dist /app/dist
# Files go to /data, identity, resume state and hash cache to /state. Nothing runs as root.
RUN mkdir -p /data /state && chown 1000:1000 /data /state && ln -s /app/dist/cli/main.js /usr/local/bin/swarm && chmod +x /app/dist/cli/main.js
USER 1000:1000
# What V8 compiles for a first `seed` and `get` is kept in the user's cache folder (src/cli/code-cache.ts): a fresh container then starts like a
# second run elsewhere. It is nothing but a gain: whoever runs it as another user compiles again.
RUN set -e; cd "$(mktemp -d)"; head -c 4194304 /dev/urandom >content; \
  swarm seed content --quiet --no-mdns --listen /ip4/127.0.0.1/tcp/0 --state-dir seeder & seeder=$!; \
  until [ -s content.swarm ]; do kill -0 $seeder; sleep 0.1; done; \
  swarm get content.swarm --output copy --seed --quiet --no-mdns --listen /ip4/127.0.0.1/tcp/0 --state-dir leecher & leecher=$!; \
  until cmp -s content copy; do kill -0 $leecher; sleep 0.1; done; sleep 3; \
  kill $leecher; wait $leecher; kill $seeder; wait $seeder; rm -r "$PWD"
WORKDIR /data
VOLUME ["/data", "/state"]
EXPOSE 4001/tcp
# A node that is up has a listening socket (state 0A); asking the kernel costs less than starting a second node.
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s CMD grep -q ' 0A ' /proc/net/tcp /proc/net/tcp6
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["--help"]

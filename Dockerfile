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
WORKDIR /data
VOLUME ["/data", "/state"]
EXPOSE 4001/tcp
# A node that is up has a listening socket (state 0A); asking the kernel costs less than starting a second node.
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s CMD grep -q ' 0A ' /proc/net/tcp /proc/net/tcp6
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["--help"]

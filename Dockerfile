FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app

COPY package.json package-lock.json .npmrc ./
COPY client/package.json client/
COPY extension/package.json extension/
COPY cli/package.json cli/
# Without install scripts: the package "node" would fetch a second Node, and this image is one.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm cache clean --force

COPY src src
COPY queues queues
COPY workers workers
COPY migrations migrations
COPY Procfile ./

USER node
EXPOSE 3000
# Of the API; docker-compose.yml turns it off for the other processes, which listen to nothing.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/api/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node itself, not npm: npm does not pass SIGTERM on, and without it nothing drains.
CMD ["node", "src/server.ts"]

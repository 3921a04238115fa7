import type { FastifyInstance } from 'fastify';
import type { WebsocketPluginOptions } from '@fastify/websocket';
import type { Runtime } from '#src/runtime.ts';
import { OF_KNOWN } from '#src/http/rate-limit/policies.ts';
import { Close } from '#src/modules/live/frames.ts';
import { serveSocket } from '#src/modules/live/connection.ts';
import { AppError, badRequest, forbidden } from '#src/errors.ts';
import { answerOnSocket } from '#src/http/problem.ts';

const MAX_FRAME_BYTES = 256 * 1024;

/** Sockets are closed by `liveRoutes`, with a code that tells clients to come back. */
export const SOCKET_OPTIONS: WebsocketPluginOptions = {
  options: { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false },
  preClose(done) {
    for (const socket of this.websocketServer.clients) socket.close(Close.restarting, 'restarting');
    this.websocketServer.close(done);
  },
};

/** The WebSocket door. A browser's Origin must be on the list; other clients send none. */
export function liveRoutes(rt: Runtime) {
  return async (app: FastifyInstance): Promise<void> => {
    let open = 0;
    // Without a listener, ws answers a handshake it refuses with a page of HTML.
    app.websocketServer.on('wsClientError', (error, socket) => {
      answerOnSocket(badRequest('invalid_handshake', `${error.message}.`), socket);
    });
    app.route({
      method: 'GET',
      url: '/api/ws',
      // The first frame says who connects.
      config: { access: 'public' },
      schema: { hide: true },
      preValidation: async (request) => {
        const { origin } = request.headers;
        if (origin && !rt.config.ALLOWED_ORIGINS.includes(origin)) {
          throw forbidden(`The origin is not allowed; add it to ALLOWED_ORIGINS.`);
        }
      },
      handler: async (_request, reply) => {
        reply.header('upgrade', 'websocket').header('connection', 'upgrade');
        throw new AppError(426, 'upgrade_required', 'Open this address as a WebSocket.');
      },
      wsHandler: (socket, request) => {
        serveSocket(socket, {
          jobs: rt.jobs,
          ai: rt.ai,
          reader: rt.reader,
          access: rt.access,
          admit: (auth) => rt.limiter.take([...OF_KNOWN, 'ai'], { ip: request.ip, auth }),
          log: rt.log,
          requestId: request.id,
          rateScale: rt.config.RATE_LIMIT_SCALE,
        });
        rt.metrics.sockets.set((open += 1));
        socket.on('close', () => rt.metrics.sockets.set((open -= 1)));
      },
    });
  };
}

import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import type { WebsocketPluginOptions } from '@fastify/websocket';
import { createDelivery } from '#src/modules/campaigns/delivery.ts';
import type { Runtime } from '#src/runtime.ts';
import { OF_KNOWN } from '#src/http/rate-limit/policies.ts';
import { createTickets, TICKET_SECONDS } from '#src/modules/live/tickets.ts';
import { authOf } from '#src/http/auth.ts';
import { addEventStream } from '#src/modules/live/events.routes.ts';
import { Close } from '#src/modules/live/frames.ts';
import { serveSocket } from '#src/modules/live/connection.ts';
import { syncMessages } from '#src/modules/messages/sync.ts';
import { AppError, badRequest, forbidden, notFound } from '#src/errors.ts';
import { answerOnSocket } from '#src/http/problem.ts';

const TicketView = z.object({ ticket: z.string(), expiresInSeconds: z.int() }).meta({ id: 'Ticket' });

const MAX_FRAME_BYTES = 256 * 1024;
/** Of one person, in one process: far above what devices and tabs need, far below what would crowd others out. */
const MAX_SOCKETS_EACH = 100;

/** Sockets are closed by `liveRoutes`, with a code that tells clients to come back. */
export const SOCKET_OPTIONS: WebsocketPluginOptions = {
  options: { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false },
  preClose(done) {
    for (const socket of this.websocketServer.clients) socket.close(Close.restarting, 'restarting');
    this.websocketServer.close(done);
  },
};

const SOCKET_URL = '/api/ws';

/**
 * Whether a request is to leave HTTP. Any other `Upgrade` has to be ignored (RFC 9110, section 7.8): clients offer h2c with ordinary
 * requests, and a connection that has left HTTP has none of its time-outs.
 */
export const isSocketRequest = ({ method, url, headers }: IncomingMessage): boolean =>
  method === 'GET' && url?.split('?', 1)[0] === SOCKET_URL && headers.upgrade?.toLowerCase() === 'websocket';

/** The WebSocket door. A browser's Origin must be on the list; other clients send none. */
export function liveRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    let open = 0;
    const openOf = new Map<string, number>();
    const enter = ({ userId }: Auth) => {
      const count = openOf.get(userId) ?? 0;
      if (count >= MAX_SOCKETS_EACH) {
        throw new AppError(
          429,
          'too_many_sockets',
          `A person has at most ${MAX_SOCKETS_EACH} sockets or streams of events open.`,
        );
      }
      openOf.set(userId, count + 1);
      return () => {
        const left = (openOf.get(userId) ?? 1) - 1;
        if (left > 0) openOf.set(userId, left);
        else openOf.delete(userId);
      };
    };
    const delivery = createDelivery(rt);
    const tickets = createTickets(rt.redis, rt.config.REDIS_PREFIX);
    const identify = async (token: string | undefined, ticket = '', workspaceId?: string, origin?: string) => {
      if (token !== undefined) return rt.access.identify(token, workspaceId);
      const auth = await tickets.redeem(ticket, origin);
      if (workspaceId !== undefined && workspaceId.toLowerCase() !== auth.workspaceId) throw notFound('The workspace');
      return rt.access.recheck(auth);
    };
    app.post(
      '/api/ws/ticket',
      {
        config: { access: 'member', limits: ['ticket'] },
        schema: {
          tags: ['live'],
          summary: 'A ticket for one socket, good for 30 seconds',
          security: [{ bearer: [] }],
          response: { 201: TicketView },
        },
      },
      async (request, reply) => {
        const ticket = await tickets.issue(authOf(request), request.headers.origin);
        return reply.code(201).send({ ticket, expiresInSeconds: TICKET_SECONDS });
      },
    );
    addEventStream(app, rt, enter);
    // Without a listener, ws answers a handshake it refuses with a page of HTML.
    app.websocketServer.on('wsClientError', (error, socket) => {
      answerOnSocket(badRequest('invalid_handshake', `${error.message}.`), socket);
    });
    app.route({
      method: 'GET',
      url: SOCKET_URL,
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
        reply.header('upgrade', 'websocket').header('connection', 'close, upgrade');
        throw new AppError(426, 'upgrade_required', 'Open this address as a WebSocket.');
      },
      wsHandler: (socket, request) => {
        serveSocket(socket, {
          jobs: rt.jobs,
          ai: rt.ai,
          delivery,
          reader: rt.reader,
          events: rt.events,
          access: rt.access,
          identify: ({ token, ticket, workspaceId }) => identify(token, ticket, workspaceId, request.headers.origin),
          admit: (auth, what) =>
            rt.limiter.take(what === 'ai' ? [...OF_KNOWN, 'ai'] : OF_KNOWN, { ip: request.ip, auth }),
          sync: (auth, batch) => syncMessages(rt, auth, batch),
          enter,
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

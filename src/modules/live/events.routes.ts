import { z } from 'zod';
import { badRequest } from '#src/errors.ts';
import { parseEventId } from '#src/events/feed.ts';
import type { FeedEvent } from '#src/events/feed-topic.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { openEventStream } from '#src/modules/jobs/sse.ts';
import { maySeeEvent } from '#src/modules/live/event-sight.ts';
import type { Runtime } from '#src/runtime.ts';

const DAY_MS = 86_400_000;

const EventsQuery = z.strictObject({
  /** `false`: the answer ends once all there is was told. */
  follow: z.enum(['true', 'false']).default('true'),
});

function placeOf(lastEventId: string | string[] | undefined): number | null {
  if (lastEventId === undefined) return null;
  const place = parseEventId(String(lastEventId));
  if (place !== null) return place;
  throw badRequest('validation_failed', 'Last-Event-ID is not the id of an event.', [
    { path: 'headers.last-event-id', code: 'invalid_event_id', message: 'must look like 42' },
  ]);
}

/**
 * The workspace's events for those without a socket.
 * @param enter makes room for one connection more of a caller, and returns what gives it back; throws AppError 429
 */
export function addEventStream(app: App, rt: Runtime, enter: (auth: Auth) => () => void): void {
  app.get(
    '/api/events',
    {
      exposeHeadRoute: false,
      config: { access: 'member' },
      schema: {
        tags: ['live'],
        description: `Server-sent events, as on the WebSocket topic \`events\`; resumes by Last-Event-ID. The first line is the id to resume from.
          With \`follow=false\` it ends once all there is was told.`,
        querystring: EventsQuery,
      },
    },
    async (request, reply) => {
      let auth = authOf(request);
      const from = placeOf(request.headers['last-event-id']);
      const { raw } = reply;
      const leave = enter(auth);
      raw.once('close', leave);
      const isEnding = request.query.follow === 'false';
      const deliver = (event: FeedEvent): boolean => !maySeeEvent(auth, event) || stream.sink.deliver(event);
      const caughtUp = (): void => (isEnding ? stream.sink.over() : undefined);
      const watch = await rt.events.watch(auth.workspaceId, from, { deliver, caughtUp });
      if (raw.destroyed) {
        watch.close();
        return reply.hijack();
      }
      const stillMay = (now: Auth): boolean => {
        auth = now;
        return true;
      };
      const stream = openEventStream(reply, rt, { auth, stillMay });
      stream.attach(watch);
      // Ends with its token, as a socket does; a key may last for longer than a timer can wait, and is followed.
      const leftMs = Math.max(0, auth.expiresAt - Date.now());
      const expiry = leftMs < DAY_MS ? setTimeout(() => stream.sink.over(), leftMs) : undefined;
      raw.once('close', () => clearTimeout(expiry));
      // An event without data only sets the id that its reader resumes from (WHATWG HTML, section 9.2.6).
      raw.write(`id: ${watch.lastEventId}\n\n`);
      watch.resume();
      return reply;
    },
  );
}

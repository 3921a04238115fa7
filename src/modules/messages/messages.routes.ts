import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import { emitEvents } from '#src/events/outbox.query.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { decodeCursor, PageQuery, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import {
  findContactId,
  findMessage,
  listMessages,
  searchMessages,
  toMessageView,
  wordsOf,
  type MessageRow,
} from '#src/modules/messages/messages.query.ts';
import {
  MessagePage,
  MessagesQuery,
  MessageView,
  SearchQuery,
  StatusBody,
  SyncBody,
  SyncView,
} from '#src/modules/messages/messages.schemas.ts';
import { raiseMessages } from '#src/modules/messages/sync.query.ts';
import { eventsOf, syncMessages } from '#src/modules/messages/sync.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['messages'], security: [{ bearer: [] }] };
const read = { access: 'messages:read' as const };
const write = { access: 'messages:write' as const };

const idOf = (cursor: string | undefined): string | null =>
  cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];

/** A page of messages, the newest first. */
export const toMessagePage = (rows: readonly MessageRow[], limit: number) =>
  toPage(rows, limit, (row) => [row.id], toMessageView);

/** The messages of a conversation or a contact that the caller was found to see. */
export const pageOfMessages = async (
  em: EntityManager,
  of: 'conversation' | 'contact',
  id: string,
  { limit, cursor }: z.output<typeof PageQuery>,
) => toMessagePage(await listMessages(em, { of, id, before: idOf(cursor), limit: limit + 1 }), limit);

const find = async (em: EntityManager, auth: Auth, id: string) => {
  const row = await findMessage(em, id, onlyOwner(auth, 'contacts'));
  if (!row) throw notFound('The message');
  return row;
};

/** `/api/messages`: what was said, by whom it was said to. Members who see only their own contacts see only their messages. */
export function messageRoutes(rt: Pick<Runtime, 'orm' | 'settings' | 'config'>) {
  const ofContact = (auth: Auth, contactId: string, page: z.output<typeof PageQuery>) =>
    inWorkspaceTx(rt.orm, auth, async (em) => {
      const id = await findContactId(em, contactId, onlyOwner(auth, 'contacts'));
      if (id === undefined) throw notFound('The contact');
      return pageOfMessages(em, 'contact', id, page);
    });
  return async (app: App): Promise<void> => {
    app.post('/api/messages/sync', {
      config: write,
      schema: {
        ...schema,
        summary: 'Stores up to 200 messages of a channel; the same ones may come again, in any order',
        body: SyncBody,
        response: { 200: SyncView },
      },
      handler: (request) => syncMessages(rt, authOf(request), request.body),
    });

    app.get('/api/messages', {
      config: read,
      schema: { ...schema, querystring: MessagesQuery, response: { 200: MessagePage } },
      handler: (request) => ofContact(authOf(request), request.query.contactId, request.query),
    });

    app.get('/api/contacts/:id/messages', {
      config: read,
      schema: { ...schema, params: IdParams, querystring: PageQuery, response: { 200: MessagePage } },
      handler: (request) => ofContact(authOf(request), request.params.id, request.query),
    });

    app.get('/api/messages/search', {
      config: read,
      schema: {
        ...schema,
        summary: 'Messages that have all the words, or words that begin so; the newest first',
        querystring: SearchQuery,
        response: { 200: MessagePage },
      },
      handler: async (request) => {
        const { q, limit, cursor, contactId = null, channelId = null, from = null, to = null } = request.query;
        const auth = authOf(request);
        const words = wordsOf(q);
        if (words.length === 0) {
          const message = 'must have a letter or a digit';
          throw badRequest('validation_failed', `q ${message}.`, [{ path: 'query.q', code: 'no_words', message }]);
        }
        const ownerId = onlyOwner(auth, 'contacts') ?? null;
        const asked = { words, contactId, channelId, ownerId, from, to, before: idOf(cursor), limit: limit + 1 };
        return toMessagePage(await inWorkspaceTx(rt.orm, auth, (em) => searchMessages(em, asked)), limit);
      },
    });

    app.get('/api/messages/:id', {
      config: read,
      schema: { ...schema, params: IdParams, response: { 200: MessageView } },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(rt.orm, auth, async (em) => toMessageView(await find(em, auth, request.params.id)));
      },
    });

    app.patch('/api/messages/:id/status', {
      config: write,
      schema: {
        ...schema,
        summary: 'Says how far a message is; what says less than is known changes nothing',
        params: IdParams,
        body: StatusBody,
        response: { 200: MessageView },
      },
      handler: (request) => {
        const auth = authOf(request);
        const { status, errorCode = null } = request.body;
        return inWorkspaceTx(rt.orm, auth, async (em) => {
          const row = await find(em, auth, request.params.id);
          const rise = { id: row.id, status, error_code: errorCode, client_id: null, provider_id: null };
          const [risen] = await raiseMessages(em, [rise]);
          if (!risen) return toMessageView(row);
          const where = { messageId: row.id, conversationId: row.conversation_id, contactId: row.contact_id };
          const told = { ...where, ownerId: row.owner_id };
          await emitEvents(em, eventsOf(told, row.direction, row.status, risen.status, auth.userId));
          return toMessageView(await find(em, auth, row.id));
        });
      },
    });
  };
}

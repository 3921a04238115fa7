import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import {
  findConversation,
  isMember,
  listConversations,
  toConversationView,
  updateConversation,
} from '#src/modules/messages/conversations.query.ts';
import {
  ConversationBody,
  ConversationsQuery,
  ConversationView,
  MessagePage,
} from '#src/modules/messages/messages.schemas.ts';
import { pageOfMessages } from '#src/modules/messages/messages.routes.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['messages'], security: [{ bearer: [] }] };
const read = { access: 'messages:read' as const };

const assigneeOf = (asked: string | undefined, userId: string): string | null | undefined =>
  asked === 'me' ? userId : asked === 'none' ? null : asked;

/** `/api/conversations`: a channel's talk with a contact. Members who see only their own contacts see only their conversations. */
export function conversationRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/conversations', {
      config: read,
      schema: {
        ...schema,
        summary: 'Those with the newest messages first',
        querystring: ConversationsQuery,
        response: { 200: pageOf(ConversationView) },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { limit, cursor, unread, assignee, ...filters } = request.query;
        // It finds by more of a contact than a conversation shows.
        if (filters.q !== undefined) mustHave(auth, 'contacts:read');
        const key =
          cursor === undefined
            ? undefined
            : decodeCursor(cursor, z.tuple([z.iso.datetime().refine((at) => !at.startsWith('0000')), z.uuid()]));
        const rows = await inWorkspaceTx(orm, auth, (em) =>
          listConversations(em, {
            ...filters,
            isUnread: unread,
            assigneeId: assigneeOf(assignee, auth.userId),
            ownerId: onlyOwner(auth, 'contacts'),
            after: key && { at: key[0], id: key[1] },
            limit: limit + 1,
          }),
        );
        return toPage(rows, limit, (row) => [new Date(row.last_message_at).toISOString(), row.id], toConversationView);
      },
    });

    app.get('/api/conversations/:id', {
      config: read,
      schema: { ...schema, params: IdParams, response: { 200: ConversationView } },
      handler: async (request) => {
        const auth = authOf(request);
        const asked = onlyOwner(auth, 'contacts');
        const row = await inWorkspaceTx(orm, auth, (em) => findConversation(em, request.params.id, asked));
        if (!row) throw notFound('The conversation');
        return toConversationView(row);
      },
    });

    app.get('/api/conversations/:id/messages', {
      config: read,
      schema: { ...schema, params: IdParams, querystring: PageQuery, response: { 200: MessagePage } },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(orm, auth, async (em) => {
          const row = await findConversation(em, request.params.id, onlyOwner(auth, 'contacts'));
          if (!row) throw notFound('The conversation');
          return pageOfMessages(em, 'conversation', row.id, request.query);
        });
      },
    });

    app.patch('/api/conversations/:id', {
      config: { access: 'messages:write' },
      schema: {
        ...schema,
        summary: 'Closes or opens it, gives it to a member, or says that all of it was read',
        params: IdParams,
        body: ConversationBody,
        response: { 200: ConversationView },
      },
      handler: (request) => {
        const auth = authOf(request);
        const { read: isRead, ...change } = request.body;
        return inWorkspaceTx(orm, auth, async (em) => {
          const ownerId = onlyOwner(auth, 'contacts');
          const row = await findConversation(em, request.params.id, ownerId, true);
          if (!row) throw notFound('The conversation');
          const { assigneeId } = change;
          if (typeof assigneeId === 'string' && !(await isMember(em, assigneeId))) {
            const message = 'must be a member of the workspace';
            throw badRequest('validation_failed', `assigneeId ${message}.`, [
              { path: 'assigneeId', code: 'unknown_member', message },
            ]);
          }
          await updateConversation(em, row.id, { ...change, ...(isRead && { read: isRead }) });
          const changed = await findConversation(em, row.id, ownerId);
          if (!changed) throw notFound('The conversation');
          if (Object.keys(change).length > 0)
            await appendAudit(em, actorOf(request), {
              action: 'conversation.changed',
              target: { type: 'conversation', id: row.id },
              before: { status: row.status, assigneeId: row.assignee_id },
              after: change,
            });
          return toConversationView(changed);
        });
      },
    });
  };
}

import { z } from 'zod';
import { textField } from '#src/ai/engines/fields.ts';
import { maskText } from '#src/ai/pii/mask.ts';
import { actionFor, personalData, PII_ACTIONS } from '#src/ai/pii/policy.ts';
import { PII_TYPES } from '#src/ai/pii/span.ts';
import { TokenVault } from '#src/ai/pii/tokens.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { privacyOf } from '#src/modules/ai/workspace-ai.ts';
import type { Runtime } from '#src/runtime.ts';

const MaskBody = z.strictObject({ text: textField(100_000) });

const MaskView = z
  .object({
    /** As a provider would get it; the codes in the tokens are new for each job. */
    text: z.string(),
    entities: z.array(
      z.object({
        type: z.enum(PII_TYPES),
        /** In UTF-16 units of the text sent. */
        start: z.int(),
        end: z.int(),
        score: z.number().min(0).max(1),
        /** What the workspace's policy does with it in a job. */
        action: z.enum(PII_ACTIONS),
      }),
    ),
  })
  .meta({ id: 'Masked' });

/** `POST /api/ai/mask`: what the workspace's policy would make of a text; nothing is sent or kept. */
export function maskRoutes(rt: Pick<Runtime, 'settings'>) {
  return async (app: App): Promise<void> => {
    app.post(
      '/api/ai/mask',
      {
        config: { access: 'ai:run', limits: ['ai'] },
        schema: {
          tags: ['ai'],
          summary: 'Try what is masked before a provider sees a text',
          body: MaskBody,
          response: { 200: MaskView },
        },
      },
      async (request) => {
        const { text } = request.body;
        const privacy = privacyOf(await rt.settings.readWorkspace(authOf(request).workspaceId));
        const vault = new TokenVault();
        vault.reserve(text);
        const found = personalData(text, privacy);
        return {
          text: maskText(text, found, vault),
          entities: found.map(({ type, start, end, score }) => ({
            type,
            start,
            end,
            score,
            action: actionFor(type, privacy.pii),
          })),
        };
      },
    );
  };
}

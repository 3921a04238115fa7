import { ApiError } from '../../../client/src/index.ts';
import type { Answer } from '../answers.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit.ts';

/** Ends work over many rows; what is cancelled already is no error. */
export const cancelAt = <State extends { status: string }>(kind: 'operations' | 'imports', answer: Answer<State>) =>
  async function cancel({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
    const path = `/api/${kind}/${encodeURIComponent(id)}`;
    const ended = await request(answer, 'POST', `${path}/cancel`).catch(async (error: unknown) => {
      if (!(error instanceof ApiError) || error.status !== 409) throw error;
      const now = await request(answer, 'GET', path);
      if (now.status !== 'cancelled') throw error;
      return now;
    });
    out.json(ended);
    out.note(
      ended.status === 'cancelled' ? 'It is cancelled.' : `It is ${ended.status}, and ends before its next step.`,
    );
    return EXIT.done;
  };

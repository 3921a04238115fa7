import type { TestUser } from '#test/factories.ts';
import type { TestApp } from '#test/harness.ts';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { findDueOperations } from '#src/modules/bulk/operations.query.ts';
import { runOperation } from '#src/modules/bulk/run.ts';

/** Uploads a file as its body. */
export const upload = ({ app }: TestApp, who: TestUser, file: string | Buffer, type = 'text/csv') =>
  app.inject({
    method: 'POST',
    url: '/api/imports?fileName=contatos.csv',
    headers: { ...who.headers, 'content-type': type },
    payload: file,
  });

/** Does every operation that is due, as a worker would. */
export async function doOperations({ rt }: TestApp, stopping = new AbortController().signal): Promise<void> {
  for (const { workspaceId, jobId } of await findDueOperations(rt.systemPool, 100))
    await runOperation(
      { orm: rt.orm, kinds, appSecret: rt.config.APP_SECRET, log: rt.log, stopping },
      workspaceId,
      jobId,
    );
}

/** A CSV of so many different people. */
export function manyPeople(count: number, from = 0): string {
  const rows = Array.from({ length: count }, (_, at) => {
    const no = from + at;
    return `Pessoa ${no};(11) 9${80_000_000 + no};pessoa${no}@example.com;Empresa ${no % 50}`;
  });
  return `Nome;Celular;E-mail;Empresa\n${rows.join('\n')}\n`;
}

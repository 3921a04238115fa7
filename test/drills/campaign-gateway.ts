import { once } from 'node:events';
import { createServer } from 'node:http';
import { isRecord } from '#src/lib/record.ts';
import type { Random } from '#test/fuzz/random.ts';

/** What a gateway did with one request. `effect`: whether a message went out. */
export interface GatewayEntry {
  itemId: string;
  attemptId: string;
  effect: boolean;
  answer: 'sent' | 'refused' | 'busy' | 'cut' | 'vague';
}

export interface GatewayFaults {
  refused: number;
  busy: number;
  cut: number;
  vague: number;
}

/**
 * Somebody's gateway to WhatsApp, with a journal of what it sent, written before it answers. Busy, it says that nothing happened; cut and
 * vague, it has sent and does not say so.
 * @param onRequest called when a message has arrived, before it is answered
 * @param slowestMs how long it takes for an answer at most
 */
export async function openGateway(
  random: Random,
  faults: GatewayFaults,
  onRequest: (count: number) => Promise<void>,
  slowestMs = 15,
) {
  const journal: GatewayEntry[] = [];
  const choose = (): GatewayEntry['answer'] => {
    for (const name of ['refused', 'busy', 'cut', 'vague'] as const) if (random.chance(faults[name])) return name;
    return 'sent';
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      const data = isRecord(body) && isRecord(body['data']) ? body['data'] : {};
      const answer = choose();
      const effect = answer !== 'refused' && answer !== 'busy';
      const entry = { itemId: String(data['itemId']), attemptId: String(data['attemptId']), effect, answer };
      journal.push(entry);
      const respond = () => {
        if (answer === 'cut') return request.socket.destroy();
        const status = { sent: 200, refused: 422, busy: 503, vague: 500 }[answer];
        const said = {
          sent: { messageId: `wamid.${journal.length}` },
          busy: { effect: 'none' },
          refused: {},
          vague: {},
        }[answer];
        return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(said));
      };
      void onRequest(journal.length).then(() => setTimeout(respond, random.int(slowestMs)));
    });
    request.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const target = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  return {
    target,
    url: `http://${target}/send`,
    journal,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

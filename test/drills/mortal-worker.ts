// A worker that ends as by kill -9 right behind one of its steps with an item: what it has asked for is done, and it never hears of it, or
// tells nobody. DRILL_DEATH says where and at which time it comes there ("ack 17"), DRILL_DEATHS_FILE where that is written down.
import { appendFileSync } from 'node:fs';
import pg, { type Query } from 'pg';

/** Behind the commit of a claim, of what begins, of what is noted; and between a gateway's answer and its being noted. */
export type DeathPoint = 'claim' | 'begin' | 'call' | 'ack';

const [where, count] = (process.env['DRILL_DEATH'] ?? '').split(' ');
let left = Number(count);

function pass(point: DeathPoint): void {
  if (point !== where || (left -= 1) > 0) return;
  appendFileSync(process.env['DRILL_DEATHS_FILE'] ?? '', `${process.pid} ${point}\n`);
  process.kill(process.pid, 'SIGKILL');
}

type Statement = Query & { name?: string; callback?: (...answer: unknown[]) => void };
const isStatement = (value: unknown): value is Statement =>
  typeof value === 'object' && value !== null && 'submit' in value && 'callback' in value;

const { prototype } = pg.Client;
const ask: (this: pg.Client, ...given: unknown[]) => unknown = Reflect.get(prototype, 'query');
Object.assign(prototype, {
  query(this: pg.Client, ...given: unknown[]): unknown {
    const [statement] = given;
    const point = isStatement(statement) ? statement.name?.replace(/^campaign-/, '') : undefined;
    if (isStatement(statement) && (point === 'claim' || point === 'begin' || point === 'ack')) {
      if (point === 'ack') pass('call');
      const { callback } = statement;
      statement.callback = (...answer) => {
        if (answer[0] === null || answer[0] === undefined) pass(point);
        callback?.(...answer);
      };
    }
    return ask.apply(this, given);
  },
});

await import('#workers/index.ts');

// What it takes for an event to reach those who follow its workspace. Run: npm run bench -- live-events
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation } from '#test/processes.ts';
import { percentile } from '#test/bench/load.ts';

const FOLLOWERS = [1, 100, 1000];
const SINGLE = 100;
const BURSTS = 20;
const BURST = 50;
const SOCKETS_EACH = 100;
const print = (text: string) => process.stdout.write(`${text}\n`);

const until = async (isDone: () => boolean): Promise<void> => {
  while (!isDone()) await sleep(1);
};

const installation = await createInstallation({ DATABASE_POOL: '5' });
try {
  const [api] = await Promise.all([installation.startApi(), installation.startControl()]);
  const owner = new BackendClient({ baseUrl: api.url });
  const { token, workspace } = await owner.register({
    email: 'bench@example.com',
    password: 'long enough for a bench',
    name: 'Bench',
  });
  // A person has a hundred sockets at most; members of the same workspace make more.
  const tokens = [{ token, workspaceId: workspace.id }];
  for (let at = 1; at * SOCKETS_EACH < Math.max(...FOLLOWERS); at += 1) {
    const member = new BackendClient({ baseUrl: api.url });
    const session = await member.register({
      email: `bench-${at}@example.com`,
      password: 'long enough for a bench',
      name: 'Bench',
    });
    await installation.pool.query(`insert into member (workspace_id, user_id, role) values ($1, $2, 'viewer')`, [
      workspace.id,
      session.user.id,
    ]);
    tokens.push({ token: session.token, workspaceId: workspace.id });
  }

  let onEvent: (() => void) | undefined;
  const follow = async (at: number): Promise<WebSocket> => {
    const who = tokens[Math.floor(at / SOCKETS_EACH)];
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}/api/ws`);
    const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
    socket.on('error', reject);
    socket.on('open', () => socket.send(JSON.stringify({ type: 'auth', id: 1, ...who })));
    socket.on('message', (bytes: Buffer) => {
      const frame = JSON.parse(bytes.toString());
      if (frame.type === 'event') onEvent?.();
      else if (frame.id === 1 && frame.ok) socket.send(JSON.stringify({ type: 'subscribe', id: 2, topic: 'events' }));
      else if (frame.id === 2 && frame.ok) resolve(socket);
      else if (frame.ok === false) reject(new Error(bytes.toString()));
    });
    return promise;
  };
  const emit = (first: number, count: number) =>
    installation.pool.query(
      `insert into outbox_event (workspace_id, id, type, data)
        select $1, uuidv7(), 'workspace.changed', json_build_object('changed', json_build_array(n::text))
        from generate_series($2::int, $3::int) n`,
      [workspace.id, first, first + count - 1],
    );
  const reads = async (): Promise<number> => {
    const authorization = `Basic ${Buffer.from('ops:only-for-this-test').toString('base64')}`;
    const text = await (await fetch(`${api.url}/metrics`, { headers: { authorization } })).text();
    return Number(/^wh_event_reads_total\S* (\d+)/m.exec(text)?.[1] ?? 0);
  };

  const sockets: WebSocket[] = [];
  let number = 0;
  for (const followers of FOLLOWERS) {
    while (sockets.length < followers) {
      const more = Math.min(50, followers - sockets.length);
      sockets.push(...(await Promise.all(Array.from({ length: more }, (_, at) => follow(sockets.length + at)))));
    }
    const waits: number[] = [];
    let heard = 0;
    let arrivals: number[] = [];
    onEvent = () => {
      arrivals.push(performance.now());
      heard += 1;
    };
    const readsBefore = await reads();
    for (let round = 0; round < SINGLE; round += 1) {
      const expected = heard + followers;
      arrivals = [];
      await emit((number += 1), 1);
      const committedAt = performance.now();
      await until(() => heard >= expected);
      waits.push(...arrivals.map((at) => at - committedAt));
    }
    const singles = (await reads()) - readsBefore;
    const startedAt = performance.now();
    const expected = heard + followers * BURST * BURSTS;
    for (let burst = 0; burst < BURSTS; burst += 1) {
      await emit(number + 1, BURST);
      number += BURST;
    }
    await until(() => heard >= expected);
    const seconds = (performance.now() - startedAt) / 1000;
    const bursts = (await reads()) - readsBefore - singles;
    print(
      `${followers} followers: commit to socket p50 ${percentile(waits, 0.5).toFixed(1)} ms, p99 ${percentile(waits, 0.99).toFixed(1)} ms; ` +
        `${(singles / SINGLE).toFixed(2)} queries for a single event, ${(bursts / (BURST * BURSTS)).toFixed(3)} for one of a burst; ` +
        `${Math.round((BURST * BURSTS * followers) / seconds)} deliveries/s`,
    );
  }
  for (const socket of sockets) socket.close();
} finally {
  await installation.close();
}

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { queues } from '#queues/index.ts';
import { readConfig } from '#src/config.ts';
import { parseEnv } from '../../scripts/lib/env-file.js';
import { parseProcfile } from '../../scripts/lib/procfile.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');

const Service = z.looseObject({
  image: z.string(),
  command: z.array(z.string()),
  restart: z.string(),
  environment: z.record(z.string(), z.string()),
  healthcheck: z.looseObject({ disable: z.boolean().optional() }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
});
const Compose = z.looseObject({ services: z.record(z.string(), Service), volumes: z.record(z.string(), z.null()) });
const { services } = Compose.parse(parse(read('docker-compose.yml'), { merge: true }));
const processes = parseProcfile(read('Procfile'));
const stores = new Set(['postgres', 'redis']);

describe('docker-compose.yml', () => {
  it('runs exactly what the Procfile runs, beside Postgres and Redis', () => {
    const ours = Object.entries(services).filter(([name]) => !stores.has(name));
    expect(new Map(ours.map(([name, { command }]) => [name, command]))).toEqual(processes);
  });

  it('has a pool for every queue', () => {
    for (const { name } of queues) {
      const words = services[name]?.command?.filter((word) => !word.startsWith('--'));
      expect(words).toEqual(['node', 'workers/index.ts', name]);
    }
  });

  it('migrates first, once, when Postgres answers', () => {
    expect(services['release']?.depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
    expect(services['release']?.restart).toBe('no');
    for (const name of processes.keys()) {
      if (name === 'release') continue;
      expect(services[name]?.depends_on).toMatchObject({ release: { condition: 'service_completed_successfully' } });
      expect(services[name]?.depends_on).toMatchObject({ redis: { condition: 'service_healthy' } });
    }
  });

  it('refuses to run without secrets, saying which', () => {
    for (const name of processes.keys()) {
      const environment = services[name]?.environment ?? {};
      for (const secret of ['APP_SECRET', 'OPS_PASSWORD'])
        expect(environment[secret]).toMatch(`\${${secret}:?set ${secret}`);
      expect(environment['DATABASE_URL']).toContain('${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD');
      expect(environment['REDIS_URL']).toContain('${REDIS_PASSWORD:?set REDIS_PASSWORD');
    }
  });

  it('keeps Redis on disk and never lets it evict', () => {
    const text = read('docker-compose.yml');
    expect(text).toMatch(/^ +appendonly yes$/m);
    expect(text).toMatch(/^ +maxmemory-policy noeviction$/m);
  });
});

describe('Dockerfile', () => {
  it('runs what the Procfile calls web, with node itself and not as root', () => {
    const lines = read('Dockerfile').split('\n');
    expect(lines.findLast((line) => line.startsWith('CMD '))).toBe(
      `CMD ${JSON.stringify(processes.get('web')).replaceAll(',', ', ')}`,
    );
    expect(lines.findLast((line) => line.startsWith('USER '))).toBe('USER node');
  });

  it('is sent all it copies', () => {
    const sent = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = [...read('Dockerfile').matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, from]) => from?.split(' ') ?? []);
    expect(copied.toSorted()).toEqual(sent.toSorted());
  });
});

describe('.env.example', () => {
  it('names every variable of the configuration, and no other but those of the starter and of Docker', () => {
    const known = [...read('src/config.ts').matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name]) => name);
    const named = [...read('.env.example').matchAll(/^(?:# )?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name);
    const others = ['DATA_DIR', 'DEMO_EMAIL', 'DEMO_PASSWORD', 'POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'PUBLISH'];
    expect(known.length).toBeGreaterThan(15);
    expect(new Set(named)).toEqual(new Set([...known, ...others]));
  });

  it('is a configuration that works, once it has addresses and secrets', () => {
    const example = parseEnv(read('.env.example'));
    const needed = {
      DATABASE_URL: 'postgresql://a:b@c/d',
      REDIS_URL: 'redis://c',
      APP_SECRET: Buffer.alloc(32).toString('base64'),
      OPS_PASSWORD: 'twelve characters',
    };
    expect(readConfig({ ...example, ...needed })).toEqual(readConfig({ ...needed, DEMO_EMAIL: example['DEMO_EMAIL'] }));
  });
});

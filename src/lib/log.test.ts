import { describe, expect, it } from 'vitest';
import { createLog } from '#src/lib/log.ts';

describe('createLog', () => {
  it('writes lines with time, level and process, and blanks credentials at the top and one level down', () => {
    const lines: string[] = [];
    const log = createLog('info', 'api', { write: (line) => void lines.push(line) });
    const secrets = {
      authorization: 'S1',
      cookie: 'S2',
      password: 'S3',
      token: 'S4',
      refreshToken: 'S5',
      secret: 'S6',
      apiKey: 'S7',
      'set-cookie': 'S8',
    };
    log.info({ ...secrets, kept: 'yes' }, 'top');
    log.info({ headers: secrets, body: { name: 'kept' } }, 'nested');
    log.debug('too fine');
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toMatch(/S\d/);
    expect(lines.join('')).toContain('"kept":"yes"');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      process: 'api',
      msg: 'top',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    });
    expect(lines[0]).not.toMatch(/pid|hostname/);
  });

  it('shows where an error came from and why, not the row it was about', () => {
    const lines: string[] = [];
    const log = createLog('info', 'api', { write: (line) => void lines.push(line) });
    const refused = Object.assign(new Error('violates check "x"\n - detail: Failing row contains (Ana, +5511)'), {
      code: '23514',
      constraint: 'x',
      detail: 'Failing row contains (Ana, +5511).',
      where: 'Ana',
    });
    log.error({ err: new Error('could not save', { cause: refused }) }, 'failed');
    log.error({ err: 'a text' }, 'failed');
    expect(lines.join('')).not.toMatch(/Ana|5511/);
    expect(JSON.parse(lines[0] ?? '').err).toMatchObject({
      type: 'Error',
      message: 'could not save',
      stack: expect.stringContaining('log.test.ts'),
      cause: { message: 'violates check "x"', code: '23514', constraint: 'x' },
    });
    expect(JSON.parse(lines[1] ?? '').err).toEqual({ type: 'string', message: 'a text' });
  });
});

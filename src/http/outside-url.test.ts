import { expect, it } from 'vitest';
import { ConfigError, readConfig } from '#src/config.ts';
import { outsideUrl } from '#src/http/outside-url.ts';
import { createEgress } from '#src/lib/egress.ts';

const needed = {
  DATABASE_URL: 'postgresql://localhost/a',
  REDIS_URL: 'redis://localhost',
  APP_SECRET: Buffer.alloc(32).toString('base64'),
  OPS_PASSWORD: 'a long password',
};

it('gives the URL as it is called, or names the field and what is wrong with it', () => {
  const egress = createEgress({ allow: ['10.0.0.5:9000'] });
  expect(outsideUrl(egress, 'url', 'https://EXAMPLE.com.:443/a').href).toBe('https://example.com/a');
  expect(outsideUrl(egress, 'url', 'http://10.0.0.5:9000').href).toBe('http://10.0.0.5:9000/');
  const message = 'must not lead to an internal or reserved address';
  const refused = () => outsideUrl(egress, 'channel.baseUrl', 'https://10.0.0.5/');
  expect(refused).toThrow(
    expect.objectContaining({
      status: 400,
      message: `channel.baseUrl: ${message}`,
      errors: [{ path: 'channel.baseUrl', code: 'url_address', message }],
    }),
  );
});

it('takes for EGRESS_ALLOW targets in the spelling that URLs have, and no others', () => {
  const EGRESS_ALLOW = '10.0.0.5:9000, [fd00::5]:443,hooks.intranet:80';
  expect(readConfig({ ...needed, EGRESS_ALLOW })).toMatchObject({ EGRESS_ALLOW: EGRESS_ALLOW.split(/, ?/) });
  expect(readConfig(needed)).toMatchObject({ EGRESS_ALLOW: [] });
  const takes = (text: string) => {
    try {
      return readConfig({ ...needed, EGRESS_ALLOW: text }) !== undefined;
    } catch (error) {
      return !(error instanceof ConfigError && error.message.includes('EGRESS_ALLOW'));
    }
  };
  const wrong = [
    '10.0.0.5',
    '127.1:9000',
    '10.0.0.0/8',
    '10.0.0.0/8:80',
    '*:80',
    'https://hooks.intranet:443',
    'hooks.intranet:443/a',
    'Hooks.intranet:443',
    'fd00::5:443',
    '[fd00:0::5]:443',
    'me@hooks.intranet:443',
    'hooks.intranet:',
    'hooks.intranet:99999',
    ':80',
  ];
  expect(wrong.filter(takes)).toEqual([]);
});

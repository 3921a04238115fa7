import { createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { expect, it } from 'vitest';
import { makeSecret, publicKeyOf, readSecret, signatureHeaders } from '#src/modules/webhooks/signature.ts';

it("signs the specification's example as it does", () => {
  const key = readSecret({ secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', privateKey: null });
  const headers = signatureHeaders([key], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, '{"test": 2432232314}');
  expect(headers).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

it("signs with Ed25519 as RFC 8032's first test does", () => {
  const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
  const privateKey = createPrivateKey({
    key: Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex'),
    format: 'der',
    type: 'pkcs8',
  });
  const der = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  const key = readSecret({ secret: makeSecret(false).secret, privateKey: der });
  const publicHex = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
  expect(publicKeyOf(key)).toBe(`whpk_${Buffer.from(publicHex, 'hex').toString('base64')}`);
  const { 'webhook-signature': line } = signatureHeaders([key], 'id', 1, 'ação');
  const signature = Buffer.from(line.split(' v1a,')[1] ?? '', 'base64');
  expect(verify(null, Buffer.from('id.1.ação'), createPublicKey(privateKey), signature)).toBe(true);
});

it('makes secrets of 32 bytes that the library of the specification takes, each another', () => {
  const made = Array.from({ length: 50 }, () => makeSecret(true));
  expect(new Set(made.map(({ secret }) => secret)).size).toBe(50);
  const now = Math.floor(Date.now() / 1000);
  for (const { secret, privateKey } of made) {
    expect(Buffer.from(secret.slice(6), 'base64')).toHaveLength(32);
    const headers = signatureHeaders([readSecret({ secret, privateKey })], 'a', now, '{"é":"😀"}');
    expect(new Webhook(secret).verify('{"é":"😀"}', headers)).toEqual({ é: '😀' });
  }
});

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mutationsOf } from '../../test/mutations.ts';
import { makeApiKey, readApiKey } from '#src/http/api-key-text.ts';
import { newId } from '#src/lib/ids.ts';

it('reads its own keys, and none of ten thousand that were changed', () => {
  const [workspaceId, keyId] = [newId(), newId()];
  const { text, secretHash } = makeApiKey(workspaceId, keyId);
  expect(readApiKey(text)).toEqual({ workspaceId, keyId, secretHash });
  fc.assert(
    fc.property(mutationsOf(text), (mutated) => readApiKey(mutated) === undefined),
    { numRuns: 10_000, seed: 1 },
  );
});

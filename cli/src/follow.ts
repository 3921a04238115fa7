import { ApiError, NetworkError, type Watched } from '../../client/src/index.ts';
import type { Context } from './context.ts';
import { verdictOf } from './exit.ts';

/**
 * Shows something until it is over, or until `show` says that it has seen enough. Backends and networks that go away are waited for.
 * @returns the last state
 */
export async function follow<State, Pattern extends string>(
  { out, signal, connect }: Context,
  watched: Watched<State, Pattern>,
  show: (state: State) => 'enough' | undefined,
): Promise<State> {
  const client = await connect();
  let isAway = false;
  const onTrouble = (error: unknown) => {
    if (isAway) return;
    isAway = true;
    const isKnown = error instanceof ApiError || error instanceof NetworkError;
    out.note(`${isKnown ? verdictOf(error).lines[0] : String(error)} Trying again until it answers …`);
  };
  let last: State | undefined;
  for await (const state of client.watch<State, Pattern>(watched, { signal, onTrouble })) {
    if (isAway) out.note('It answers again.');
    isAway = false;
    last = state;
    if (show(state) === 'enough') break;
  }
  out.settle();
  if (last === undefined) throw new Error('Nothing was told.');
  return last;
}

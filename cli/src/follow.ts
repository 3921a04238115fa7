import { ApiError, NetworkError, type Watched } from '../../client/src/index.ts';
import { type Answer, mustFit } from './answers.ts';
import type { Context } from './context.ts';
import { isForeign, verdictOf } from './exit.ts';

/**
 * Shows something until it is over, or until `show` says that it has seen enough. Backends and networks that go away are waited for.
 * @returns the last state
 * @throws CliError where what answers is not the backend
 */
export async function follow<State, Pattern extends string>(
  { out, signal, connect }: Context,
  answer: Answer<State>,
  watched: Watched<State, Pattern>,
  show: (state: State) => 'enough' | undefined,
): Promise<State> {
  const client = await connect();
  let isAway = false;
  let last: State | undefined;
  const onTrouble = (error: unknown) => {
    // What it once was, it will be again.
    if (last === undefined && isForeign(error)) throw error;
    if (isAway) return;
    isAway = true;
    const isKnown = error instanceof ApiError || error instanceof NetworkError;
    out.note(`${isKnown ? verdictOf(error).lines[0] : String(error)} Trying again until it answers …`);
  };
  for await (const state of client.watch<State, Pattern>(watched, { signal, onTrouble })) {
    if (isAway) out.note('It answers again.');
    isAway = false;
    last = mustFit(state, answer, `GET ${watched.path}`);
    if (show(state) === 'enough') break;
  }
  out.settle();
  if (last === undefined) throw new Error('Nothing was told.');
  return last;
}

import type { Engine } from '#src/ai/engines/define.ts';
import { engines } from '#src/ai/engines/index.ts';

const byName = new Map<string, Engine>(Object.entries(engines));

/** @returns the engine of that name, as a client wrote it; undefined when there is none. */
export const engineNamed = (name: string): Engine | undefined => byName.get(name);

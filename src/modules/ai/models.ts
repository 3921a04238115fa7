import { readFileSync } from 'node:fs';
import type { Pool } from 'pg';
import { z } from 'zod';
import { useOverrides } from '#src/ai/catalog.ts';
import { ModelOverride } from '#src/ai/catalog-entry.ts';
import { ConfigError } from '#src/config.ts';
import { every } from '#src/lib/every.ts';
import type { Log } from '#src/lib/log.ts';
import { isRecord } from '#src/lib/record.ts';
import { findOverrides, type ModelOverrideRow } from '#src/modules/ai/models.query.ts';

/** How long a process may still go by what an operator has changed. */
const FRESH_MS = 2000;

/**
 * Reads the operator's file of models: a JSON array of overrides.
 * @param path of `MODEL_CATALOG_FILE`; without one there are no overrides
 * @throws ConfigError naming everything that is wrong in it
 */
export function readModelFile(path: string | undefined): ModelOverride[] {
  if (path === undefined) return [];
  try {
    const overrides = z.array(ModelOverride).parse(JSON.parse(readFileSync(path, 'utf8')));
    useOverrides(overrides);
    return overrides;
  } catch (error) {
    const lines =
      error instanceof z.ZodError
        ? error.issues.map((issue) => `  ${issue.path.join('.') || 'file'}: ${issue.message}`)
        : [`  ${error instanceof Error ? error.message : String(error)}`];
    throw new ConfigError(`MODEL_CATALOG_FILE is not usable:\n${lines.join('\n')}`, { cause: error });
  }
}

/** A stored override; undefined where a later version of the schema allows it no more. */
export function readOverride({ provider, model, body }: ModelOverrideRow): ModelOverride | undefined {
  return ModelOverride.safeParse({ ...(isRecord(body) ? body : {}), provider, model }).data;
}

export interface ModelWatch {
  /** What the file says; operators' changes are laid over it. */
  file: readonly ModelOverride[];
  /** Takes over what is stored by now. */
  refresh(): Promise<void>;
  close(): void;
}

/**
 * Keeps the process's catalogue as operators want it: the file, then what is stored, read again every two seconds.
 * @throws ConfigError where the file is not usable
 */
export function watchModels(pool: Pool, path: string | undefined, log: Log): ModelWatch {
  const file = readModelFile(path);
  const stop = new AbortController();
  let known = '';
  const refresh = async (): Promise<void> => {
    const rows = await findOverrides(pool);
    const text = JSON.stringify(rows);
    if (text === known || stop.signal.aborted) return;
    const stored = rows.flatMap((row) => readOverride(row) ?? []);
    try {
      useOverrides([...file, ...stored]);
    } catch (error) {
      // A model of the built-in catalogue went away, and what was said of it is no whole model: the prices that were there still are.
      log.warn({ err: error }, 'What is stored of models does not fit the catalogue');
    }
    known = text;
  };
  void every(FRESH_MS, "reading operators' changes of models", refresh, stop.signal, log);
  return { file, refresh, close: () => stop.abort() };
}

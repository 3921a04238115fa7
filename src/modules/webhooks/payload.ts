/** What a receiver is told of an event. */
export interface Payload {
  type: string;
  /** When it happened. */
  timestamp: string;
  workspaceId: string;
  /** The form of `data`, by the day it was settled. */
  version: string;
  /** Counts an endpoint's deliveries from 1, without gaps; 0 for a test. */
  sequence: number;
  data: unknown;
}

type Said = Pick<Payload, 'type' | 'data'>;

/** A form in which events are told. An endpoint keeps the one that was newest when it was made, until its owner asks for another. */
export interface PayloadVersion {
  name: string;
  /** Makes of an event as the next newer version tells it what this one told; absent from the newest. */
  down?: (event: Said) => Said;
}

/** The newest first. Whoever changes what an event says puts a version in front, and its undoing into the one that was. */
export const VERSIONS: readonly PayloadVersion[] = [{ name: '2026-11-26' }];

/** @param versions the list of the platform; tests bring their own */
export const newestVersion = (versions: readonly PayloadVersion[] = VERSIONS): string => versions[0]?.name ?? '';

/** The body of a delivery, in the endpoint's version. @throws for a version there is not */
export function bodyOf(payload: Payload, versions: readonly PayloadVersion[] = VERSIONS): string {
  const at = versions.findIndex(({ name }) => name === payload.version);
  if (at < 0) throw new Error(`There is no payload version ${payload.version}`);
  const { type, data } = versions
    .slice(1, at + 1)
    .reduce<Said>((event, { down }) => down?.(event) ?? event, { type: payload.type, data: payload.data });
  return JSON.stringify({ ...payload, type, data });
}

/**
 * What an error of the Cloud API means. All of these say that nothing reached anybody:
 * `retry` the platform's own trouble, tried again and counted as a try;
 * `throttle` the number is too fast: it keeps still for a while; `pair` this recipient was written to too often: they wait;
 * `stop_channel` nothing goes from this number until somebody mends it; `stop_campaign` nothing with this template;
 * `refuse` this message cannot go. `isChannels`: it says something of the channel; five in a row pause the campaign.
 */
export type Meaning =
  | { kind: 'retry' | 'throttle' | 'pair' }
  | { kind: 'stop_channel' | 'stop_campaign'; reason: string }
  | { kind: 'refuse'; isChannels: boolean; because: 'opted_out' | 'undeliverable' | null };

const refuse = (isChannels: boolean, because: 'opted_out' | 'undeliverable' | null = null): Meaning => ({
  kind: 'refuse',
  isChannels,
  because,
});
const stop = (reason: string): Meaning => ({ kind: 'stop_channel', reason });
const template: Meaning = { kind: 'stop_campaign', reason: 'template_refused' };

/** By Meta's code (WhatsApp Business Platform, "Error codes"). */
const MEANINGS = new Map<number, Meaning>([
  [0, stop('token_refused')],
  [102, stop('token_refused')],
  [190, stop('token_refused')],
  [3, stop('permission_missing')],
  [10, stop('permission_missing')],
  [131005, stop('permission_missing')],
  [33, stop('number_not_registered')],
  [131045, stop('number_not_registered')],
  [133010, stop('number_not_registered')],
  [131037, stop('display_name_refused')],
  [368, stop('account_restricted')],
  [131031, stop('account_restricted')],
  [131042, stop('payment_needed')],
  [131048, stop('spam_limited')],
  [4, { kind: 'throttle' }],
  [80007, { kind: 'throttle' }],
  [130429, { kind: 'throttle' }],
  [131057, { kind: 'throttle' }],
  [131056, { kind: 'pair' }],
  [1, { kind: 'retry' }],
  [2, { kind: 'retry' }],
  [131000, { kind: 'retry' }],
  [131016, { kind: 'retry' }],
  [132000, template],
  [132001, template],
  [132007, template],
  [132012, template],
  [132015, template],
  [132016, template],
  // The text that this recipient's values make is too long.
  [132005, refuse(false)],
  // Not on WhatsApp, or on a version that cannot receive it.
  [131026, refuse(false, 'undeliverable')],
  [131021, refuse(false)],
  [131030, refuse(false)],
  // Nobody may write to this country from this number.
  [130497, refuse(false)],
  // Meta itself spares this person: too much marketing, or an experiment.
  [131049, refuse(false)],
  [130472, refuse(false)],
  [131050, refuse(false, 'opted_out')],
  // Free text later than 24 hours after they last wrote.
  [131047, refuse(false)],
]);

const isPermission = (code: number): boolean => code >= 200 && code <= 299;

/**
 * @param code Meta's
 * @param status of the HTTP answer; undefined where a webhook told it
 */
export function meaningOf(code: number, status?: number): Meaning {
  const known = MEANINGS.get(code);
  if (known) return known;
  if (isPermission(code)) return stop('permission_missing');
  if (status === 401) return stop('token_refused');
  if (status === 429) return { kind: 'throttle' };
  if (status !== undefined && status >= 500) return { kind: 'retry' };
  return refuse(true);
}

/** As it stands beside an item. */
export const codeText = (code: number): string => `cloud_${code}`;

/** Meta's errors, as the Cloud API words them: the HTTP status, and what they are called. */
export const CLOUD_ERRORS: Record<number, [status: number, title: string]> = {
  1: [400, 'API Unknown'],
  2: [503, 'API Service'],
  4: [400, 'API Too Many Calls'],
  100: [400, 'Invalid parameter'],
  190: [401, 'Access token has expired'],
  368: [403, 'Temporarily blocked for policies violations'],
  130429: [429, 'Rate limit hit'],
  130472: [400, "User's number is part of an experiment"],
  131000: [500, 'Something went wrong'],
  131016: [500, 'Service unavailable'],
  131026: [400, 'Message undeliverable'],
  131031: [403, 'Account has been locked'],
  131042: [400, 'Business eligibility payment issue'],
  131047: [400, 'Re-engagement message'],
  131048: [400, 'Spam rate limit hit'],
  131049: [400, 'This message was not delivered to maintain healthy ecosystem engagement.'],
  131050: [400, 'User has stopped receiving marketing messages'],
  131056: [400, '(Business Account, Consumer Account) pair rate limit hit'],
  132000: [400, 'Template Param Count Mismatch'],
  132001: [404, 'Template does not exist'],
  132015: [400, 'Template is Paused'],
  132016: [400, 'Template is Disabled'],
};

export const titleOf = (code: number): string => CLOUD_ERRORS[code]?.[1] ?? 'Something went wrong';

/** An error as the Graph API answers it. */
export const graphError = (code: number, details: string, subcode?: number) => ({
  error: {
    message: `(#${code}) ${titleOf(code)}`,
    type: 'OAuthException',
    code,
    ...(subcode === undefined ? {} : { error_subcode: subcode }),
    error_data: { messaging_product: 'whatsapp', details },
    fbtrace_id: 'AmmTkyJzGqRkPQ4ZEKzJ0Xy',
  },
});

/** One as a status tells it. */
export const statusError = (code: number) => ({
  code,
  title: titleOf(code),
  message: titleOf(code),
  error_data: { details: titleOf(code) },
  href: 'https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/',
});

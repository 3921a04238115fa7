import { aiCalls } from '#src/modules/analytics/sources/ai-calls.query.ts';
import { deals } from '#src/modules/analytics/sources/deals.query.ts';
import { contacts } from '#src/modules/analytics/sources/contacts.query.ts';
import type { FactSource } from '#src/modules/analytics/sources/define.ts';
import { jobs } from '#src/modules/analytics/sources/jobs.query.ts';
import { messages } from '#src/modules/analytics/sources/messages.query.ts';

/** All facts that are counted. */
export const SOURCES: readonly FactSource[] = [aiCalls, jobs, contacts, deals, messages];
